//! A row with a name, a thin track with a round knob, and a number field.
//!
//! Drag it, use the arrow keys or Ctrl and the wheel, double-click for the default, or type the number.

use std::ops::RangeInclusive;

use egui::{
    Align2, Color32, CursorIcon, EventFilter, Id, Key, Rect, Response, Role, Sense, Stroke, Ui, UiBuilder,
    WidgetInfo, accesskit, pos2, remap_clamp, vec2,
};

use super::number::{Number, NumberLook, number_ui};
use super::text::tip;
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// A slider row's texts and limits.
#[derive(Clone, Debug)]
pub struct SliderRow<'a> {
    pub name: &'a str,
    /// One plain sentence.
    pub sentence: &'a str,
    /// The range of the track.
    pub track: RangeInclusive<f64>,
    /// The range that may be typed: that of the track, or wider.
    pub limits: RangeInclusive<f64>,
    pub default: f64,
    pub step: f64,
    pub decimals: usize,
    pub hue: Color32,
}

const NAME_WIDTH: f32 = 102.0;
const NUMBER_WIDTH: f32 = 52.0;
const ROW_HEIGHT: f32 = 24.0;
const KNOB_RADIUS: f32 = 6.5;

/// Draws the row. The response is marked as changed if `value` was edited.
pub fn slider_row_ui(ui: &mut Ui, row: &SliderRow<'_>, value: &mut f64) -> Response {
    let tokens = Tokens::of(ui);
    let width = ui.available_width();
    let (area, _) = ui.allocate_exact_size(vec2(width, ROW_HEIGHT), Sense::hover());
    let name_end = area.left() + NAME_WIDTH;
    let number_start = area.right() - NUMBER_WIDTH;
    let track = Rect::from_x_y_ranges(name_end..=number_start - 10.0, area.y_range());

    ui.painter().text(area.left_center(), Align2::LEFT_CENTER, row.name, theme::body(), tokens.dim);
    let before = *value;
    let id = ui.scope_id().with(("slider", row.name));
    let mut response = track_ui(ui, id, row, track, value);

    let number_rect = Rect::from_x_y_ranges(number_start..=area.right(), area.y_range());
    let name = format!("{}, number", row.name);
    let number = Number {
        name: &name,
        limits: row.limits.clone(),
        decimals: row.decimals,
        step: row.step,
        look: NumberLook::default(),
    };
    let mut field = ui.new_child(UiBuilder::new().max_rect(number_rect).id_salt(row.name));
    number_ui(&mut field, &number, value);
    if *value != before {
        response.mark_changed();
    }
    response
}

fn track_ui(ui: &Ui, id: Id, row: &SliderRow<'_>, track: Rect, value: &mut f64) -> Response {
    let tokens = Tokens::of(ui);
    let response = ui.interact(track, id, Sense::click_and_drag());
    let (low, high) = (*row.track.start(), *row.track.end());
    let travel = track.x_range().shrink(KNOB_RADIUS);
    let snapped = |value: f64| ((value / row.step).round() * row.step).clamp(low, high);

    if response.double_clicked() {
        *value = row.default;
    } else if let Some(pointer) = response.interact_pointer_pos()
        && (response.dragged() || response.is_pointer_button_down_on())
    {
        let at = remap_clamp(f64::from(pointer.x), f64::from(travel.min)..=f64::from(travel.max), low..=high);
        *value = snapped(at);
    }
    *value = stepped(ui, &response, &row.limits, row.step, *value);

    response.widget_info(|| WidgetInfo::slider(ui.is_enabled(), *value, row.name));
    ui.ctx().accesskit_node_builder(id, |node| {
        node.set_role(Role::Slider);
        node.set_min_numeric_value(low);
        node.set_max_numeric_value(high);
        node.set_numeric_value_step(row.step);
        node.set_description(row.sentence);
        node.add_action(accesskit::Action::SetValue);
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });

    let knob_x = remap_clamp(*value, low..=high, f64::from(travel.min)..=f64::from(travel.max)) as f32;
    let y = track.center().y;
    let painter = ui.painter();
    let rail = |from: f32, to: f32| Rect::from_x_y_ranges(from..=to, y - 2.0..=y + 2.0);
    painter.rect_filled(rail(track.left(), track.right()), 2.0, tokens.line_strong);
    painter.rect_filled(rail(track.left(), knob_x), 2.0, row.hue);
    let lit = response.hovered() || response.dragged();
    // A gap in the panel's colour separates the knob from its track.
    painter.circle_filled(pos2(knob_x, y), KNOB_RADIUS + 2.5, tokens.panel);
    painter.circle_filled(pos2(knob_x, y), if lit { KNOB_RADIUS + 0.5 } else { KNOB_RADIUS }, tokens.knob);
    if response.has_focus() {
        painter.circle_stroke(pos2(knob_x, y), KNOB_RADIUS + 2.5, Stroke::new(1.5, tokens.accent));
    }
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    if response.dragged() { response } else { tip(response, row.name, None, row.sentence) }
}

/// The value after arrow keys, Ctrl and the wheel, and requests of a screen reader.
pub fn stepped(ui: &Ui, response: &Response, limits: &RangeInclusive<f64>, step: f64, value: f64) -> f64 {
    let mut steps = 0.0;
    let mut set = None;
    if response.has_focus() {
        let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
        ui.input(|input| {
            steps += (input.num_presses(Key::ArrowRight) + input.num_presses(Key::ArrowUp)) as f64;
            steps -= (input.num_presses(Key::ArrowLeft) + input.num_presses(Key::ArrowDown)) as f64;
        });
    }
    if response.contains_pointer() {
        // With Ctrl, egui reports the wheel as a zoom factor.
        let zoom = ui.input(egui::InputState::zoom_delta);
        if zoom != 1.0 {
            steps += f64::from(zoom.ln().signum());
        }
    }
    ui.input(|input| {
        use accesskit::{Action, ActionData};
        steps += input.num_accesskit_action_requests(response.id, Action::Increment) as f64;
        steps -= input.num_accesskit_action_requests(response.id, Action::Decrement) as f64;
        for request in input.accesskit_action_requests(response.id, Action::SetValue) {
            if let Some(ActionData::NumericValue(wanted)) = request.data {
                set = Some(wanted);
            }
        }
    });
    match set {
        Some(wanted) => wanted.clamp(*limits.start(), *limits.end()),
        None if steps == 0.0 => value,
        None => {
            let on_grid = ((value / step) + steps) * step;
            on_grid.clamp(*limits.start(), *limits.end())
        }
    }
}

/// A slider of a whole number.
pub fn whole_slider_ui(ui: &mut Ui, row: &SliderRow<'_>, value: &mut u32) {
    let mut edited = f64::from(*value);
    if slider_row_ui(ui, row, &mut edited).changed() {
        *value = edited.round().max(0.0) as u32;
    }
}

/// A slider of a real number.
pub fn real_slider_ui(ui: &mut Ui, row: &SliderRow<'_>, value: &mut f32) {
    // Through the shortest decimal, so that 0.6 does not become 0.60000002.
    let mut edited = value.to_string().parse().unwrap_or(f64::from(*value));
    if slider_row_ui(ui, row, &mut edited).changed() {
        *value = edited as f32;
    }
}
