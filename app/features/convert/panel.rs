//! A card for a model that lies in a pickle: what that is, and the way out.

use std::path::Path;

use egui::Ui;

use crate::features::command::Command;
use crate::features::convert::{Conversion, ConvertCommand};
use crate::features::state::AppState;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{bar_ui, card_ui, note_ui, outlined_button_ui, tip};

pub fn convert_model_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let offered = state.offered_conversion();
    if offered.is_none() && matches!(state.conversion, Conversion::Idle) {
        return;
    }
    card_ui(ui, |ui| contents_ui(ui, state, commands));
    ui.add_space(theme::GAP_M);
}

fn contents_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let mut button = |ui: &mut Ui, name: &str, strong: bool, sentence: &str, command: ConvertCommand| {
        if tip(outlined_button_ui(ui, name, strong), name, None, sentence).clicked() {
            commands.push(Command::Convert(command));
        }
    };
    match &state.conversion {
        Conversion::Running { file, fraction, .. } => {
            let text = format!("Converting {}", name_of(file));
            note_ui(ui, text, theme::heading(), tokens.text);
            bar_ui(ui, *fraction, tokens.accent);
            button(ui, "Cancel", false, "Leaves nothing behind.", ConvertCommand::Cancel);
        }
        Conversion::Done(file) => {
            note_ui(ui, format!("{} is there", name_of(file)), theme::heading(), tokens.text);
            note_ui(ui, "The pickle lies beside it as before.", theme::small(), tokens.dim);
            ui.horizontal(|ui| {
                let sentence = "Opens the new file; the pickle is needed no more.";
                button(ui, "Use it", true, sentence, ConvertCommand::UseIt);
                button(ui, "Close", false, "Stays with the pickle.", ConvertCommand::Close);
            });
        }
        Conversion::Idle => {
            note_ui(ui, "This model is a pickle", theme::heading(), tokens.text);
            let text = "Other programs run what is inside such files; Tidepool only reads it. As .safetensors the \
                        same numbers are safe everywhere.";
            note_ui(ui, text, theme::small(), tokens.dim);
            ui.horizontal(|ui| {
                let sentence = "Writes a .safetensors file beside it; the pickle stays as it is.";
                button(ui, "Convert", true, sentence, ConvertCommand::Start);
                button(ui, "Not this one", false, "Asks no more for this model.", ConvertCommand::Decline);
            });
        }
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
