//! Buttons, apart from the Generate button.

use egui::{
    CornerRadius, CursorIcon, FontId, Response, RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo, vec2,
};

use super::icons::Icon;
use super::text::tip;
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// A ring around the widget that has the keyboard focus.
pub fn focus_ring(ui: &Ui, response: &Response, corner: u8) {
    if response.has_focus() {
        let ring = Stroke::new(1.5, Tokens::of(ui).accent);
        ui.painter().rect_stroke(response.rect.expand(1.5), corner + 1, ring, StrokeKind::Middle);
    }
}

/// How an icon button looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tool {
    /// Beside a label: an icon, highlighted under the pointer.
    Bare,
    Framed {
        side: f32,
        corner: u8,
    },
}

impl Tool {
    /// On the canvas.
    pub const CANVAS: Self = Self::Framed { side: theme::TOOL_SIDE, corner: theme::CORNER_TOOL };
}

/// An icon button.
pub fn icon_button_ui(
    ui: &mut Ui,
    icon: Icon,
    name: &str,
    key: Option<&str>,
    sentence: &str,
    tool: Tool,
) -> Response {
    let (side, corner) = match tool {
        Tool::Bare => (22.0, theme::CORNER_TOOL),
        Tool::Framed { side, corner } => (side, corner),
    };
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    if ui.is_rect_visible(rect) {
        let tokens = Tokens::of(ui);
        let lit = response.hovered() || response.is_pointer_button_down_on();
        if tool != Tool::Bare {
            let line = if lit { tokens.line_strong } else { tokens.line };
            ui.painter().rect(
                rect,
                CornerRadius::same(corner),
                tokens.card,
                Stroke::new(1.0, line),
                StrokeKind::Inside,
            );
        } else if lit {
            ui.painter().rect_filled(rect, f32::from(corner), tokens.line.gamma_multiply(0.6));
        }
        icon.paint(ui.painter(), rect, if lit { tokens.text } else { tokens.dim });
        focus_ring(ui, &response, corner);
    }
    tip(response.on_hover_cursor(CursorIcon::PointingHand), name, key, sentence)
}

/// A small close button.
pub fn close_ui(ui: &mut Ui, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(16.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    let tokens = Tokens::of(ui);
    let ink = if response.hovered() { tokens.text } else { tokens.dim };
    Icon::Close.paint_sized(ui.painter(), rect, 13.0, ink);
    focus_ring(ui, &response, theme::CORNER_FIELD);
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(name)
}

/// A text link in the given colour, underlined when `underline` is set or under the pointer.
pub fn link_ui(ui: &mut Ui, text: &str, font: FontId, color: egui::Color32, underline: bool) -> Response {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, color);
    let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Link, ui.is_enabled(), text));
    ui.painter().galley(rect.min, galley, color);
    if underline || response.hovered() {
        ui.painter().hline(rect.x_range(), rect.bottom() - 1.0, Stroke::new(1.0, color));
    }
    focus_ring(ui, &response, theme::CORNER_FIELD);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// A text button in a bar: no frame, highlighted under the pointer, with its shortcut at the right.
pub fn text_button_ui(ui: &mut Ui, icon: Option<Icon>, text: &str, key: Option<&str>) -> Response {
    let tokens = Tokens::of(ui);
    let words = ui.painter().layout_no_wrap(text.to_owned(), theme::body(), tokens.dim);
    let key = key.map(|key| ui.painter().layout_no_wrap(key.to_owned(), theme::mono(), tokens.faint));
    let icon_room = if icon.is_some() { 20.0 } else { 0.0 };
    let key_room = key.as_ref().map_or(0.0, |key| key.size().x + 7.0);
    let size = vec2(icon_room + words.size().x + key_room + 12.0, 22.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), text));
    let lit = response.hovered();
    let ink = if lit { tokens.text } else { tokens.dim };
    if lit {
        let ground = tokens.line.gamma_multiply(0.6);
        ui.painter().rect_filled(rect, CornerRadius::same(theme::CORNER_TOOL), ground);
    }
    if let Some(icon) = icon {
        let place = egui::Rect::from_min_size(rect.min + vec2(4.0, 0.0), vec2(18.0, rect.height()));
        icon.paint_sized(ui.painter(), place, 14.0, ink);
    }
    let top = |height: f32| rect.center().y - height / 2.0;
    let left = rect.left() + 6.0 + icon_room;
    let words_size = words.size();
    ui.painter().galley_with_override_text_color(egui::pos2(left, top(words_size.y)), words, ink);
    if let Some(key) = key {
        let at = egui::pos2(left + words_size.x + 7.0, top(key.size().y));
        ui.painter().galley(at, key, tokens.faint);
    }
    focus_ring(ui, &response, theme::CORNER_TOOL);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// A button with an outline. The `strong` one is the likely choice.
pub fn outlined_button_ui(ui: &mut Ui, text: &str, strong: bool) -> Response {
    let tokens = Tokens::of(ui);
    let (fill, line, ink) = if strong {
        (tokens.accent, tokens.accent, tokens.accent_ink)
    } else {
        (tokens.card, tokens.line_strong, tokens.text)
    };
    let font = if strong { theme::heading() } else { theme::body() };
    ui.add(
        egui::Button::new(RichText::new(text).font(font).color(ink))
            .fill(fill)
            .stroke(Stroke::new(1.0, line))
            .corner_radius(CornerRadius::same(theme::CORNER_TOOL))
            .min_size(vec2(0.0, 32.0)),
    )
    .on_hover_cursor(CursorIcon::PointingHand)
}
