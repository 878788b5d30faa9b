//! A choice among a few, side by side.

use egui::{CornerRadius, CursorIcon, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::buttons::focus_ring;
use super::text::tip;
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// Shows `choices` as one bar with the chosen one raised, and answers with the one that was clicked. `hint` is
/// a sentence for each, or empty.
pub fn segmented_ui(
    ui: &mut Ui,
    name: &str,
    choices: &[String],
    chosen: usize,
    hint: impl Fn(usize) -> String,
) -> Option<usize> {
    segments_ui(ui, Role::RadioButton, name, choices, |index| index == chosen, hint)
}

/// Shows `choices` as one bar in which any number may be on.
pub fn toggles_ui(
    ui: &mut Ui,
    name: &str,
    choices: &[String],
    is_on: impl Fn(usize) -> bool,
    hint: impl Fn(usize) -> String,
) -> Option<usize> {
    segments_ui(ui, Role::CheckBox, name, choices, is_on, hint)
}

fn segments_ui(
    ui: &mut Ui,
    role: Role,
    name: &str,
    choices: &[String],
    is_on: impl Fn(usize) -> bool,
    hint: impl Fn(usize) -> String,
) -> Option<usize> {
    let tokens = Tokens::of(ui);
    let galleys: Vec<_> = choices
        .iter()
        .map(|text| ui.painter().layout_no_wrap(text.clone(), theme::label(), tokens.dim))
        .collect();
    const PAD: f32 = 12.0;
    const INSET: f32 = 2.0;
    let width: f32 = galleys.iter().map(|galley| galley.size().x + 2.0 * PAD).sum();
    let (bar, _) = ui.allocate_exact_size(vec2(width + 2.0 * INSET, theme::TOOL_SIDE), Sense::hover());
    let corner = CornerRadius::same(theme::CORNER_TOOL);
    ui.painter().rect(bar, corner, tokens.panel, Stroke::new(1.0, tokens.line), StrokeKind::Inside);

    let mut clicked = None;
    let mut left = bar.left() + INSET;
    for (index, (galley, text)) in galleys.into_iter().zip(choices).enumerate() {
        let size = galley.size();
        let cell =
            Rect::from_x_y_ranges(left..=left + size.x + 2.0 * PAD, bar.top() + INSET..=bar.bottom() - INSET);
        left = cell.right();
        let response = ui.interact(cell, ui.scope_id().with((name, index)), Sense::click());
        let is_chosen = is_on(index);
        response
            .widget_info(|| WidgetInfo::selected(role, ui.is_enabled(), is_chosen, format!("{name} {text}")));
        let inner = CornerRadius::same(theme::CORNER_FIELD);
        if is_chosen {
            ui.painter().rect_filled(cell, inner, tokens.card);
        }
        let ink = if is_chosen || response.hovered() { tokens.text } else { tokens.dim };
        let at = pos2(cell.center().x - size.x / 2.0, cell.center().y - size.y / 2.0);
        ui.painter().galley_with_override_text_color(at, galley, ink);
        focus_ring(ui, &response, theme::CORNER_FIELD);
        let (mut response, hint) = (response.on_hover_cursor(CursorIcon::PointingHand), hint(index));
        if !hint.is_empty() {
            response = tip(response, text, None, &hint);
        }
        if response.clicked() {
            clicked = Some(index);
        }
    }
    clicked
}
