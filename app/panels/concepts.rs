//! Words that artists taught a model, at hand for the prompt.

use egui::Ui;

use crate::command::Command;
use crate::state::AppState;
use crate::theme::{self, Tokens};
use crate::widgets::note_ui;

pub fn concepts_ui(ui: &mut Ui, _state: &AppState, _commands: &mut Vec<Command>) {
    note_ui(
        ui,
        "A concept is a word that an artist taught a model, kept in a small file such as learned_embeds.bin.",
        theme::small(),
        Tokens::of(ui).dim,
    );
}
