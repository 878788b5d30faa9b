//! A plot of sigma or the timestep against the step.

use std::ops::RangeInclusive;

use egui::{Color32, Id, Pos2, Sense, Stroke, Ui, Vec2};
use egui_plot::{AxisHints, GridInput, GridMark, Line, Plot, PlotBounds, PlotPoints, PlotResponse};
use engine::diffusion::Schedule;

use crate::features::schedule::curves::{ScheduleCurve, ScheduleCurves};
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// What is plotted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Sigma { is_linear: bool },
    Timestep,
}

/// A plot as it was drawn.
pub struct Drawn {
    pub face: Face,
    pub response: egui::Response,
    transform: egui_plot::PlotTransform,
    range: RangeInclusive<f64>,
}

/// The width of the numbers at the left, so that both plots align.
const AXIS_WIDTH: f32 = 34.0;

impl Face {
    /// The position of a value on the vertical axis; `None` if it has no logarithm.
    fn place(self, value: f32) -> Option<f64> {
        let value = f64::from(value);
        match self {
            Self::Sigma { is_linear: false } => (value > 0.0).then(|| value.log10()),
            _ => Some(value),
        }
    }

    pub fn values(self, curve: &ScheduleCurve) -> &[f32] {
        match self {
            Self::Sigma { .. } => &curve.sigmas,
            Self::Timestep => &curve.timesteps,
        }
    }

    fn points(self, curve: &ScheduleCurve) -> Vec<[f64; 2]> {
        let places = self.values(curve).iter().enumerate();
        places.filter_map(|(step, &value)| Some([step as f64, self.place(value)?])).collect()
    }

    /// The range of the curves with a margin.
    fn range(self, curves: &ScheduleCurves) -> RangeInclusive<f64> {
        let places = curves.all.iter().flat_map(|curve| self.points(curve)).map(|[_, y]| y);
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
        if low > high {
            return 0.0..=1.0;
        }
        let air = 0.06 * (high - low).max(1e-3);
        low - air..=high + air
    }

    fn marks(self, input: &GridInput) -> Vec<f64> {
        let (low, high) = input.bounds;
        let marks = match self {
            Self::Sigma { is_linear: false } => {
                let tens = low.floor() as i32..=high.ceil() as i32;
                return tens.map(f64::from).filter(|mark| (low..=high).contains(mark)).collect();
            }
            _ => nice_step(high - low, 4.0),
        };
        let first = (low / marks).ceil() as i64;
        (first..).map(|n| n as f64 * marks).take_while(|&mark| mark <= high).collect()
    }

    fn written(self, place: f64) -> String {
        match self {
            Self::Sigma { is_linear: false } => format!("{}", 10f64.powi(place.round() as i32)),
            _ => format!("{place}"),
        }
    }
}

/// A tick distance of 1, 2 or 5 times a power of ten, so that `span` has about `count` ticks.
fn nice_step(span: f64, count: f64) -> f64 {
    let rough = (span / count).max(1e-6);
    let tens = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|times| times * tens).into_iter().find(|step| *step >= rough).unwrap_or(rough)
}

/// Step labels count from 1, as everywhere in the window; on the axis, steps are at their index.
fn step_marks(steps: usize) -> Vec<f64> {
    let every = nice_step(steps as f64, 5.0).max(1.0) as usize;
    let numbers = std::iter::once(1).chain((every..=steps).step_by(every).filter(|&number| number > 1));
    numbers.map(|number| (number - 1) as f64).collect()
}

/// Draws the selected schedule, and the others faintly behind it if `with_others`.
pub fn face_ui(
    ui: &mut Ui,
    face: Face,
    height: f32,
    curves: &ScheduleCurves,
    chosen: Schedule,
    with_others: bool,
) -> Drawn {
    let tokens = Tokens::of(ui);
    let steps = curves.of(chosen).map_or(1, |curve| curve.timesteps.len());
    let range = face.range(curves);
    let bounds =
        PlotBounds::from_min_max([-0.35, *range.start()], [(steps as f64 - 0.65).max(0.5), *range.end()]);
    // Equally strong at every distance.
    let as_marks = |places: Vec<f64>| {
        places.into_iter().map(|value| GridMark { value, step_size: 1e6 }).collect::<Vec<_>>()
    };
    let ticks = |axis: AxisHints<'static>| {
        axis.label("").tick_label_font(theme::mono_small()).tick_label_color(tokens.faint)
    };
    let plot = Plot::new(ui.scope_id().with(face.name()))
        .height(height)
        .sense(Sense::hover())
        .show_x(false)
        .show_y(false)
        .show_crosshair(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_double_click_reset(false)
        .set_margin_fraction(Vec2::ZERO)
        .grid_color(tokens.line.gamma_multiply(0.7))
        .custom_x_axes(vec![ticks(
            AxisHints::new_x().formatter(|mark, _| format!("{}", mark.value.round() + 1.0)),
        )])
        .custom_y_axes(vec![ticks(
            AxisHints::new_y().formatter(move |mark, _| face.written(mark.value)).min_thickness(AXIS_WIDTH),
        )])
        .x_grid_spacer(move |_| as_marks(step_marks(steps)))
        .y_grid_spacer(move |input| as_marks(face.marks(&input)));
    let line = |curve: &ScheduleCurve, color: Color32, width: f32| {
        let points = PlotPoints::from(face.points(curve));
        Line::new(curve.schedule.label(), points).stroke(Stroke::new(width, color)).allow_hover(false)
    };
    let others = curves.all.iter().filter(|curve| with_others && curve.schedule != chosen);
    let mut lines: Vec<Line<'_>> = others.map(|curve| line(curve, tokens.line_strong, 1.0)).collect();
    lines.extend(curves.of(chosen).map(|curve| line(curve, tokens.text, 1.6)));
    let shown: PlotResponse<()> = plot.show(ui, |plot| {
        plot.set_plot_bounds(bounds);
        lines.into_iter().for_each(|line| plot.line(line));
    });
    Drawn { face, response: shown.response, transform: shown.transform, range }
}

impl Face {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigma { .. } => "Sigma",
            Self::Timestep => "Timestep",
        }
    }
}

impl Drawn {
    /// The window position of a step and a value; values off the plot are at its edge.
    pub fn position(&self, step: f64, value: f32) -> Pos2 {
        let y = self.face.place(value).unwrap_or(*self.range.start());
        let y = y.clamp(*self.range.start(), *self.range.end());
        self.transform.position_from_point(&egui_plot::PlotPoint::new(step, y))
    }

    /// The step nearest to a window position, as a float.
    pub fn step_at(&self, position: Pos2) -> f64 {
        self.transform.value_from_position(position).x.round()
    }

    pub fn id(&self, part: &str) -> Id {
        self.response.id.with(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_marked_at_round_numbers_from_the_first_on() {
        let numbers = |steps| step_marks(steps).iter().map(|mark| mark + 1.0).collect::<Vec<_>>();
        assert_eq!(numbers(20), [1.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(numbers(1), [1.0]);
        assert_eq!(numbers(3), [1.0, 2.0, 3.0]);
        assert_eq!(numbers(1000), [1.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
    }

    #[test]
    fn sigmas_are_marked_at_powers_of_ten_and_zero_lies_on_no_logarithm() {
        let log = Face::Sigma { is_linear: false };
        let input = GridInput { bounds: (0.0292f64.log10(), 14.6f64.log10()), base_step_size: 0.1 };
        assert_eq!(log.marks(&input), [-1.0, 0.0, 1.0]);
        assert_eq!([-1.0, 0.0, 1.0].map(|mark| log.written(mark)), ["0.1", "1", "10"]);
        assert_eq!(log.place(0.0), None);
        let linear = Face::Sigma { is_linear: true };
        assert_eq!(
            linear.marks(&GridInput { bounds: (-0.5, 15.4), base_step_size: 1.0 }),
            [0.0, 5.0, 10.0, 15.0]
        );
        assert_eq!(linear.place(0.0), Some(0.0));
    }
}
