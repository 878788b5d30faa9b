//! One token of the prompt: its facts, and the edit that changes it.

use egui::{Align, Layout, RichText, Ui, vec2};
use engine::prompt::{EditNoise, EmbeddingEdit, TokenSelector};
use engine::recipe::Recipe;

use super::replacement::{becomes_ui, tenth_places};
use super::save::save_ui;
use super::stages::stages_ui;
use crate::features::attention::panel::light_ui;
use crate::features::command::Command;
use crate::features::prompt::Prompts;
use crate::features::prompt::chip::chip_label;
use crate::features::state::AppState;
use crate::features::words::WordsCommand;
use crate::features::words::edit_terms::own_source;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Icon, NumberLook, SliderRow, Tool, check_ui, close_ui, icon_button_ui, label_ui, note_ui, seed_ui,
    slider_row_ui, text_button_ui,
};

/// The selected token: its facts and its replacement.
pub fn word_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    at: &TokenSelector,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    let stand = state.prompts.stand_of(at);
    let token = stand.and_then(|stand| state.prompts.token_at(stand));
    ui.horizontal(|ui| {
        let piece = token.filter(|token| token.vector.is_none());
        let piece = piece.and_then(|token| state.prompts.tokenizer.as_ref()?.piece(token.id));
        let name = chip_label(piece.as_deref(), &at.text);
        ui.label(RichText::new(name).font(theme::title()).color(tokens.text));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if close_ui(ui, "Deselect the word").clicked() {
                commands.push(Command::Words(WordsCommand::Choose(None)));
            }
        });
    });
    let (Some(stand), Some(token), Some(words)) = (stand, token, &state.prompts.tokenizer) else {
        let text = format!("\"{}\" is not in the part of the prompt that is read.", at.text);
        note_ui(ui, text, theme::small(), tokens.amber_text);
        return;
    };
    let id = match &token.vector {
        None => format!("id {}", token.id),
        Some((concept, _)) => format!("{} of a concept", vectors(concept.count())),
    };
    let weight = (f64::from(token.weight) * 1e3).round() / 1e3;
    let facts = format!("{id} · position {} · weight {weight}", stand.place.position);
    ui.label(RichText::new(facts).font(theme::mono()).color(tokens.dim));
    part_ui(ui, &state.prompts, at, commands);
    ui.add_space(theme::GAP_M);

    let index = recipe.edits.iter().position(|edit| edit.selector == *at);
    let mut edit = index.map_or_else(|| EmbeddingEdit::new(at.clone()), |index| recipe.edits[index].clone());
    ui.push_id(("edit", at), |ui| becomes_ui(ui, words, &mut edit, own_source(words, token, at)));
    ui.add_space(theme::GAP_S);
    changes_ui(ui, &mut edit);
    written_ui(ui, &mut edit);
    if !edit.is_idle() {
        save_ui(ui, &state.words, std::slice::from_ref(&edit), commands);
    }
    ui.add_space(theme::GAP_M);
    light_ui(ui, state, commands);
    ui.add_space(theme::GAP_M);
    stages_ui(ui, state, stand);
    match index {
        Some(index) if edit.is_idle() => drop(recipe.edits.remove(index)),
        Some(index) => recipe.edits[index] = edit,
        None if edit.is_idle() => {}
        None => recipe.edits.push(edit),
    }
}

fn vectors(count: usize) -> String {
    if count == 1 { "1 vector".to_owned() } else { format!("{count} vectors") }
}

/// Which of several tokens with this text is meant.
fn part_ui(ui: &mut Ui, prompts: &Prompts, at: &TokenSelector, commands: &mut Vec<Command>) {
    let parts = (0..).take_while(|&part| prompts.stand_of(&TokenSelector { part, ..at.clone() }).is_some());
    let count = parts.take(MAX_PARTS).count();
    if count < 2 {
        return;
    }
    let last = count as f64;
    let row = SliderRow {
        name: "Vector",
        sentence: "This text is several tokens. Choose which one to inspect.",
        track: 1.0..=last,
        limits: 1.0..=last,
        default: 1.0,
        step: 1.0,
        decimals: 0,
        hue: Tokens::of(ui).coral,
    };
    let mut number = (at.part + 1) as f64;
    if slider_row_ui(ui, &row, &mut number).changed() {
        let part = number as usize - 1;
        commands.push(Command::Words(WordsCommand::Choose(Some(TokenSelector { part, ..at.clone() }))));
    }
}

/// As many as fit into a chunk.
const MAX_PARTS: usize = 75;

/// Scale, noise and position.
fn changes_ui(ui: &mut Ui, edit: &mut EmbeddingEdit) {
    let hue = Tokens::of(ui).violet;
    let row = |name, sentence, track, limits: std::ops::RangeInclusive<f32>, default| SliderRow {
        name,
        sentence,
        track,
        limits: f64::from(*limits.start())..=f64::from(*limits.end()),
        default,
        step: 0.05,
        decimals: 2,
        hue,
    };
    let sentence = "Scales the length of the embedding.";
    let scale = row("Scale", sentence, 0.0..=2.0, EmbeddingEdit::SCALE, 1.0);
    let mut value = tenth_places(edit.scale);
    if slider_row_ui(ui, &scale, &mut value).changed() {
        edit.scale = value as f32;
    }
    let sentence = "Adds noise, relative to the size of the embedding.";
    let noise = row("Noise", sentence, 0.0..=2.0, EmbeddingEdit::NOISE, 0.0);
    let mut value = tenth_places(edit.noise.map_or(0.0, |noise| noise.amount));
    if slider_row_ui(ui, &noise, &mut value).changed() {
        let seed = edit.noise.map_or(0, |noise| noise.seed);
        edit.noise = (value > 0.0).then_some(EditNoise { amount: value as f32, seed });
    }
    if let Some(noise) = &mut edit.noise {
        ui.horizontal(|ui| {
            label_ui(ui, "Seed of the noise");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let look = NumberLook { size: vec2(96.0, 24.0), ..NumberLook::default() };
                seed_ui(ui, "Seed of the noise", &look, &mut noise.seed);
            });
        });
    }
    let sentence = "Whether the model is told the position of this word in the prompt.";
    check_ui(ui, "Position embedding", sentence, &mut edit.has_position);
}

/// The edit as the command line takes it, and its reset button.
fn written_ui(ui: &mut Ui, edit: &mut EmbeddingEdit) {
    if edit.is_idle() {
        return;
    }
    let tokens = Tokens::of(ui);
    ui.add_space(theme::GAP_S);
    let written = edit.to_string();
    ui.horizontal_top(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            let sentence = "Copies it in the form that --edit takes on the command line.";
            if icon_button_ui(ui, Icon::Copy, "Copy this edit", None, sentence, Tool::Bare).clicked() {
                ui.ctx().copy_text(written.clone());
            }
            ui.with_layout(Layout::left_to_right(Align::Min), |ui| {
                note_ui(ui, &written, theme::mono(), tokens.violet);
            });
        });
    });
    if text_button_ui(ui, None, "Reset this word", None).clicked() {
        *edit = EmbeddingEdit::new(edit.selector.clone());
    }
}
