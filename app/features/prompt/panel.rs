//! The prompt and the negative prompt: text field, token count and token chips.

use std::ops::Range;
use std::sync::Arc;

use egui::{Align, Layout, Response, RichText, Ui};
use engine::format::ellipsize;
use engine::prompt::{ConceptMatch, MatchKind, PromptWeights};
use engine::recipe::Recipe;

use super::prompt_words::{avoid_id, prompt_id, warnings_ui};
use super::text_field::{Coloured, PromptField, prompt_field_ui};
use super::token_chips::{TokenChips, token_chips_ui};
use crate::features::command::Command;
use crate::features::prompt::Prompts;
use crate::features::prompt::read_prompt::ReadPrompt;
use crate::features::settings::Tab;
use crate::features::settings::tab::open_tab;
use crate::features::state::AppState;
use crate::features::words::{TokenRef, WordsCommand};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{label_ui, note_ui};

pub fn prompt_ui(ui: &mut Ui, state: &AppState, recipe: &mut Recipe, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let is_weighed = recipe.text.weights != PromptWeights::None;
    let label = heading_ui(ui, "Prompt", state.prompts.prompt.as_deref());
    let prompt =
        PromptField { id: prompt_id(), name: "Prompt", hint: "A large fox in the snow", rows: 3, is_weighed };
    let edited: Vec<TokenRef> = state.words.stands().collect();
    let stands = state.prompts.prompt.as_ref().map(|read| (read, &edited[..]));
    written_ui(ui, state, &prompt, &mut recipe.prompt, stands, commands).labelled_by(label.id);

    ui.add_space(theme::GAP_M);
    let counted = state.prompts.negative_prompt.as_deref();
    let label = heading_ui(ui, "Negative prompt", counted.filter(|_| !recipe.negative_prompt.is_empty()));
    let avoid = PromptField {
        id: avoid_id(),
        name: "Negative prompt",
        hint: "What you do not want in the picture",
        rows: 1,
        is_weighed,
    };
    let stands = state.prompts.negative_prompt.as_ref().map(|read| (read, &[][..]));
    let response = written_ui(ui, state, &avoid, &mut recipe.negative_prompt, stands, commands);
    response.labelled_by(label.id).on_hover_text("Guidance steers the picture away from it.");
    if recipe.guidance.cfg_scale == 1.0 && !recipe.negative_prompt.is_empty() {
        note_ui(ui, "This has no effect at guidance 1.", theme::small(), tokens.amber_text);
    }
}

fn heading_ui(ui: &mut Ui, name: &str, counted: Option<&ReadPrompt>) -> Response {
    let heading = ui.horizontal(|ui| {
        let label = label_ui(ui, name);
        if let Some(counted) = counted {
            count_ui(ui, counted);
        }
        label
    });
    heading.inner
}

/// A prompt's field, its chips, and its warnings.
fn written_ui(
    ui: &mut Ui,
    state: &AppState,
    field: &PromptField<'_>,
    text: &mut String,
    read: Option<(&Arc<ReadPrompt>, &[TokenRef])>,
    commands: &mut Vec<Command>,
) -> Response {
    let tokens = Tokens::of(ui);
    let mark = |text: &str| marks_of(&state.prompts, text, read.map(|(read, _)| read.as_ref()));
    let colours = |text: &str| {
        let edited = read.map_or_else(Vec::new, |(read, edited)| edited_in(read, edited, text));
        colours_of(&mark(text), edited, tokens)
    };
    let shown = prompt_field_ui(ui, field, text, &colours);
    if let (Some((read, edited)), Some(words)) = (read, &state.prompts.tokenizer)
        && !read.prompt.is_empty()
    {
        let can_choose = field.id == prompt_id();
        let chosen = state.words.chosen.as_ref().filter(|_| can_choose);
        let chips = TokenChips {
            id: field.id,
            read,
            words,
            edited,
            chosen: chosen.and_then(|at| state.prompts.stand_of(at)),
            pointed: shown.pointed.filter(|_| *text == read.prompt),
            cursor: shown.cursor,
            can_choose,
        };
        let chips = token_chips_ui(ui, &chips);
        if let Some(range) = chips.marked.filter(|_| *text == read.prompt) {
            shown.mark(&range, tokens.line_strong.gamma_multiply(0.7));
        }
        if let Some(stand) = chips.clicked {
            commands.push(Command::Words(WordsCommand::Choose(state.prompts.selector_at(stand))));
            commands.push(open_tab(ui, Tab::Words));
        }
        steps_ui(ui, read);
    }
    warnings_ui(ui, text, mark);
    cut_ui(ui, read.map(|(read, _)| read.as_ref()));
    shown.response
}

/// Says which steps the chips belong to, if the prompt changes during a run.
fn steps_ui(ui: &mut Ui, read: &ReadPrompt) {
    if !read.changes {
        return;
    }
    let (first, last) = (read.steps.start() + 1, read.steps.end() + 1);
    let steps =
        if first == last { format!("At step {first}.") } else { format!("At steps {first} to {last}.") };
    let text = format!("{steps} Point at other steps in the filmstrip to see theirs.");
    note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
}

/// The concepts of a text; found when the text was read, unless the text is newer.
fn marks_of(prompts: &Prompts, text: &str, read: Option<&ReadPrompt>) -> Vec<ConceptMatch> {
    match read {
        Some(read) if text == read.prompt => read.marks.clone(),
        _ => prompts.tokenizer.as_ref().map_or_else(Vec::new, |words| words.marks(text)),
    }
}

/// The edited ranges of a text, which may be newer than the prompt as read.
fn edited_in(read: &ReadPrompt, edited: &[TokenRef], text: &str) -> Vec<Range<usize>> {
    if edited.is_empty() {
        return Vec::new();
    }
    let (was, is) = (read.prompt.as_bytes(), text.as_bytes());
    let kept = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    let end = was[kept..].iter().rev().zip(is[kept..].iter().rev()).take_while(|(was, is)| was == is).count();
    let moved = |range: &Range<usize>| {
        let behind = |at: usize| is.len() - (was.len() - at);
        match range {
            range if range.end <= kept => Some(range.clone()),
            range if range.start >= was.len() - end => Some(behind(range.start)..behind(range.end)),
            _ => None,
        }
    };
    let tokens = edited.iter().filter_map(|at| read.parts.get(at.part)?.1.at(at.place));
    tokens.filter_map(|token| moved(&token.range)).collect()
}

/// Edited words in violet, concepts in coral, and words that only look like concepts in amber.
fn colours_of(marks: &[ConceptMatch], edited: Vec<Range<usize>>, tokens: &Tokens) -> Vec<Coloured> {
    let is_free =
        |range: &Range<usize>| !edited.iter().any(|it| it.start < range.end && range.start < it.end);
    let concepts = marks.iter().filter(|mark| is_free(&mark.range)).map(|mark| match mark.meaning {
        MatchKind::Concept(_) => (mark.range.clone(), tokens.coral_text),
        MatchKind::NotUsable { .. } | MatchKind::Unknown { .. } | MatchKind::ExtraNetwork => {
            (mark.range.clone(), tokens.amber_text)
        }
    });
    let mut colours: Vec<_> = concepts.collect();
    colours.extend(edited.into_iter().map(|range| (range, tokens.violet)));
    colours.sort_by_key(|(range, _)| range.start);
    colours
}

fn count_ui(ui: &mut Ui, read: &ReadPrompt) {
    let tokens = Tokens::of(ui);
    let ink = if read.cut().is_empty() { tokens.dim } else { tokens.amber_text };
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let text = format!("{} / {}", read.used(), read.capacity());
        ui.label(RichText::new(text).font(theme::mono()).color(ink)).on_hover_text(
            "Tokens are parts of words and the vectors of concepts. The model reads only as \
                many as fit.",
        );
    });
}

/// Says which part the model does not read.
fn cut_ui(ui: &mut Ui, read: Option<&ReadPrompt>) {
    let Some(cut) = read.map(ReadPrompt::cut).filter(|cut| !cut.is_empty()) else { return };
    const MAX_LETTERS: usize = 60;
    let text = format!("Too long: the model does not read \"{}\"", ellipsize(cut, MAX_LETTERS));
    note_ui(ui, text, theme::small(), Tokens::of(ui).amber_text);
}
