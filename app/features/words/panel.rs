//! The Words tab: how prompts are read, edits of single words, and mixed prompts.

use egui::{Align, Key, Layout, RichText, ScrollArea, Ui, vec2};
use engine::prompt::{PromptOverflow, PromptWeights, TextOptions};
use engine::recipe::Recipe;

use super::edit::word_ui;
use super::list::edits_ui;
use super::mix::mix_ui;
use crate::features::command::Command;
use crate::features::errors::ErrorSlot;
use crate::features::state::AppState;
use crate::features::words::WordsCommand;
use crate::ui::section::{heading_ui, rule_ui};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Number, NumberLook, label_ui, note_ui, number_ui, problem_ui, segmented_ui};

pub fn words_ui(ui: &mut Ui, state: &AppState, recipe: &mut Recipe, commands: &mut Vec<Command>) {
    ScrollArea::vertical().id_salt("words").auto_shrink([false, false]).show(ui, |ui| {
        if let Some(text) = state.shared.error_at(ErrorSlot::Words) {
            problem_ui(ui, &text, false);
            ui.add_space(theme::GAP_M);
        }
        options_ui(ui, &mut recipe.text);
        rule_ui(ui, theme::GAP_L);
        match &state.words.chosen {
            Some(at) => word_ui(ui, state, recipe, at, commands),
            None => help_ui(ui),
        }
        if !recipe.edits.is_empty() || state.words.can_undo() || state.words.can_redo() {
            rule_ui(ui, theme::GAP_L);
            edits_ui(ui, state, recipe, commands);
        }
        rule_ui(ui, theme::GAP_L);
        mix_ui(ui, recipe, commands);
        ui.add_space(theme::GAP_M);
    });
    let is_released = ui.input(|input| input.pointer.any_released());
    let is_key =
        ui.input(|input| [Key::Enter, Key::Tab, Key::Space].iter().any(|&key| input.key_pressed(key)));
    if is_released || is_key && !ui.ctx().text_edit_focused() {
        commands.push(Command::Words(WordsCommand::EndEdit));
    }
}

/// How both prompts are read.
fn options_ui(ui: &mut Ui, text: &mut TextOptions) {
    heading_ui(ui, "How prompts are read", "");
    ui.add_space(theme::GAP_S);
    let weights = PromptWeights::ALL.map(|weights| weights.label().to_owned());
    let chosen = PromptWeights::ALL.iter().position(|&weights| weights == text.weights).unwrap_or_default();
    option_ui(ui, "Weights", |ui| {
        let hint = |index: usize| PromptWeights::ALL[index].hint().to_owned();
        if let Some(index) = segmented_ui(ui, "Weights", &weights, chosen, hint) {
            text.weights = PromptWeights::ALL[index];
        }
    });
    let long = PromptOverflow::ALL.map(|long| long.label().to_owned());
    let chosen = PromptOverflow::ALL.iter().position(|&long| long == text.overflow).unwrap_or_default();
    option_ui(ui, "Long prompts", |ui| {
        let hint = |index: usize| PromptOverflow::ALL[index].hint().to_owned();
        if let Some(index) = segmented_ui(ui, "Long prompts", &long, chosen, hint) {
            text.overflow = PromptOverflow::ALL[index];
        }
    });
    option_ui(ui, "Clip skip", |ui| {
        let number = Number {
            name: "Clip skip",
            limits: 1.0..=f64::from(MAX_SKIPPED),
            decimals: 0,
            step: 1.0,
            look: NumberLook { size: vec2(52.0, theme::TOOL_SIDE), ..NumberLook::default() },
        };
        let mut skip = f64::from(text.clip_skip);
        let sentence = "Which layer of the text encoder is used, counted from the last (1). Use 2 for models \
            that were trained with it.";
        if number_ui(ui, &number, &mut skip).on_hover_text(sentence).changed() {
            text.clip_skip = skip as u32;
        }
    });
}

/// Layers of Stable Diffusion 1's text encoder; the model info does not have the number.
const MAX_SKIPPED: u32 = 12;

fn option_ui(ui: &mut Ui, name: &str, control: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_min_height(theme::TOOL_SIDE);
        label_ui(ui, name);
        ui.with_layout(Layout::right_to_left(Align::Center), control);
    });
}

/// Help, before a word is selected.
fn help_ui(ui: &mut Ui) {
    let tokens = Tokens::of(ui);
    heading_ui(ui, "A word of the prompt", "");
    ui.add_space(theme::GAP_S);
    let text = "Click a word under the prompt to replace it with another word, a blend, or a sum of words. \
        The prompt stays as you wrote it; only the embeddings change.";
    note_ui(ui, text, theme::small(), tokens.dim);
    ui.add_space(theme::GAP_M);
    for (written, meaning) in [
        ("cat", "another word in its place"),
        ("0.5*puppy + 0.5*skunk", "half of each"),
        ("king - man + woman", "a sum: a queen, nearly"),
        ("<birb-style>", "a loaded concept"),
        ("#2368", "a token by its id"),
    ] {
        ui.horizontal(|ui| {
            ui.label(RichText::new(written).font(theme::mono()).color(tokens.violet));
            ui.label(RichText::new(meaning).font(theme::small()).color(tokens.dim));
        });
    }
}
