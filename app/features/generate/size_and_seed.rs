//! Size and seed of the picture.

use egui::{Align, Layout, RichText, Ui, vec2};
use engine::recipe::Recipe;

use crate::features::command::Command;
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Icon, Number, NumberLook, SelectItem, Tool, icon_button_ui, label_ui, menu_item_ui, number_ui, seed_ui,
    select_ui,
};

pub fn size_ui(ui: &mut Ui, shared: &Shared, width: f32, recipe: &mut Recipe) {
    label_row_ui(ui, "Size", |_| {});
    let native = shared.model_info().map_or(512, |info| info.native_side);
    let shown = in_words(recipe.width, recipe.height);
    let sentence = "Width and height in pixels. Models work best near their native size.";
    select_ui(ui, "Size", &shown, sentence, width, |ui| {
        for (name, (wide, high)) in presets(native) {
            let item = SelectItem {
                label: &in_words(wide, high),
                hint: name,
                chosen: (wide, high) == (recipe.width, recipe.height),
            };
            if menu_item_ui(ui, item) {
                (recipe.width, recipe.height) = (wide, high);
            }
        }
        custom_ui(ui, recipe);
    });
}

/// Any multiple of 8.
fn custom_ui(ui: &mut Ui, recipe: &mut Recipe) {
    let tokens = Tokens::of(ui);
    ui.separator();
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.label(RichText::new("Custom").font(theme::small()).color(tokens.dim));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let tool = icon_button_ui(
                ui,
                Icon::Swap,
                "Swap sides",
                None,
                "Swaps portrait and landscape.",
                Tool::Bare,
            );
            side_ui(ui, "Height", &mut recipe.height);
            ui.label(RichText::new("×").font(theme::body()).color(tokens.dim));
            side_ui(ui, "Width", &mut recipe.width);
            if tool.clicked() {
                std::mem::swap(&mut recipe.width, &mut recipe.height);
            }
        });
    });
}

fn side_ui(ui: &mut Ui, name: &str, side: &mut u32) {
    let mut value = f64::from(*side);
    let number = Number {
        name,
        limits: 8.0..=f64::from(*Recipe::SIDE.end()),
        decimals: 0,
        step: 8.0,
        look: NumberLook { size: vec2(50.0, 24.0), ..NumberLook::default() },
    };
    if number_ui(ui, &number, &mut value).changed() {
        *side = value as u32;
    }
}

/// Sizes around the native size, all multiples of 8.
fn presets(native: u32) -> [(&'static str, (u32, u32)); 5] {
    let part = |of: u32, per: u32| (native * of / per).next_multiple_of(8);
    [
        ("Square, the native size", (native, native)),
        ("Portrait, 2 to 3", (native, part(3, 2))),
        ("Landscape, 3 to 2", (part(3, 2), native)),
        ("Wide, 2 to 1", (part(2, 1), native)),
        ("Large: four times the work", (part(2, 1), part(2, 1))),
    ]
}

fn in_words(width: u32, height: u32) -> String {
    format!("{width} × {height}")
}

pub fn seed_field_ui(
    ui: &mut Ui,
    shared: &Shared,
    width: f32,
    recipe: &mut Recipe,
    commands: &mut Vec<Command>,
) {
    let is_locked = shared.settings.seed_locked;
    label_row_ui(ui, "Seed", |ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        let (icon, name, sentence) = if is_locked {
            (Icon::Locked, "Unlock seed", "The seed stays the same for every picture.")
        } else {
            (Icon::Unlocked, "Lock seed", "Every picture gets a new seed. Lock to keep this one.")
        };
        if icon_button_ui(ui, icon, name, None, sentence, Tool::Bare).clicked() {
            commands.push(Command::ToggleSeedLock);
        }
        let sentence = "New random seed.";
        if icon_button_ui(ui, Icon::Die, "Random seed", None, sentence, Tool::Bare).clicked() {
            commands.push(Command::RollSeed);
        }
    });
    let look =
        NumberLook { size: vec2(width, theme::FIELD_HEIGHT), align: Align::LEFT, ..NumberLook::default() };
    seed_ui(ui, "Seed", &look, &mut recipe.seed)
        .on_hover_text("The same seed and settings make the same picture.");
}

/// The height of the tools beside a label.
const LABEL_HEIGHT: f32 = 22.0;

/// A label with tools at the right, as high as a label without.
fn label_row_ui(ui: &mut Ui, label: &str, tools: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), LABEL_HEIGHT),
        Layout::left_to_right(Align::Center),
        |ui| {
            ui.set_min_height(LABEL_HEIGHT);
            label_ui(ui, label);
            ui.with_layout(Layout::right_to_left(Align::Center), tools);
        },
    );
}
