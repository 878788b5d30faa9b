//! The noise levels of every schedule, computed once per recipe.

use engine::checkpoint::SchedulerConfig;
use engine::diffusion::{BetaSchedule, NoiseSchedule, Schedule};
use engine::pipeline::ModelInfo;
use engine::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// One schedule over the steps of the recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleCurve {
    pub schedule: Schedule,
    /// One more than there are steps; the last is 0.
    pub sigmas: Vec<f32>,
    /// The timestep that the model receives at each step.
    pub timesteps: Vec<f32>,
}

/// The curves of the current recipe.
#[derive(Clone, Debug)]
pub struct ScheduleCurves {
    of: Option<(Recipe, Option<SchedulerConfig>)>,
    /// In the order of [`Schedule::ALL`].
    pub all: Vec<ScheduleCurve>,
    pub noise: NoiseSchedule,
}

impl Default for ScheduleCurves {
    fn default() -> Self {
        Self { of: None, all: Vec::new(), noise: stable_diffusion() }
    }
}

impl ScheduleCurves {
    /// Computes them if the recipe or the model changed. Without an open model, they are those of
    /// Stable Diffusion.
    pub fn follow(&mut self, recipe: &Recipe, info: Option<&ModelInfo>) {
        // Prompts do not change the curves.
        let (prompt, negative_prompt) = (String::new(), String::new());
        let wordless = Recipe { prompt, negative_prompt, ..recipe.clone() };
        let of = Some((wordless, info.map(|info| info.scheduler.clone())));
        if self.of == of {
            return;
        }
        if let Some(info) = info {
            // Invalid betas are reported under their field.
            self.noise =
                recipe.noise_schedule(&info.scheduler).unwrap_or_else(|_| info.scheduler.noise_schedule());
        }
        self.of = of;
        let steps = recipe.steps.clamp(*Recipe::STEPS.start(), *Recipe::STEPS.end());
        let noise = &self.noise;
        let curve = |schedule: Schedule| {
            let chosen = (schedule == recipe.schedule).then_some(recipe.schedule_options);
            let schedule_options = chosen.unwrap_or_default();
            let alone = Recipe { schedule, schedule_options, steps, ..Recipe::default() };
            let sigmas = alone.sigmas(noise).unwrap_or_else(|_| schedule.sigmas(steps as usize, noise));
            let timesteps = sigmas[..steps as usize].iter().map(|&sigma| schedule.timestep(sigma, noise));
            ScheduleCurve { schedule, timesteps: timesteps.collect(), sigmas }
        };
        self.all = Schedule::ALL.into_iter().map(curve).collect();
    }

    pub fn of(&self, schedule: Schedule) -> Option<&ScheduleCurve> {
        self.all.iter().find(|curve| curve.schedule == schedule)
    }
}

/// How the plot of the schedule is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulePlot {
    /// Sigma on a linear scale, not a logarithmic one.
    pub is_linear: bool,
    /// Show the other schedules faintly behind the selected one.
    pub with_others: bool,
}

impl Default for SchedulePlot {
    fn default() -> Self {
        Self { is_linear: false, with_others: true }
    }
}

fn stable_diffusion() -> NoiseSchedule {
    NoiseSchedule::new(BetaSchedule::ScaledLinear, 0.00085, 0.012, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curves_are_the_schedules_of_the_lesson_where_no_model_is_open() {
        let mut curves = ScheduleCurves::default();
        curves.follow(&Recipe { steps: 15, ..Recipe::default() }, None);
        let lesson = curves.of(Schedule::Linspace).expect("a curve");
        assert_eq!((lesson.sigmas.len(), lesson.timesteps.len()), (16, 15));
        // Step 10 in fast.ai's notebook: its sigma and timestep.
        assert!((lesson.sigmas[10] - 0.7913).abs() < 1e-4 && (lesson.timesteps[10] - 285.4286).abs() < 1e-3);
    }

    #[test]
    fn steps_that_cannot_be_run_are_drawn_as_the_nearest_that_can() {
        let mut curves = ScheduleCurves::default();
        for (steps, drawn) in [(0, 1), (1_000_000, 1000)] {
            curves.follow(&Recipe { steps, ..Recipe::default() }, None);
            assert!(curves.all.iter().all(|curve| curve.timesteps.len() == drawn));
        }
    }
}
