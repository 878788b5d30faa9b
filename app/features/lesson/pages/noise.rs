//! Page 3: the noise at each step, with a slider for the step and a picture with that noise.

use egui::Ui;

use crate::features::command::Command;
use crate::features::inspect::InspectCommand;
use crate::features::inspect::panel::row_ui;
use crate::features::lesson::Experiment;
use crate::features::lesson::page::{
    captions_ui, experiment_ui, fact_ui, formula_ui, line_plot_ui, live_ui, note, paragraph,
};
use crate::features::lesson::panel::PageContext;
use crate::ui::textures::Use;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{SliderRow, slider_row_ui};

const HEIGHT: f32 = 112.0;

pub fn noise_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "To train the model, noise of a thousand strengths was added to clean pictures, and it \
            had to say which part was the noise. The strengths are numbered: those numbers are the \
            timesteps. Sigma says how much noise each of them is.",
    );
    paragraph(
        ui,
        "Nobody wants to take a thousand steps. A schedule chooses the strengths that a run \
            visits. Move along it:",
    );
    live_ui(ui, |ui| schedule_ui(ui, context));
    formula_ui(ui, &["noisy = x0 + σ · noise"]);
    live_ui(ui, |ui| noised_ui(ui, context));
    experiment_ui(ui, context, Experiment::AddNoise, true);
    paragraph(
        ui,
        "At the left end you cannot make out the picture, at the right end you cannot make out \
            the noise. Most of what you would call the picture is decided in between.",
    );
    experiment_ui(ui, context, Experiment::Schedules, false);
}

fn schedule_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let (step, sigma) = context.state.noise_step();
    let schedule = context.recipe.schedule;
    let Some(curve) = context.curves.of(schedule) else { return };
    // The last sigma is 0, which has no logarithm.
    let logs: Vec<f32> =
        curve.sigmas.iter().filter(|sigma| **sigma > 0.0).map(|sigma| sigma.log10()).collect();
    line_plot_ui(ui, "Sigma against step", &logs, step, HEIGHT);
    let steps = f64::from(context.recipe.steps.max(1));
    let row = SliderRow {
        name: "Step",
        sentence: "The step whose noise is shown. The Inspect tab has the same slider.",
        track: 1.0..=steps,
        limits: 1.0..=steps,
        default: (steps * 2.0 / 3.0).floor() + 1.0,
        step: 1.0,
        decimals: 0,
        hue: Tokens::of(ui).accent,
    };
    let mut number = (step + 1) as f64;
    if slider_row_ui(ui, &row, &mut number).changed() {
        context
            .commands
            .push(Command::Inspect(InspectCommand::NoiseStep((number as usize).saturating_sub(1))));
    }
    fact_ui(ui, "Schedule", schedule.label());
    fact_ui(ui, "Sigma, on a logarithmic scale", &format!("{sigma:.4}"));
    fact_ui(ui, "Timestep", &format!("{:.2}", schedule.timestep(sigma, &context.curves.noise)));
}

fn noised_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let Some(subject) = context.state.subject() else {
        note(ui, "Once there is a picture on the canvas, it appears here with the noise of that step.");
        return;
    };
    let (step, sigma) = context.state.noise_step();
    let noised = context.state.inspect.noised().and_then(Result::ok);
    let names = ["The picture".to_owned(), format!("With the noise of step {}", step + 1)];
    row_ui(ui, 2, [Some(&subject.at.pixels), noised].into_iter(), &names, Use::Canvas, context.textures);
    captions_ui(ui, &["x0", &format!("x0 + {sigma:.2} · noise")]);
    if context.state.runs.live().is_some() {
        ui.add_space(theme::GAP_S);
        note(ui, "Inspection resumes after this run.");
    }
}
