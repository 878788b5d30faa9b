//! Page 9: guidance by a loss.

use egui::Ui;
use engine::images::Pixels;

use crate::features::lesson::Experiment;
use crate::features::lesson::page::{
    experiment_ui, fact_ui, formula_ui, line_plot_ui, live_ui, note, paragraph, step_at_hand,
};
use crate::features::lesson::panel::PageContext;
use crate::ui::section::heading_ui;

/// The blue that the original lesson aims at, 0 to 1.
const BLUE: f32 = 0.9;

pub fn losses_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "Words are one way to steer. Anything that you can measure on a picture is another, as \
            long as the measure has a gradient. Take blue. Measure how far the blue of the \
            predicted picture is from 0.9, find how each latent must change for that to fall, move \
            the latents that way, then take the ordinary step.",
    );
    formula_ui(ui, &["x0 = x − σ · ε", "loss = k · mean |blue(x0) − 0.9|", "x = x − σ² · ∂loss/∂x"]);
    live_ui(ui, |ui| measure_ui(ui, context));
    experiment_ui(ui, context, Experiment::Blue, true);
    paragraph(
        ui,
        "The original lesson does this at every fifth step. A larger k gives a bluer picture, \
            and in the end nothing but blue. The Guides tab has this loss and others: a palette, \
            symmetry, brightness, edges that continue on the other side.",
    );
    paragraph(
        ui,
        "The step takes the predicted noise as constant, which saves going back through the UNet. \
            The Guides tab offers the exact way too, at twice the time. This is the last page; the tabs \
            above are yours.",
    );
}

/// How far a picture is from blue, 0 to 1.
fn blue_loss(picture: &Pixels) -> f32 {
    let blues = picture.rgb.iter().skip(2).step_by(3);
    let total: f32 = blues.map(|&blue| (f32::from(blue) / 255.0 - BLUE).abs()).sum();
    total / (picture.rgb.len() / 3).max(1) as f32
}

/// The loss at each step of the current run.
fn measure_ui(ui: &mut Ui, context: &PageContext<'_>) {
    let Some((run, step)) = step_at_hand(&context.state.runs, &context.state.film) else {
        heading_ui(ui, "Far from blue", "");
        note(ui, "Once there is a run, the measure of every step is drawn here.");
        return;
    };
    let index = context.state.film.picture.unwrap_or(0);
    let loss = |pictures: &[std::sync::Arc<Pixels>]| {
        pictures.get(index).or(pictures.first()).map_or(f32::NAN, |picture| blue_loss(picture))
    };
    let losses: Vec<f32> = run.frames.iter().map(|frame| loss(&frame.predicted)).collect();
    let at = step.saturating_sub(run.start_step);
    heading_ui(ui, "Far from blue", &format!("step {} of {}", step + 1, run.steps()));
    line_plot_ui(ui, "How far from blue each step is", &losses, at, 92.0);
    if let Some(here) = losses.get(at).filter(|loss| loss.is_finite()) {
        fact_ui(ui, "mean |blue − 0.9|", &format!("{here:.3}"));
    }
    let is_guided = !run.recipe.guides.is_empty();
    note(ui, if is_guided { "Your run, guided." } else { "Your run, without a guide." });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measure_is_the_lessons() {
        let picture = Pixels::new(2, 1, vec![255, 255, 255, 0, 0, 0]);
        assert!((blue_loss(&picture) - (0.1 + 0.9) / 2.0).abs() < 1e-6);
        let blue = (BLUE * 255.0).round() as u8;
        assert!(blue_loss(&Pixels::new(1, 1, vec![9, 9, blue])) < 2e-3);
    }
}
