//! A drop-down list.

use egui::{
    Align, CornerRadius, CursorIcon, Id, Popup, PopupCloseBehavior, Response, RichText, Role, ScrollArea,
    Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::buttons::focus_ring;
use super::icons::Icon;
use super::text::tip;
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// A row of the list.
#[derive(Clone, Copy, Debug)]
pub struct SelectItem<'a> {
    pub label: &'a str,
    /// One sentence under the label; may be empty.
    pub hint: &'a str,
    pub chosen: bool,
}

/// A field that shows `shown` and opens a list, which `list` fills.
///
/// The list closes with [`menu_item_ui`] and on a click outside of it.
pub fn select_ui(
    ui: &mut Ui,
    name: &str,
    shown: &str,
    sentence: &str,
    width: f32,
    list: impl FnOnce(&mut Ui),
) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, theme::FIELD_HEIGHT), Sense::click());
    response.widget_info(|| WidgetInfo {
        current_text_value: Some(shown.to_owned()),
        ..WidgetInfo::labeled(Role::ComboBox, ui.is_enabled(), name)
    });
    let tokens = Tokens::of(ui);
    let open = Popup::is_id_open(ui.ctx(), Popup::default_response_id(&response));
    let line = match (open, response.hovered()) {
        (true, _) => tokens.accent,
        (false, true) => tokens.line_strong,
        (false, false) => tokens.line,
    };
    ui.painter().rect(
        rect,
        CornerRadius::same(theme::CORNER_FIELD),
        tokens.field,
        Stroke::new(1.0, line),
        StrokeKind::Inside,
    );
    let galley = ui.painter().layout_no_wrap(shown.to_owned(), theme::body(), tokens.text);
    let inner = ui.painter().with_clip_rect(rect.shrink2(vec2(10.0, 0.0)));
    inner.galley(pos2(rect.left() + 10.0, rect.center().y - galley.size().y / 2.0), galley, tokens.text);
    let chevron = egui::Rect::from_center_size(rect.right_center() - vec2(15.0, 0.0), Vec2::splat(16.0));
    Icon::ChevronDown.paint_sized(ui.painter(), chevron, 14.0, tokens.dim);
    focus_ring(ui, &response, theme::CORNER_FIELD);
    let room = 0.58 * ui.ctx().content_rect().height();
    Popup::menu(&response)
        .width(LIST_WIDTH)
        .gap(4.0)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .show(|ui| {
            ui.data_mut(|data| data.insert_temp(just_opened(), !open));
            ScrollArea::vertical().max_height(room).show(ui, list)
        });
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    if open { response } else { tip(response, name, None, sentence) }
}

/// Key of the flag that a list has just opened, so that its chosen row scrolls into view.
fn just_opened() -> Id {
    Id::unique("a list has just opened")
}

/// Wide enough for most hints to fit on one line.
const LIST_WIDTH: f32 = 340.0;

/// A row of a drop-down list. Clicking it closes the list.
pub fn menu_item_ui(ui: &mut Ui, item: SelectItem<'_>) -> bool {
    let tokens = Tokens::of(ui);
    let width = ui.available_width();
    let hint = (!item.hint.is_empty())
        .then(|| ui.painter().layout(item.hint.to_owned(), theme::small(), tokens.dim, width - 34.0));
    let label = ui.painter().layout_no_wrap(item.label.to_owned(), theme::body(), tokens.text);
    let label_height = label.size().y;
    let height = 12.0 + label_height + hint.as_ref().map_or(0.0, |hint| hint.size().y + 1.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    response
        .widget_info(|| WidgetInfo::selected(Role::ListBoxOption, ui.is_enabled(), item.chosen, item.label));
    if response.hovered() || response.has_focus() {
        let corner = CornerRadius::same(theme::CORNER_FIELD);
        ui.painter().rect_filled(rect, corner, tokens.line.gamma_multiply(0.7));
    }
    if item.chosen {
        if ui.data(|data| data.get_temp(just_opened())).unwrap_or(false) {
            response.scroll_to_me(Some(Align::Center));
        }
        let mark = egui::Rect::from_min_size(rect.min + vec2(5.0, 5.0), Vec2::splat(label_height));
        Icon::Check.paint_sized(ui.painter(), mark, 14.0, tokens.accent);
    }
    let left = rect.left() + 26.0;
    ui.painter().galley(pos2(left, rect.top() + 6.0), label, tokens.text);
    if let Some(hint) = hint {
        ui.painter().galley(pos2(left, rect.top() + 7.0 + label_height), hint, tokens.dim);
    }
    let clicked = response.on_hover_cursor(CursorIcon::PointingHand).clicked();
    if clicked {
        ui.close();
    }
    clicked
}

/// A chip in the top bar: strong text, dim text, and a list that it opens.
pub fn chip_ui(
    ui: &mut Ui,
    name: &str,
    strong: &str,
    quiet: &str,
    sentence: &str,
    list: impl FnOnce(&mut Ui),
) -> Response {
    let tokens = Tokens::of(ui);
    let strong = RichText::new(strong).font(theme::heading()).color(tokens.text);
    let mut job = egui::text::LayoutJob::default();
    let align = Align::Center;
    strong.append_to(&mut job, ui.style(), egui::FontSelection::Default, align);
    if !quiet.is_empty() {
        RichText::new(format!("  {quiet}")).font(theme::body()).color(tokens.dim).append_to(
            &mut job,
            ui.style(),
            egui::FontSelection::Default,
            align,
        );
    }
    let galley = ui.painter().layout_job(job);
    let size = vec2(galley.size().x + 10.0 + 28.0, 28.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, ui.is_enabled(), name));
    let open = Popup::is_id_open(ui.ctx(), Popup::default_response_id(&response));
    let line = if open || response.hovered() { tokens.line_strong } else { tokens.line };
    ui.painter().rect(
        rect,
        CornerRadius::same(theme::CORNER_TOOL),
        tokens.card,
        Stroke::new(1.0, line),
        StrokeKind::Inside,
    );
    ui.painter().galley(
        pos2(rect.left() + 10.0, rect.center().y - galley.size().y / 2.0),
        galley,
        tokens.text,
    );
    let chevron = egui::Rect::from_center_size(rect.right_center() - vec2(14.0, 0.0), Vec2::splat(16.0));
    Icon::ChevronDown.paint_sized(ui.painter(), chevron, 13.0, tokens.dim);
    focus_ring(ui, &response, theme::CORNER_TOOL);
    Popup::menu(&response)
        .width(300.0)
        .gap(4.0)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .show(list);
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    if open { response } else { tip(response, name, None, sentence) }
}
