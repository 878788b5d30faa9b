//! Saving edited words as a concept.

use egui::{Frame, Margin, TextEdit, Ui};
use engine::prompt::EmbeddingEdit;

use crate::features::command::Command;
use crate::features::words::{WordsCommand, WordsState};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{field_frame, label_ui, outlined_button_ui};

/// Saves the embeddings that edits produce as a concept.
pub fn save_ui(ui: &mut Ui, words: &WordsState, edits: &[EmbeddingEdit], commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let letters = edits.first().map_or("", |edit| edit.selector.text.as_str());
    let id = ui.scope_id().with(("concept's word", edits.len(), letters));
    let plain: String = letters.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
    let usual = || format!("<my-{}>", if plain.is_empty() { "word" } else { &plain });
    let mut token: String = ui.data(|data| data.get_temp(id)).unwrap_or_else(usual);
    label_ui(ui, if edits.len() == 1 { "As a concept" } else { "All of them as a concept" });
    ui.horizontal(|ui| {
        let focused = ui.memory(|memory| memory.has_focus(id));
        field_frame(tokens, focused).show(ui, |ui| {
            let field = TextEdit::singleline(&mut token).id(id).font(theme::body());
            let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 7));
            let response = ui.add(field.frame(inset).desired_width(130.0));
            response.accessible_name("The concept's word");
        });
        let can_save = !token.trim().is_empty() && words.saving.is_none();
        ui.add_enabled_ui(can_save, |ui| {
            let sentence = "A small file that A1111, ComfyUI and diffusers read.";
            if outlined_button_ui(ui, "Save…", false).on_hover_text(sentence).clicked() {
                let (edits, token) = (edits.to_vec(), token.trim().to_owned());
                commands.push(Command::Words(WordsCommand::Save { edits, token }));
            }
        });
    });
    ui.data_mut(|data| data.insert_temp(id, token));
}
