//! A check box.

use egui::{CornerRadius, CursorIcon, Rect, Response, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, vec2};

use super::buttons::focus_ring;
use super::icons::Icon;
use super::text::tip;
use crate::ui::theme;
use crate::ui::theme::Tokens;

const BOX: f32 = 16.0;

/// A check box with its label. Clicking either toggles it.
pub fn check_ui(ui: &mut Ui, name: &str, sentence: &str, is_on: &mut bool) -> Response {
    let tokens = Tokens::of(ui);
    let words = ui.painter().layout_no_wrap(name.to_owned(), theme::label(), tokens.dim);
    let size = vec2(BOX + 7.0 + words.size().x, 22.0);
    let (rect, mut response) = ui.allocate_exact_size(size, Sense::click());
    if response.clicked() {
        *is_on = !*is_on;
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::selected(egui::Role::CheckBox, ui.is_enabled(), *is_on, name));
    let mark = Rect::from_min_size(rect.left_center() - vec2(0.0, BOX / 2.0), Vec2::splat(BOX));
    let (fill, line) = match (*is_on, response.hovered()) {
        (true, _) => (tokens.accent, tokens.accent),
        (false, true) => (tokens.field, tokens.dim),
        (false, false) => (tokens.field, tokens.line_strong),
    };
    ui.painter().rect(mark, CornerRadius::same(4), fill, Stroke::new(1.0, line), StrokeKind::Inside);
    if *is_on {
        Icon::Check.paint_sized(ui.painter(), mark, 13.0, tokens.accent_ink);
    }
    let ink = if response.hovered() { tokens.text } else { tokens.dim };
    let at = rect.left_center() + vec2(BOX + 7.0, -words.size().y / 2.0);
    ui.painter().galley_with_override_text_color(at, words, ink);
    focus_ring(ui, &response, theme::CORNER_FIELD);
    tip(response.on_hover_cursor(CursorIcon::PointingHand), name, None, sentence)
}
