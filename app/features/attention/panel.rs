//! The part of the Words tab that shows where a word attends.

use egui::Ui;

use crate::features::attention::AttentionCommand;
use crate::features::command::Command;
use crate::features::state::AppState;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{bar_ui, check_ui, label_ui, note_ui, outlined_button_ui, text_button_ui};

pub fn light_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    label_ui(ui, "Where it looks");
    let Some(run) = state.run_that_looks() else {
        let is_of_other_model = state.runs.current().is_some_and(|run| !run.pictures.is_empty());
        let text = match is_of_other_model {
            true => "The model that made the picture is no longer open.",
            false => "Make a picture first. An overlay can then show where this word looks.",
        };
        note_ui(ui, text, theme::small(), tokens.dim);
        return;
    };
    let Some(reader) = state.reader() else {
        note_ui(ui, "The picture was made without this word.", theme::small(), tokens.dim);
        return;
    };
    if let Some(asked) = &state.attention.asked {
        bar_ui(ui, asked.fraction, tokens.accent);
        ui.add_space(theme::GAP_S);
        if text_button_ui(ui, None, "Stop", None).clicked() {
            commands.push(Command::Attention(AttentionCommand::Stop));
        }
        return;
    }
    if state.attention.maps.as_ref().is_some_and(|known| known.of == reader) {
        let mut is_highlighted = state.attention.is_highlighted;
        let sentence = "Bright places read this word most, averaged over all heads, layers and steps.";
        if check_ui(ui, "Overlay on the picture", sentence, &mut is_highlighted).changed() {
            commands.push(Command::Attention(AttentionCommand::Overlay(is_highlighted)));
        }
        return;
    }
    let megabytes = state.attention_bytes().unwrap_or_default() as f64 / 1e6;
    let text = format!(
        "This takes one pass of the model for each of {} steps, and {megabytes:.0} MB of memory.",
        run.frames.len()
    );
    note_ui(ui, text, theme::small(), tokens.dim);
    ui.add_space(theme::GAP_S);
    if outlined_button_ui(ui, "Show where it looks", false).clicked() {
        commands.push(Command::Attention(AttentionCommand::Ask));
    }
}
