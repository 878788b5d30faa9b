//! The sampler and the schedule on the command line, with all their options.

use clap::Args;
use engine::diffusion::{
    BetaSchedule, NoiseSource, Sampler, SamplerOption, SamplerOptions, Schedule, ScheduleOptions,
};
use engine::recipe::Recipe;

use super::shared_args::one_of;

#[derive(Debug, Args)]
pub struct SamplingArgs {
    /// The sampler [default: euler]
    #[arg(long, value_name = "NAME", value_parser = one_of(Sampler::ALL, Sampler::name, Sampler::hint, &[]))]
    pub sampler: Option<Sampler>,
    /// The noise schedule: which noise levels the steps are at [default: linspace]
    #[arg(long, value_name = "NAME", value_parser = one_of(Schedule::ALL, Schedule::name, Schedule::hint, Schedule::ALIASES))]
    pub schedule: Option<Schedule>,
    /// How much fresh noise is added at every step, 0 (none) to 1 [default: the sampler's own]
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub eta: Option<f32>,
    /// How many predictions LMS combines, 1 to 4 [default: 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub order: Option<f32>,
    /// The share of the predicted noise that an optimiser removes per step [default: the sampler's own]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub learning_rate: Option<f32>,
    /// How much of its previous direction an optimiser keeps [default: the sampler's own]
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    pub momentum: Option<f32>,
    /// How strongly an optimiser pulls the latents towards 0 [default: the sampler's own]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub weight_decay: Option<f32>,
    /// The level of predicted noise below which an optimiser stops early [default: 0.03]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    pub stop_below: Option<f32>,
    /// The exponent of karras [default: 7] and polyexponential [default: 1]
    #[arg(long, value_name = "RHO", allow_negative_numbers = true)]
    pub rho: Option<f32>,
    /// First beta of the training noise schedule [default: the model's own]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub beta_start: Option<f64>,
    /// Last beta of the training noise schedule [default: the model's own]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub beta_end: Option<f64>,
    /// How the betas rise from first to last [default: the model's own]
    #[arg(long, value_name = "NAME", value_parser = one_of(BetaSchedule::ALL, BetaSchedule::name, BetaSchedule::hint, &[]))]
    pub beta_kind: Option<BetaSchedule>,
    /// Number of training steps [default: the model's own]
    #[arg(long, value_name = "N")]
    pub train_steps: Option<u32>,
    /// Which random generator turns the seed into noise [default: torch]
    #[arg(long, value_name = "NAME", value_parser = one_of(NoiseSource::ALL, NoiseSource::name, NoiseSource::hint, &[]))]
    pub noise: Option<NoiseSource>,
}

impl SamplingArgs {
    /// Sets the given options; the rest of the recipe is unchanged.
    pub fn write_into(&self, recipe: &mut Recipe) {
        recipe.sampler = self.sampler.unwrap_or(recipe.sampler);
        recipe.schedule = self.schedule.unwrap_or(recipe.schedule);
        recipe.noise = self.noise.unwrap_or(recipe.noise);
        let base = recipe.sampler_options;
        recipe.sampler_options = SamplerOptions {
            eta: self.eta.or(base.eta),
            order: self.order.or(base.order),
            learning_rate: self.learning_rate.or(base.learning_rate),
            momentum: self.momentum.or(base.momentum),
            weight_decay: self.weight_decay.or(base.weight_decay),
            stop_below: self.stop_below.or(base.stop_below),
        };
        let base = recipe.schedule_options;
        recipe.schedule_options = ScheduleOptions {
            rho: self.rho.or(base.rho),
            beta_start: self.beta_start.or(base.beta_start),
            beta_end: self.beta_end.or(base.beta_end),
            beta_kind: self.beta_kind.or(base.beta_kind),
            train_steps: self.train_steps.or(base.train_steps),
        };
    }
}

/// A warning for each option that was set and that the sampler or the schedule ignores.
pub fn ignored_options(recipe: &Recipe) -> Vec<String> {
    let sampler = recipe.sampler;
    let is_ignored =
        |option: &SamplerOption| recipe.sampler_options.get(*option).is_some() && !sampler.accepts(*option);
    let options = SamplerOption::ALL.into_iter().filter(is_ignored);
    let mut warnings: Vec<String> = options
        .map(|option| format!("{} ignores {}", sampler.label(), option.label().to_lowercase()))
        .collect();
    if recipe.schedule_options.rho.is_some() && recipe.schedule.default_rho().is_none() {
        warnings.push(format!("{} ignores rho", recipe.schedule.label()));
    }
    warnings
}
