//! Page 4: image to image. Strength and start step move together.

use egui::{CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, vec2};
use engine::recipe::{Start, start_step_of, strength_of};

use crate::features::command::Command;
use crate::features::lesson::page::{experiment_ui, fact_ui, formula_ui, live_ui, note, paragraph};
use crate::features::lesson::panel::PageContext;
use crate::features::lesson::{Experiment, LessonCommand, NOTEBOOK_STRENGTH};
use crate::ui::theme::Tokens;
use crate::ui::widgets::{SliderRow, slider_row_ui};

pub fn start_image_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "A run does not have to start at its first step. Take a picture, add the noise of a \
            later step, and the model continues as if it had come that far by itself, with \
            whatever prompt you give it.",
    );
    paragraph(
        ui,
        "Starting early keeps little more than where light and colour were. Starting late keeps \
            the shapes, and the prompt can change only their surface.",
    );
    paragraph(ui, "How much is replaced is called strength. It is another way to set the start step:");
    live_ui(ui, |ui| sliders_ui(ui, context));
    if context.state.picture_to_start_from().is_some() {
        experiment_ui(ui, context, Experiment::StartImage, true);
    } else {
        note(ui, "There is no picture to start from yet. Make one, or drop one on the window.");
        ui.add_space(crate::ui::theme::GAP_M);
        experiment_ui(ui, context, Experiment::Parrot, true);
    }
    paragraph(ui, "A strength of 0.6 over 30 steps starts at step 12, as in the original lesson.");
    formula_ui(ui, &["x = encode(picture) + σ · noise", "start = n − floor(n × strength)"]);
}

fn sliders_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let hue = Tokens::of(ui).coral;
    let steps = context.recipe.steps.max(1);
    let mut strength = context.state.shared.strength();
    let before = strength;
    let row = SliderRow {
        name: "Strength",
        sentence: "How much the picture changes: at 0 it stays as it is, at 1 nothing of it is left.",
        track: 0.0..=1.0,
        limits: 0.0..=1.0,
        default: NOTEBOOK_STRENGTH.into(),
        step: 0.05,
        decimals: 2,
        hue,
    };
    // Through the shortest decimal, so that 0.6 does not become 0.60000002.
    let mut edited = strength.to_string().parse().unwrap_or(f64::from(strength));
    if slider_row_ui(ui, &row, &mut edited).changed() {
        strength = edited as f32;
    }
    let last = f64::from(steps - 1);
    let row = SliderRow {
        name: "Start step",
        sentence: "Earlier steps are skipped. The noise of this step is added to the picture at once.",
        track: 0.0..=last,
        limits: 0.0..=last,
        default: f64::from(start_step_of(NOTEBOOK_STRENGTH, steps)),
        step: 1.0,
        decimals: 0,
        hue,
    };
    let mut start = f64::from(start_step_of(strength, steps)).min(last);
    if slider_row_ui(ui, &row, &mut start).changed() {
        strength = strength_of(start as u32, steps);
    }
    if strength != before {
        match &mut context.recipe.start {
            Start::Image { strength: on_desk, .. } => *on_desk = strength,
            Start::Noise => context.commands.push(Command::Lesson(LessonCommand::Strength(strength))),
        }
    }
    steps_ui(ui, start as u32, steps);
    let curve = context.curves.of(context.recipe.schedule);
    let sigma = curve.and_then(|curve| curve.sigmas.get(start as usize)).copied().unwrap_or_default();
    fact_ui(ui, "Skipped", &format!("{} of {steps} steps", start as u32));
    fact_ui(ui, "Run", &format!("{} steps", steps - start as u32));
    fact_ui(ui, "Noise added to the picture", &format!("σ {sigma:.3}"));
}

/// The run as a bar: skipped steps, and steps that run.
fn steps_ui(ui: &mut Ui, start: u32, steps: u32) {
    const HEIGHT: f32 = 10.0;
    const GAP: f32 = 2.0;
    let tokens = Tokens::of(ui);
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let said = format!("{start} of {steps} steps are skipped");
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &said));
    let width = area.width() / steps as f32;
    // Steps too narrow for gaps are drawn as two bars.
    let (count, width, gap) = if width > 2.0 * GAP { (steps, width, GAP) } else { (1, area.width(), 0.0) };
    if count == 1 && steps > 1 {
        let share = start as f32 / steps as f32;
        ui.painter().rect_filled(area, CornerRadius::same(3), tokens.coral);
        let left_out = Rect::from_min_size(area.min, vec2(area.width() * share, HEIGHT));
        ui.painter().rect_filled(left_out, CornerRadius::same(3), tokens.line_strong);
        return;
    }
    for step in 0..count {
        let at = area.min + vec2(width * step as f32, 0.0);
        let cell = Rect::from_min_size(at, vec2(width - gap, HEIGHT));
        let hue = if step < start { tokens.line_strong } else { tokens.coral };
        ui.painter().rect_filled(cell, CornerRadius::same(2), hue);
    }
}
