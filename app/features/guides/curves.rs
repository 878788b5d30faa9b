//! The loss of a guide over the steps of the current run, as it falls.

use egui::{Align2, CornerRadius, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use engine::losses::LossGuide;

use crate::features::generate::run::Run;
use crate::ui::theme;
use crate::ui::theme::Tokens;

const HEIGHT: f32 = 46.0;
const MARGIN: f32 = 7.0;

/// Plots the loss of the guide with this index, if the run has it. The line at `step` is the current step.
pub(super) fn loss_curve_ui(
    ui: &mut Ui,
    run: &Run,
    (index, guide): (usize, &LossGuide),
    picture: usize,
    step: Option<usize>,
) {
    let values = index_in(run, index, guide).map_or_else(Vec::new, |index| losses_of(run, index, picture));
    let (Some(&(_, first)), Some(&(_, last))) = (values.first(), values.last()) else { return };
    let tokens = Tokens::of(ui);
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let name = format!("Loss of {}: {first:.4}, then {last:.4}", guide.loss.label());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let corner = CornerRadius::same(theme::CORNER_FIELD);
    ui.painter().rect(area, corner, tokens.field, Stroke::new(1.0, tokens.line), StrokeKind::Inside);
    let inner = area.shrink(MARGIN);
    let largest = values.iter().fold(f32::MIN_POSITIVE, |largest, (_, value)| largest.max(*value));
    let last_step = run.steps().saturating_sub(1).max(1) as f32;
    let x = |step: usize| egui::lerp(inner.x_range(), step as f32 / last_step);
    let place = |&(step, value): &(usize, f32)| {
        pos2(x(step), egui::lerp(inner.bottom()..=inner.top(), value / largest))
    };
    if let Some(step) = step {
        ui.painter().vline(x(step), inner.y_range(), Stroke::new(1.0, tokens.accent.gamma_multiply(0.6)));
    }
    let places: Vec<_> = values.iter().map(place).collect();
    for at in &places {
        ui.painter().circle_filled(*at, 2.2, tokens.text);
    }
    ui.painter().add(Shape::line(places, Stroke::new(1.4, tokens.text)));
    let text = format!("{first:.3} → {last:.3}");
    let at = inner.right_top();
    ui.painter().text(at, Align2::RIGHT_TOP, text, theme::mono_small(), tokens.dim);
    response.on_hover_text("The loss, without its scale, at each step that it guides.");
}

/// The guide in the run's own list: the same loss, or one of its kind in the same place.
fn index_in(run: &Run, index: usize, guide: &LossGuide) -> Option<usize> {
    let guides = &run.recipe.guides;
    let is_of_kind = |other: &&LossGuide| other.loss.name() == guide.loss.name();
    let same = guides.iter().position(|other| other.loss == guide.loss);
    same.or_else(|| guides.get(index).filter(is_of_kind).map(|_| index))
}

/// The steps that a guide acted in, with its loss.
fn losses_of(run: &Run, index: usize, picture: usize) -> Vec<(usize, f32)> {
    let of_frames = run.frames.iter().filter_map(|frame| {
        let values = frame.losses.as_ref()?.values.get(index)?.as_ref()?;
        Some((frame.step, *values.get(picture)?))
    });
    of_frames.collect()
}
