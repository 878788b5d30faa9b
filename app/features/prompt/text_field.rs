//! The prompt's text field: words coloured by meaning, and keys that change weights.

use std::ops::Range;
use std::sync::Arc;

use egui::layers::ShapeIdx;
use egui::text::{CCursor, CCursorRange, CharIndex, LayoutJob, TextFormat};
use egui::text_edit::TextEditState;
use egui::{
    Color32, Frame, Galley, Key, Margin, Modifiers, Painter, Pos2, Rect, Response, RichText, ScrollArea,
    Shape, Stroke, StrokeKind, TextEdit, Ui, vec2,
};

use super::prompt_words::note_focus;
use crate::features::prompt::weight_keys;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::field_frame;

/// The options of a prompt field.
pub struct PromptField<'a> {
    pub id: egui::Id,
    pub name: &'a str,
    pub hint: &'a str,
    /// The minimum number of rows.
    pub rows: usize,
    /// Brackets mean weights in this field.
    pub is_weighed: bool,
}

/// The result of showing the field.
pub struct ShownField {
    pub response: Response,
    /// The byte of the text under the pointer.
    pub pointed: Option<usize>,
    /// The byte after the cursor, while the field has the focus.
    pub cursor: Option<usize>,
    galley: Arc<Galley>,
    galley_at: Pos2,
    painter: Painter,
    /// Space kept free after the text.
    behind: ShapeIdx,
}

/// A range of a text, in bytes, with its colour.
pub type Coloured = (Range<usize>, Color32);

const ROW: f32 = 21.0;
const MAX_ROWS: f32 = 8.0;

/// A text field that grows with its text up to eight rows, then scrolls. `colours` returns the
/// coloured ranges of a text, in order.
pub fn prompt_field_ui(
    ui: &mut Ui,
    field: &PromptField<'_>,
    text: &mut String,
    colours: &dyn Fn(&str) -> Vec<Coloured>,
) -> ShownField {
    let tokens = Tokens::of(ui);
    let focused = ui.memory(|memory| memory.has_focus(field.id));
    if focused && field.is_weighed {
        weigh_by_keys(ui, field.id, text);
    }
    let hint = RichText::new(field.hint).font(theme::prompt()).line_height(Some(ROW)).color(tokens.faint);
    let width = ui.available_width();
    let margin = Margin::symmetric(12, 8);
    let inner_height = ROW * field.rows as f32;
    let mut lay_out = |ui: &Ui, text: &dyn egui::TextBuffer, wrap_width: f32| {
        let mut format = TextFormat::simple(theme::prompt(), tokens.text);
        format.line_height = Some(ROW);
        let mut job = coloured(text.as_str(), &colours(text.as_str()), &format);
        job.wrap.max_width = wrap_width;
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    };
    let shown = field_frame(tokens, focused).show(ui, |ui| {
        let scroll = ScrollArea::vertical()
            .id_salt(field.id)
            .max_height(ROW * MAX_ROWS + 16.0)
            .auto_shrink([false, true]);
        let inner = scroll.show(ui, |ui| {
            let (painter, behind) = (ui.painter().clone(), ui.painter().add(Shape::Noop));
            let output = TextEdit::multiline(text)
                .id(field.id)
                .font(theme::prompt())
                .text_color(tokens.text)
                .layouter(&mut lay_out)
                .hint_text(hint)
                .frame(Frame::NONE.inner_margin(margin))
                .desired_rows(field.rows)
                .desired_width(width - 24.0 - 2.0)
                .min_size(vec2(width - 2.0, inner_height + 16.0))
                .show(ui);
            (output, painter, behind)
        });
        inner.inner
    });
    if focused {
        note_focus(ui.ctx(), field.id);
        // A soft halo outside the line, as in the drawings.
        let halo = Stroke::new(2.0, tokens.accent.gamma_multiply(0.30));
        let rect = shown.response.rect;
        ui.painter().rect_stroke(rect, theme::CORNER_FIELD, halo, StrokeKind::Outside);
    }
    let (output, painter, behind) = shown.inner;
    let response = output.response.response.clone().accessible_name(field.name);
    let (galley, galley_at) = (output.galley, output.galley_pos);
    let pointed = response.hover_pos().and_then(|at| byte_at(&galley, at - galley_at.to_vec2()));
    let letters = output.cursor_range.filter(|_| focused).map(|range| range.primary.index.0);
    let cursor = letters.map(|letters| byte_of(galley.text(), letters));
    ShownField { response, pointed, cursor, galley, galley_at, painter, behind }
}

impl ShownField {
    /// Highlights a range of the text, given in bytes.
    pub fn mark(&self, range: &Range<usize>, color: Color32) {
        let text = self.galley.text();
        let Some(letters) = text.get(range.clone()) else { return };
        let start = text[..range.start].chars().count();
        let rects = rects_of(&self.galley, start..start + letters.chars().count());
        let shapes = rects.map(|rect| {
            let rect = rect.translate(self.galley_at.to_vec2()).expand2(vec2(1.5, -1.0));
            Shape::rect_filled(rect, 3.0, color)
        });
        self.painter.set(self.behind, Shape::Vec(shapes.collect()));
    }
}

/// Lays out a text with coloured ranges.
fn coloured(text: &str, colours: &[Coloured], plain: &TextFormat) -> LayoutJob {
    let mut job = LayoutJob::default();
    let mut from = 0;
    for (range, color) in colours {
        let (Some(before), Some(own)) = (text.get(from..range.start), text.get(range.clone())) else {
            continue;
        };
        job.append(before, 0.0, plain.clone());
        job.append(own, 0.0, TextFormat { color: *color, ..plain.clone() });
        from = range.end;
    }
    job.append(&text[from..], 0.0, plain.clone());
    job
}

/// The byte of the character at a point of a galley.
fn byte_at(galley: &Galley, at: Pos2) -> Option<usize> {
    let mut letters_before = 0;
    for row in &galley.rows {
        if row.rect().contains(at) {
            let mut glyphs = row.glyphs.iter();
            let x = at.x - row.pos.x;
            let column = glyphs.position(|glyph| (glyph.pos.x..glyph.max_x()).contains(&x))?;
            return Some(byte_of(galley.text(), letters_before + column));
        }
        letters_before += row.char_count_including_newline().0;
    }
    None
}

/// The byte at which a character starts; the end of the text beyond the last.
fn byte_of(text: &str, letter: usize) -> usize {
    text.char_indices().nth(letter).map_or(text.len(), |(at, _)| at)
}

/// The rectangles of characters of a galley, row by row.
fn rects_of(galley: &Galley, letters: Range<usize>) -> impl Iterator<Item = Rect> {
    let mut before = 0;
    galley.rows.iter().filter_map(move |row| {
        let (from, to) = (letters.start.max(before), letters.end.min(before + row.glyphs.len()));
        let columns = (from <= to).then(|| from - before..to - before);
        before += row.char_count_including_newline().0;
        let columns = columns.filter(|columns| !columns.is_empty())?;
        let x = |column: usize| row.pos.x + row.x_offset(CharIndex(column));
        Some(Rect::from_x_y_ranges(x(columns.start)..=x(columns.end), row.rect().y_range()))
    })
}

/// Ctrl with the up and down arrows changes the weight of the selection.
fn weigh_by_keys(ui: &Ui, id: egui::Id, text: &mut String) {
    let presses = ui.input_mut(|input| {
        let mut pressed = |key| input.count_and_consume_key(Modifiers::COMMAND, key) as f32;
        pressed(Key::ArrowUp) - pressed(Key::ArrowDown)
    });
    if presses == 0.0 {
        return;
    }
    let mut edit = TextEditState::load(ui.ctx(), id).unwrap_or_default();
    let Some(selected) = edit.cursor.char_range() else { return };
    let letters = selected.as_sorted_char_range();
    let selection = byte_of(text, letters.start.0)..byte_of(text, letters.end.0);
    let Some((weighed, selection)) = weight_keys::weighed(text, selection, presses * weight_keys::STEP)
    else {
        return;
    };
    let letter = |byte: usize| CCursor::new(weighed[..byte].chars().count());
    edit.cursor.set_char_range(Some(CCursorRange::two(letter(selection.start), letter(selection.end))));
    edit.store(ui.ctx(), id);
    *text = weighed;
}
