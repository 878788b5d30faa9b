//! All edits of the recipe, including those whose word is gone.

use egui::{Align, Layout, Ui};
use engine::recipe::Recipe;

use super::save::save_ui;
use crate::features::command::Command;
use crate::features::state::AppState;
use crate::features::words::{TokenStatus, WordsCommand, WordsState};
use crate::ui::section::heading_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{close_ui, link_ui, note_ui, text_button_ui};
use engine::format::ellipsize;

pub fn edits_ui(ui: &mut Ui, state: &AppState, recipe: &mut Recipe, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let count = recipe.edits.len();
    heading_ui(ui, "Edited words", &if count == 0 { String::new() } else { count.to_string() });
    ui.add_space(theme::GAP_S);
    let mut forgotten = None;
    for (index, edit) in recipe.edits.iter().enumerate() {
        // The state does not know a recipe that this frame has changed.
        let standing = state.words.standings.get(index).copied();
        if standing == Some(TokenStatus::Gone) {
            let text =
                format!("\"{}\" is no longer in the prompt: {edit} has no effect.", edit.selector.text);
            note_ui(ui, text, theme::small(), tokens.amber_text);
            if link_ui(ui, "Forget", theme::small(), tokens.amber_text, true).clicked() {
                forgotten = Some(index);
            }
            continue;
        }
        ui.horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if close_ui(ui, &format!("Remove {edit}")).clicked() {
                    forgotten = Some(index);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let name = ellipsize(&edit.to_string(), MAX_LETTERS);
                    if link_ui(ui, &name, theme::mono(), tokens.violet, false).clicked() {
                        commands.push(Command::Words(WordsCommand::Choose(Some(edit.selector.clone()))));
                    }
                });
            });
        });
        if standing == Some(TokenStatus::Later) {
            note_ui(ui, "It applies later in the run.", theme::small(), tokens.dim);
        }
    }
    if let Some(index) = forgotten {
        recipe.edits.remove(index);
    }
    undo_ui(ui, &state.words, commands);
    if recipe.edits.len() > 1 {
        save_ui(ui, &state.words, &recipe.edits, commands);
    }
}

/// The most characters of an edit that are shown.
const MAX_LETTERS: usize = 32;

fn undo_ui(ui: &mut Ui, words: &WordsState, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        for (name, key, is_possible, command) in [
            ("Undo", "Ctrl+Z", words.can_undo(), WordsCommand::Undo),
            ("Redo", "Ctrl+Shift+Z", words.can_redo(), WordsCommand::Redo),
        ] {
            ui.add_enabled_ui(is_possible, |ui| {
                if text_button_ui(ui, None, name, Some(key)).clicked() {
                    commands.push(Command::Words(command));
                }
            });
        }
    });
}
