//! What replaces a word: a weighted sum of words, and the field that adds to it.

use egui::{Align, Frame, Id, Key, Layout, Margin, RichText, TextEdit, Ui};
use engine::prompt::{EmbeddingEdit, PromptTokenizer, Source, Term};

use crate::features::words::edit_terms::{add_word, note_of, subtract_word, sum_of};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    SliderRow, close_ui, field_frame, label_ui, note_ui, outlined_button_ui, slider_row_ui,
};
use engine::format::ellipsize;

/// The weighted sum that replaces the token.
pub fn becomes_ui(ui: &mut Ui, words: &PromptTokenizer, edit: &mut EmbeddingEdit, own: Source) {
    let tokens = Tokens::of(ui);
    if !edit.replacement.is_empty() {
        label_ui(ui, "Becomes");
    }
    let mut dropped = None;
    for (index, term) in edit.replacement.iter_mut().enumerate() {
        ui.push_id(index, |ui| {
            if term_ui(ui, term) {
                dropped = Some(index);
            }
        });
        if let Some((note, is_wrong)) = note_of(words, &term.word) {
            let ink = if is_wrong { tokens.amber_text } else { tokens.dim };
            note_ui(ui, note, theme::small(), ink);
        }
    }
    if let Some(index) = dropped {
        edit.replacement.remove(index);
    }
    let Some((terms, how)) = new_words_ui(ui, edit) else { return };
    match how {
        InsertMode::Replace => edit.replacement = terms,
        InsertMode::Blend => add_word(&mut edit.replacement, own, terms),
        InsertMode::Subtract => subtract_word(&mut edit.replacement, own, terms),
    }
    edit.replacement.truncate(EmbeddingEdit::MAX);
}

/// A word with its weight. True when it is removed.
fn term_ui(ui: &mut Ui, term: &mut Term) -> bool {
    const MAX: usize = 14;
    let name = term.word.to_string();
    let row = SliderRow {
        name: &ellipsize(&name, MAX),
        sentence: "The weight of this word. Negative weights subtract it.",
        track: -1.0..=1.0,
        limits: f64::from(*EmbeddingEdit::WEIGHT.start())..=f64::from(*EmbeddingEdit::WEIGHT.end()),
        default: 1.0,
        step: 0.05,
        decimals: 2,
        hue: Tokens::of(ui).violet,
    };
    let mut is_dropped = false;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            is_dropped = close_ui(ui, &format!("Remove {name}")).clicked();
            let mut weight = tenth_places(term.weight);
            if slider_row_ui(ui, &row, &mut weight).changed() {
                term.weight = weight as f32;
            }
        });
    });
    is_dropped
}

/// The number as typed, rather than its nearest float.
pub(crate) fn tenth_places(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// How new words are added.
#[derive(Clone, Copy)]
enum InsertMode {
    Replace,
    Blend,
    Subtract,
}

/// A field for a word, a sum, a concept or an id, and its actions.
fn new_words_ui(ui: &mut Ui, edit: &EmbeddingEdit) -> Option<(Vec<Term>, InsertMode)> {
    let tokens = Tokens::of(ui);
    let id = Id::unique("words to put in");
    let mut written: String = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    let focused = ui.memory(|memory| memory.has_focus(id));
    let mut is_entered = false;
    field_frame(tokens, focused).show(ui, |ui| {
        let hint = RichText::new("A word, <concept>, #id, or a sum").font(theme::body()).color(tokens.faint);
        let field = TextEdit::singleline(&mut written).id(id).hint_text(hint).font(theme::body());
        let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 6));
        let response = ui.add(field.frame(inset).desired_width(ui.available_width()));
        is_entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        response.accessible_name("Words to insert");
    });
    let mut mode = is_entered.then_some(if edit.replacement.is_empty() {
        InsertMode::Replace
    } else {
        InsertMode::Blend
    });
    let (terms, trouble) = match sum_of(&edit.selector, &written) {
        Some(Ok(terms)) => (Some(terms), None),
        Some(Err(text)) => (None, Some(text)),
        None => (None, None),
    };
    if let Some(text) = trouble {
        note_ui(ui, text, theme::small(), tokens.amber_text);
    }
    ui.add_enabled_ui(terms.is_some(), |ui| {
        ui.horizontal(|ui| {
            for (name, sentence, this) in [
                ("Replace", "Replaces the word with this.", InsertMode::Replace),
                ("Blend in", "Blends the word with this.", InsertMode::Blend),
                ("Subtract", "Subtracts this from the word.", InsertMode::Subtract),
            ] {
                if outlined_button_ui(ui, name, false).on_hover_text(sentence).clicked() {
                    mode = Some(this);
                }
            }
        });
    });
    let done = terms.zip(mode);
    if done.is_some() {
        written.clear();
        if is_entered {
            ui.memory_mut(|memory| memory.request_focus(id));
        }
    }
    ui.data_mut(|data| data.insert_temp(id, written));
    done
}
