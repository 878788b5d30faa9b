//! Labels, notes, lines and tooltips.

use egui::{
    Color32, CornerRadius, FontId, Frame, Margin, Pos2, Rect, Response, RichText, Shape, Stroke, Ui, vec2,
};

use super::buttons::close_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// A field's label, above it.
pub fn label_ui(ui: &mut Ui, text: &str) -> Response {
    ui.label(RichText::new(text).font(theme::label()).color(Tokens::of(ui).dim))
}

/// A sentence in dim text.
pub fn note_ui(ui: &mut Ui, text: impl Into<String>, font: FontId, color: Color32) -> Response {
    ui.add(egui::Label::new(RichText::new(text).font(font).color(color)).wrap())
}

/// An error message beside its cause. True when it was dismissed.
pub fn problem_ui(ui: &mut Ui, text: &str, can_dismiss: bool) -> bool {
    let tokens = Tokens::of(ui);
    let mut dismissed = false;
    Frame::new()
        .fill(tokens.coral.gamma_multiply(0.10))
        .stroke(Stroke::new(1.0, tokens.coral.gamma_multiply(0.55)))
        .corner_radius(CornerRadius::same(theme::CORNER_FIELD))
        .inner_margin(Margin::symmetric(8, 6))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let room = if can_dismiss { 16.0 + theme::GAP_M } else { 0.0 };
                ui.vertical(|ui| {
                    ui.set_width(ui.available_width() - room);
                    note_ui(ui, text, theme::small(), tokens.coral_text);
                });
                dismissed = can_dismiss && close_ui(ui, "Dismiss").clicked();
            });
        });
    dismissed
}

/// A horizontal rule across the available width.
pub fn line_ui(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), egui::Sense::hover());
    // Filled, on whole pixels: a stroke between two pixels would almost vanish.
    let top = rect.top().round();
    let rule = Rect::from_x_y_ranges(rect.x_range(), top..=top + 1.0);
    ui.painter().rect_filled(rule, 0.0, Tokens::of(ui).line);
}

/// The frame of text fields.
pub fn field_frame(tokens: &Tokens, focused: bool) -> Frame {
    Frame::new()
        .fill(tokens.field)
        .stroke(Stroke::new(1.0, if focused { tokens.accent } else { tokens.line }))
        .corner_radius(CornerRadius::same(theme::CORNER_FIELD))
}

/// Shows a tooltip: what it is, the key, and one plain sentence.
pub fn tip(response: Response, name: &str, key: Option<&str>, sentence: &str) -> Response {
    response.on_hover_ui(|ui| {
        let tokens = Tokens::of(ui);
        Frame::new().inner_margin(Margin::symmetric(5, 3)).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new(name).font(theme::heading()).color(tokens.text));
                if let Some(key) = key {
                    ui.label(RichText::new(key).font(theme::mono()).color(tokens.faint));
                }
            });
            if !sentence.is_empty() {
                note_ui(ui, sentence, theme::small(), tokens.dim);
            }
        });
    })
}

/// A dashed rounded outline: something can be dropped here.
pub fn dashed_rect(rect: Rect, corner: f32, stroke: Stroke) -> Vec<Shape> {
    let mut outline: Vec<Pos2> = Vec::new();
    let corners = [
        (rect.right_top() + vec2(-corner, corner), -90.0_f32),
        (rect.right_bottom() + vec2(-corner, -corner), 0.0),
        (rect.left_bottom() + vec2(corner, -corner), 90.0),
        (rect.left_top() + vec2(corner, corner), 180.0),
    ];
    for (center, from) in corners {
        for part in 0..=6 {
            let angle = (from + 15.0 * part as f32).to_radians();
            outline.push(center + corner * vec2(angle.cos(), angle.sin()));
        }
    }
    outline.extend(outline.first().copied());
    Shape::dashed_line(&outline, stroke, 4.0, 3.0)
}
