//! Inserting words into a prompt by a click, and warnings about words that are not concepts.

use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{Context, Id, Ui};
use engine::prompt::{ConceptMatch, MatchKind};

use crate::features::command::Command;
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{link_ui, note_ui};

/// The most warnings shown at once.
const MAX_WARNINGS: usize = 3;

/// The prompt field's id, which gets the focus at the start.
pub fn prompt_id() -> Id {
    Id::unique("prompt")
}

pub fn avoid_id() -> Id {
    Id::unique("avoid")
}

/// Remembers which prompt was edited last.
pub fn note_focus(ctx: &Context, field: Id) {
    ctx.data_mut(|data| data.insert_temp(Id::unique("last prompt"), field));
}

/// Inserts a word into the prompt that was edited last, at its cursor.
pub fn insert_word(ctx: &Context, shared: &Shared, word: &str) -> Command {
    let field = ctx.data(|data| data.get_temp(Id::unique("last prompt"))).unwrap_or_else(prompt_id);
    let mut recipe = shared.recipe.clone();
    let text = if field == avoid_id() { &mut recipe.negative_prompt } else { &mut recipe.prompt };
    let mut edit = TextEditState::load(ctx, field).unwrap_or_default();
    let at = edit.cursor.char_range().map_or(usize::MAX, |range| range.primary.index.0);
    let (written, cursor) = with_word(text, at, word);
    *text = written;
    edit.cursor.set_char_range(Some(CCursorRange::one(CCursor::new(cursor))));
    edit.store(ctx, field);
    ctx.memory_mut(|memory| memory.request_focus(field));
    Command::Edit(Box::new(recipe))
}

/// A text with a word inserted at a character index, separated from its neighbours; and where the
/// word ends, in characters.
pub fn with_word(text: &str, at: usize, word: &str) -> (String, usize) {
    let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
    let (left, right) = text.split_at(at);
    let apart_left = left.is_empty() || left.ends_with(|c: char| c.is_whitespace() || "([".contains(c));
    let apart_right =
        right.is_empty() || right.starts_with(|c: char| c.is_whitespace() || ",.;:)]".contains(c));
    let space = |apart: bool| if apart { "" } else { " " };
    let written = format!("{left}{}{word}", space(apart_left));
    let cursor = written.chars().count();
    (format!("{written}{}{right}", space(apart_right)), cursor)
}

/// Warns of words that look like concepts but are not, with the remedy where there is one.
pub fn warnings_ui(ui: &mut Ui, text: &mut String, marks: impl Fn(&str) -> Vec<ConceptMatch>) {
    let tokens = Tokens::of(ui);
    let mut said: Vec<String> = Vec::new();
    let mut remedy = None;
    for mark in marks(text) {
        let Some(warning) = mark.warning(text).filter(|warning| !said.contains(warning)) else { continue };
        if said.len() == MAX_WARNINGS {
            break;
        }
        note_ui(ui, &warning, theme::small(), tokens.amber_text);
        if let MatchKind::Unknown { nearest: Some(nearest) } = &mark.meaning
            && link_ui(ui, &format!("Use {nearest}"), theme::small(), tokens.amber_text, true).clicked()
        {
            remedy = Some((mark.range.clone(), nearest.clone()));
        }
        said.push(warning);
    }
    if let Some((range, nearest)) = remedy {
        text.replace_range(range, &nearest);
    }
}
