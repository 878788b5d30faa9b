//! Page 6: the UNet's inputs, its prediction, and the predicted picture.

use egui::Ui;
use engine::diffusion::StepView;

use crate::features::command::Command;
use crate::features::film::FilmCommand;
use crate::features::lesson::Experiment;
use crate::features::lesson::page::{
    experiment_ui, fact_ui, formula_ui, live_ui, note, paragraph, step_at_hand, views_ui,
};
use crate::features::lesson::panel::PageContext;
use crate::ui::section::heading_ui;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{SliderRow, slider_row_ui};

pub fn prediction_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "The UNet is given three things: noisy latents, their noise level, and the encoded \
            prompt. It predicts the noise alone. Subtract all of that at once, and you have the \
            picture it expects:",
    );
    formula_ui(ui, &["x0 = x − σ · ε"]);
    live_ui(ui, |ui| equation_ui(ui, context));
    experiment_ui(ui, context, Experiment::Film, true);
    paragraph(
        ui,
        "Early on, x0 is a blur. That is not a mistake: behind so much noise there could be a \
            thousand pictures, and the best guess is the mean of them all. With each step, fewer \
            are left.",
    );
    paragraph(
        ui,
        "That is why the loop never jumps to x0. It moves a little towards it, then predicts again.",
    );
}

/// The formula in pictures, for any step of the run.
fn equation_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let Some((run, step)) = step_at_hand(&context.state.runs, &context.state.film) else {
        heading_ui(ui, "The formula in pictures", "");
        note(ui, "This appears with the first step of a run.");
        return;
    };
    let sigma = run.frame(step).map_or(0.0, |frame| frame.sigma);
    let (first, last) = (run.start_step + 1, run.start_step + run.frames.len());
    heading_ui(ui, "The formula in pictures", &format!("step {} of {}", step + 1, run.steps()));
    views_ui(
        ui,
        context,
        &[
            (StepView::NoisyLatents, "x"),
            (StepView::PredictedNoise, "− σ · ε"),
            (StepView::Predicted, "= x0"),
        ],
    );
    let row = SliderRow {
        name: "Step",
        sentence: "Selects a step of the run.",
        track: first as f64..=last as f64,
        limits: first as f64..=last as f64,
        default: last as f64,
        step: 1.0,
        decimals: 0,
        hue: Tokens::of(ui).accent,
    };
    let mut number = (step + 1) as f64;
    if slider_row_ui(ui, &row, &mut number).changed() {
        context.commands.push(Command::Film(FilmCommand::ScrubTo((number as usize).saturating_sub(1))));
    }
    fact_ui(ui, "Sigma", &format!("{sigma:.3}"));
}
