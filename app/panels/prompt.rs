//! What is asked for, and what is to be avoided, with the count of tokens that fit.

use egui::text::{LayoutJob, TextFormat};
use egui::{Align, Frame, Layout, Margin, Response, RichText, Stroke, StrokeKind, TextEdit, Ui, vec2};
use engine::recipe::Recipe;
use engine::text::{Mark, Meaning};

use super::prompt_words::{avoid_id, note_focus, prompt_id, warnings_ui};
use crate::read_prompt::ReadPrompt;
use crate::state::AppState;
use crate::theme::{self, Tokens};
use crate::widgets::{field_frame, label_ui, note_ui};

pub fn prompt_ui(ui: &mut Ui, state: &AppState, recipe: &mut Recipe) {
    let tokens = Tokens::of(ui);
    let label = ui
        .horizontal(|ui| {
            let label = label_ui(ui, "Prompt");
            if let Some(counted) = &state.prompt {
                count_ui(ui, counted);
            }
            label
        })
        .inner;
    let prompt = Field { id: prompt_id(), name: "Prompt", hint: "A large fox in the snow", rows: 3 };
    let mark = |text: &str| marks_of(state, text, state.prompt.as_ref());
    field_ui(ui, &prompt, &mut recipe.prompt, &mark).labelled_by(label.id);
    warnings_ui(ui, &mut recipe.prompt, mark);
    cut_ui(ui, state.prompt.as_ref());

    ui.add_space(theme::GAP_M);
    let label = ui
        .horizontal(|ui| {
            let label = label_ui(ui, "Avoid");
            let counted = state.negative_prompt.as_ref();
            if let Some(counted) = counted.filter(|_| !recipe.negative_prompt.is_empty()) {
                count_ui(ui, counted);
            }
            label
        })
        .inner;
    let avoid = Field { id: avoid_id(), name: "Avoid", hint: "What should not be there", rows: 1 };
    let mark = |text: &str| marks_of(state, text, state.negative_prompt.as_ref());
    let response = field_ui(ui, &avoid, &mut recipe.negative_prompt, &mark).labelled_by(label.id);
    warnings_ui(ui, &mut recipe.negative_prompt, mark);
    if recipe.guidance.cfg_scale == 1.0 && !recipe.negative_prompt.is_empty() {
        note_ui(ui, "At guidance 1 this has no effect.", theme::small(), tokens.amber_text);
    }
    response.on_hover_text("The negative prompt: guidance leads away from it.");
    cut_ui(ui, state.negative_prompt.as_ref());
}

/// Where the concepts of a text are; it was looked through when it was read, unless it is newer.
fn marks_of(state: &AppState, text: &str, read: Option<&ReadPrompt>) -> Vec<Mark> {
    match read {
        Some(read) if text == read.prompt => read.marks.clone(),
        _ => state.words.as_ref().map_or_else(Vec::new, |words| words.marks(text)),
    }
}

struct Field<'a> {
    id: egui::Id,
    name: &'a str,
    hint: &'a str,
    rows: usize,
}

/// A text field that grows with its text up to eight rows, then scrolls.
fn field_ui(
    ui: &mut Ui,
    field: &Field<'_>,
    text: &mut String,
    marks: &dyn Fn(&str) -> Vec<Mark>,
) -> Response {
    const ROW: f32 = 21.0;
    const MOST_ROWS: f32 = 8.0;
    let tokens = Tokens::of(ui);
    let focused = ui.memory(|memory| memory.has_focus(field.id));
    let hint = RichText::new(field.hint).font(theme::prompt()).line_height(Some(ROW)).color(tokens.faint);
    let width = ui.available_width();
    let margin = Margin::symmetric(12, 8);
    let inner_height = ROW * field.rows as f32;
    let frame = field_frame(tokens, focused);
    let mut lay_out = |ui: &Ui, text: &dyn egui::TextBuffer, wrap_width: f32| {
        let mut format = TextFormat::simple(theme::prompt(), tokens.text);
        format.line_height = Some(ROW);
        let mut job = coloured(text.as_str(), &marks(text.as_str()), &format, tokens);
        job.wrap.max_width = wrap_width;
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    };
    let shown = frame.show(ui, |ui| {
        egui::ScrollArea::vertical()
            .id_salt(field.id)
            .max_height(ROW * MOST_ROWS + 16.0)
            .auto_shrink([false, true])
            .show(ui, |ui| {
                TextEdit::multiline(text)
                    .id(field.id)
                    .font(theme::prompt())
                    .text_color(tokens.text)
                    .layouter(&mut lay_out)
                    .hint_text(hint)
                    .frame(Frame::NONE.inner_margin(margin))
                    .desired_rows(field.rows)
                    .desired_width(width - 24.0 - 2.0)
                    .min_size(vec2(width - 2.0, inner_height + 16.0))
                    .show(ui)
                    .response
                    .response
                    .clone()
            })
            .inner
    });
    if focused {
        note_focus(ui.ctx(), field.id);
        // A soft halo outside the line, as the drawings have it.
        let halo = Stroke::new(2.0, tokens.accent.gamma_multiply(0.30));
        let rect = shown.response.rect;
        ui.painter().rect_stroke(rect, theme::CORNER_FIELD, halo, StrokeKind::Outside);
    }
    shown.inner.accessible_name(field.name)
}

/// A text with its concepts in coral, and in amber what only looks like one.
fn coloured(text: &str, marks: &[Mark], plain: &TextFormat, tokens: &Tokens) -> LayoutJob {
    let mut job = LayoutJob::default();
    let mut from = 0;
    for Mark { range, meaning } in marks {
        let color = match meaning {
            Meaning::Concept(_) => tokens.coral_text,
            Meaning::Misfit { .. } | Meaning::Unknown { .. } => tokens.amber_text,
        };
        job.append(&text[from..range.start], 0.0, plain.clone());
        job.append(&text[range.clone()], 0.0, TextFormat { color, ..plain.clone() });
        from = range.end;
    }
    job.append(&text[from..], 0.0, plain.clone());
    job
}

fn count_ui(ui: &mut Ui, read: &ReadPrompt) {
    let tokens = Tokens::of(ui);
    let ink = if read.cut().is_empty() { tokens.dim } else { tokens.amber_text };
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let text = format!("{} / {}", read.used(), read.room());
        ui.label(RichText::new(text).font(theme::mono()).color(ink)).on_hover_text(
            "Tokens: pieces of words, and the vectors of concepts. The model reads as many as there is room for, and no more.",
        );
    });
}

/// Says what the model will not read.
fn cut_ui(ui: &mut Ui, read: Option<&ReadPrompt>) {
    let Some(cut) = read.map(ReadPrompt::cut).filter(|cut| !cut.is_empty()) else { return };
    const MOST_LETTERS: usize = 60;
    let mut quoted: String = cut.chars().take(MOST_LETTERS).collect();
    if quoted.len() < cut.len() {
        quoted.push('…');
    }
    let text = format!("Too long: the model does not read \"{quoted}\"");
    note_ui(ui, text, theme::small(), Tokens::of(ui).amber_text);
}
