//! Guides that go well together.

use egui::Ui;
use engine::losses::LossGuide;

use crate::ui::widgets::{SelectItem, menu_item_ui, select_ui};

/// A list of guides, as the command line takes them.
struct Preset {
    name: &'static str,
    hint: &'static str,
    guides: &'static [&'static str],
}

const PRESETS: [Preset; 5] = [
    Preset {
        name: "Blue, as in the lesson",
        hint: "The lesson's campfire: the blue channel near 0.9",
        guides: &["channel:blue=0.9,scale=200,every=5"],
    },
    Preset {
        name: "Poster",
        hint: "Navy, red and off-white",
        guides: &["palette:#1d3557+#e63946+#f1faee,scale=60,every=2"],
    },
    Preset {
        name: "Night",
        hint: "Dark, with a strong contrast",
        guides: &["brightness=0.25,scale=150,every=2", "contrast=0.25,scale=100,every=2"],
    },
    Preset {
        name: "Mirror",
        hint: "The left half is the mirror image of the right",
        guides: &["symmetry:left-right,scale=250,every=2"],
    },
    Preset {
        name: "Faded",
        hint: "Pale colours in large, quiet areas",
        guides: &["saturation=0.04,scale=300,every=2", "smoothness,scale=30,every=2"],
    },
];

/// Chooses a preset, which replaces the guides.
pub(super) fn presets_ui(ui: &mut Ui, guides: &mut Vec<LossGuide>) {
    let sentence = "Replaces the guides by some that go well together.";
    select_ui(ui, "Presets", "Presets", sentence, ui.available_width(), |ui| {
        for Preset { name, hint, guides: texts } in PRESETS {
            if menu_item_ui(ui, SelectItem { label: name, hint, chosen: false }) {
                *guides = texts.iter().map(|text| text.parse().expect("a preset is valid")).collect();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid() {
        for preset in PRESETS {
            for text in preset.guides {
                let guide: LossGuide = text.parse().expect(text);
                assert_eq!(guide.check(), Ok(()), "{text}");
            }
        }
    }
}
