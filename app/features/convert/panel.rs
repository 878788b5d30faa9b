//! A card for a model in a pickle: what that means, and how to convert it.

use std::path::Path;

use egui::Ui;

use crate::features::command::Command;
use crate::features::convert::{Conversion, ConvertCommand};
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{bar_ui, card_ui, note_ui, outlined_button_ui, tip};

pub fn convert_model_ui(ui: &mut Ui, shared: &Shared, conversion: &Conversion, commands: &mut Vec<Command>) {
    let offered = conversion.offered_conversion(shared);
    if offered.is_none() && matches!(conversion, Conversion::Idle) {
        return;
    }
    card_ui(ui, |ui| contents_ui(ui, conversion, commands));
    ui.add_space(theme::GAP_M);
}

fn contents_ui(ui: &mut Ui, conversion: &Conversion, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let mut button = |ui: &mut Ui, name: &str, strong: bool, sentence: &str, command: ConvertCommand| {
        if tip(outlined_button_ui(ui, name, strong), name, None, sentence).clicked() {
            commands.push(Command::Convert(command));
        }
    };
    match conversion {
        Conversion::Running { file, fraction, .. } => {
            let text = format!("Converting {}", name_of(file));
            note_ui(ui, text, theme::heading(), tokens.text);
            bar_ui(ui, *fraction, tokens.accent);
            button(ui, "Cancel", false, "Cancels and removes the partial file.", ConvertCommand::Cancel);
        }
        Conversion::Done(file) => {
            note_ui(ui, format!("{} is there", name_of(file)), theme::heading(), tokens.text);
            note_ui(ui, "The original file is still beside it.", theme::small(), tokens.dim);
            ui.horizontal(|ui| {
                let sentence = "Opens the new file. The original is no longer needed.";
                button(ui, "Use it", true, sentence, ConvertCommand::UseIt);
                button(ui, "Close", false, "Keeps using the original file.", ConvertCommand::Close);
            });
        }
        Conversion::Idle => {
            note_ui(ui, "This model is a pickle file", theme::heading(), tokens.text);
            let text = "Other programs run code that is inside such files. Tidepool only reads the \
                numbers. As .safetensors, the same numbers are safe everywhere.";
            note_ui(ui, text, theme::small(), tokens.dim);
            ui.horizontal(|ui| {
                let sentence = "Writes a .safetensors file beside it. The original stays as it is.";
                button(ui, "Convert", true, sentence, ConvertCommand::Start);
                button(
                    ui,
                    "Don't ask again",
                    false,
                    "Don't ask again for this model.",
                    ConvertCommand::Decline,
                );
            });
        }
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
