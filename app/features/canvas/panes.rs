//! The panes of the canvas: the pictures of a batch, or several views of one of them, each with
//! its counterpart from another step if two steps are compared.

use std::sync::Arc;

use egui::text::{LayoutJob, TextWrapping};
use egui::{
    Align2, Color32, CornerRadius, CursorIcon, Pos2, Rect, Role, Sense, Stroke, Ui, UiBuilder, Vec2,
    WidgetInfo, accesskit, pos2, vec2,
};
use engine::diffusion::StepView;
use engine::images::Pixels;

use crate::features::branches::Runs;
use crate::features::canvas::ViewCommand;
use crate::features::canvas::views::Views;
use crate::features::command::Command;
use crate::features::film::FilmState;
use crate::features::state::{AppState, Shared};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, Tool, icon_button_ui, segmented_ui, stepped, tip, toggles_ui};

/// One picture on the canvas.
pub struct Pane<'a> {
    /// Its title, where several views are side by side.
    pub view: Option<StepView>,
    /// `None` where there is nothing to show.
    pub picture: Option<&'a Arc<Pixels>>,
    /// The picture of the step it is compared with.
    pub compared: Option<&'a Arc<Pixels>>,
}

/// Height of a pane's title, above it.
pub const TITLE_HEIGHT: f32 = 22.0;

/// All panes, in reading order.
pub fn panes(state: &AppState) -> Vec<Pane<'_>> {
    if let Some(drawing) = state.brush.on_canvas(&state.runs, &state.film) {
        return vec![Pane { view: None, picture: Some(&drawing.under), compared: None }];
    }
    if state.film.looked_at(&state.runs).is_none()
        && let Some(alone) = state.alone_on_canvas()
    {
        return vec![Pane { view: None, picture: Some(alone), compared: None }];
    }
    let views = &state.shared.settings.views;
    let picture = state.film.picture;
    let of = |view: StepView, at: usize| {
        let shown = || state.shown_of(view).and_then(|shown| shown.pictures.get(at));
        state.gradient_on_canvas(view, at).or_else(shown)
    };
    let behind = |view: StepView, at: usize| state.compared_of(view).and_then(|shown| shown.pictures.get(at));
    if views.side_by_side && state.runs.current().is_some() {
        let at = picture.unwrap_or(0);
        let pane = |view| Pane { view: Some(view), picture: of(view, at), compared: behind(view, at) };
        return views.shown().into_iter().map(pane).collect();
    }
    let view = views.first();
    let count = state.shown_of(view).map_or(0, |shown| shown.pictures.len());
    let pane = |at| Pane { view: None, picture: of(view, at), compared: behind(view, at) };
    match picture {
        Some(at) if at < count && count > 1 => vec![pane(at)],
        _ => (0..count.max(1)).map(pane).collect(),
    }
}

/// The title of a pane.
pub fn title_ui(ui: &Ui, view: StepView, rect: Rect) {
    let tokens = Tokens::of(ui);
    let at = rect.left_top() - vec2(0.0, TITLE_HEIGHT - 4.0);
    let name = ui.painter().text(at, Align2::LEFT_TOP, view.label(), theme::label(), tokens.text);
    let at = pos2(name.right() + 6.0, at.y + 1.5);
    ui.painter().text(at, Align2::LEFT_TOP, view.symbol(), theme::mono_small(), tokens.dim);
}

/// Says why a pane has no picture.
pub fn nothing_ui(ui: &Ui, view: StepView, rect: Rect) {
    let tokens = Tokens::of(ui);
    let text = match view {
        StepView::Guidance => "Guidance is 1, so there is no\nunconditional prediction.",
        _ => "This step has no such view.",
    };
    let line = Stroke::new(1.0, tokens.line_strong);
    ui.painter().extend(crate::ui::widgets::dashed_rect(rect.shrink(0.5), 4.0, line));
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, theme::small(), tokens.dim);
}

/// Selects the views: one, or several side by side.
pub fn views_bar_ui(ui: &mut Ui, shared: &Shared, runs: &Runs, area: Rect, commands: &mut Vec<Command>) {
    if runs.current().is_none_or(|run| run.frames.is_empty()) {
        return;
    }
    let views = &shared.settings.views;
    let names: Vec<String> = Views::ORDER.map(|view| view.label().to_owned()).to_vec();
    let words: f32 = names
        .iter()
        .map(|name| ui.painter().layout_no_wrap(name.clone(), theme::label(), Color32::WHITE).size().x + 24.0)
        .sum();
    let width = words + 4.0 + theme::GAP_M + theme::TOOL_SIDE;
    let bar = Rect::from_min_size(
        pos2(area.center().x - width / 2.0, area.bottom() - theme::TOOL_SIDE - 6.0).round(),
        vec2(width, theme::TOOL_SIDE),
    );
    let row = egui::Layout::left_to_right(egui::Align::Center);
    ui.scope_builder(UiBuilder::new().max_rect(bar).layout(row), |ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_M;
        let hint = |index: usize| Views::ORDER[index].hint().to_owned();
        let chosen = if views.side_by_side {
            let shown = views.shown();
            toggles_ui(ui, "View", &names, |index| shown.contains(&Views::ORDER[index]), hint)
        } else {
            let at = Views::ORDER.iter().position(|&view| view == views.one).unwrap_or(0);
            segmented_ui(ui, "View", &names, at, hint)
        };
        if let Some(index) = chosen {
            commands.push(Command::View(ViewCommand::Choose(Views::ORDER[index])));
        }
        let (icon, name, sentence) = if views.side_by_side {
            (Icon::Picture, "One view", "Shows one view of the step, as large as possible.")
        } else {
            (Icon::Panes, "Side by side", "Shows several views of the step side by side. Each can be hidden.")
        };
        if icon_button_ui(ui, icon, name, None, sentence, Tool::CANVAS).clicked() {
            commands.push(Command::View(ViewCommand::SideBySide(!views.side_by_side)));
        }
    });
}

/// The divider between two compared steps; `place` is its position between the left, 0, and the
/// right, 1, of `pictures`.
pub fn divider_ui(ui: &Ui, runs: &Runs, film: &FilmState, pictures: Rect, area: Rect, place: &mut f32) {
    let tokens = Tokens::of(ui);
    let at = |place: f32| egui::lerp(pictures.x_range(), place);
    let id = ui.scope_id().with("divider");
    let reach = Rect::from_center_size(pos2(at(*place), area.center().y), vec2(20.0, area.height()));
    let divider = ui.interact(reach.intersect(area), id, Sense::click_and_drag());
    if let Some(pointer) = divider.interact_pointer_pos().filter(|_| divider.dragged()) {
        *place = ((pointer.x - pictures.left()) / pictures.width().max(1.0)).clamp(0.0, 1.0);
    }
    let percent = stepped(ui, &divider, &(0.0..=100.0), 5.0, f64::from(*place * 100.0));
    *place = percent as f32 / 100.0;
    divider.widget_info(|| WidgetInfo::slider(ui.is_enabled(), percent, "Divider"));
    ui.ctx().accesskit_node_builder(id, |node| {
        node.set_role(Role::Slider);
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(100.0);
        node.add_action(accesskit::Action::SetValue);
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });
    let x = at(*place);
    let painter = ui.painter();
    let lit = divider.hovered() || divider.dragged() || divider.has_focus();
    let ink = if divider.has_focus() { tokens.accent } else { Color32::WHITE };
    let y_range = pictures.intersect(area).y_range();
    painter.vline(x, y_range, Stroke::new(4.0, Color32::from_black_alpha(90)));
    painter.vline(x, y_range, Stroke::new(2.0, ink));
    let knob = pos2(x, y_range.center());
    painter.circle_filled(knob, if lit { 12.5 } else { 11.5 }, Color32::from_black_alpha(150));
    painter.circle_stroke(knob, if lit { 11.5 } else { 10.5 }, Stroke::new(2.0, ink));
    for side in [-1.0, 1.0] {
        let tip = knob + vec2(side * 5.5, 0.0);
        let back = |y: f32| tip + vec2(-side * 3.0, y);
        painter.line(vec![back(-3.2), tip, back(3.2)], Stroke::new(1.6, ink));
    }
    let (left, right) = (film.current_step(runs), film.compared);
    let top = y_range.min + 8.0;
    for (step, at, align) in
        [(left, pos2(x - 10.0, top), Align2::RIGHT_TOP), (right, pos2(x + 10.0, top), Align2::LEFT_TOP)]
    {
        if let Some(step) = step {
            pill_ui(ui, at, align, &format!("step {}", step + 1));
        }
    }
    if let Some(title) = film.title_beside(runs) {
        pill_ui(ui, pos2(x + 10.0, top + 26.0), Align2::LEFT_TOP, &title);
    }
    let divider = divider.on_hover_cursor(CursorIcon::ResizeHorizontal);
    if !divider.dragged() {
        tip(divider, "Divider", None, "The selected step is on the left, the other one on the right.");
    }
}

/// Longer text on a picture is truncated.
const MAX_WORDS: f32 = 220.0;

/// Text on a picture.
fn pill_ui(ui: &Ui, at: Pos2, align: Align2, text: &str) {
    let mut job = LayoutJob::simple_singleline(text.to_owned(), theme::mono(), Color32::WHITE);
    job.wrap = TextWrapping::truncate_at_width(MAX_WORDS);
    let galley = ui.painter().layout_job(job);
    let rect = align.anchor_size(at, galley.size() + Vec2::new(12.0, 6.0));
    ui.painter().rect_filled(rect, CornerRadius::same(theme::CORNER_FIELD), Color32::from_black_alpha(165));
    ui.painter().galley(rect.min + vec2(6.0, 3.0), galley, Color32::WHITE);
}
