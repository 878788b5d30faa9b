//! How a picture is sampled, on the command line: the sampler, the schedule, and all that can be set of them.

use clap::Args as ClapArgs;
use engine::diffusion::{
    BetaSchedule, NoiseSource, Sampler, SamplerOption, SamplerOptions, Schedule, ScheduleOptions,
};
use engine::recipe::Recipe;

use super::args::{one_of, one_of_or};

#[derive(Debug, ClapArgs)]
pub struct SamplingArgs {
    /// How to walk from noise to picture [default: euler]
    #[arg(long, value_name = "NAME", value_parser = one_of(Sampler::ALL.map(|it| (it.name(), it.hint(), it))))]
    pub sampler: Option<Sampler>,
    /// Which noise levels to visit on the way [default: linspace]
    #[arg(long, value_name = "NAME", value_parser = one_of_or(Schedule::ALL.map(|it| (it.name(), it.hint(), it)), Schedule::ALIASES))]
    pub schedule: Option<Schedule>,
    /// How much of the noise is drawn anew at every step, 0 (none) to 1 [default: the sampler's own]
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub eta: Option<f32>,
    /// How many predictions LMS looks back on, 1 to 4 [default: 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub order: Option<f32>,
    /// The part of the predicted noise that an optimiser takes away at a step [default: the sampler's own]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub learning_rate: Option<f32>,
    /// How much of its last steps' direction an optimiser keeps [default: the sampler's own]
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    pub momentum: Option<f32>,
    /// How strongly an optimiser draws the latents to 0 [default: the sampler's own]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub weight_decay: Option<f32>,
    /// The predicted noise at which an optimiser stops early [default: 0.03]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    pub stop_below: Option<f32>,
    /// The power of karras (7 unless given) and polyexponential (1)
    #[arg(long, value_name = "RHO", allow_negative_numbers = true)]
    pub rho: Option<f32>,
    /// Take the model to be trained from this beta on [default, as for the next three: the model's own]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub beta_start: Option<f64>,
    /// .. to this beta
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub beta_end: Option<f64>,
    /// .. rising in this way
    #[arg(long, value_name = "NAME", value_parser = one_of(BetaSchedule::ALL.map(|it| (it.name(), it.hint(), it))))]
    pub beta_kind: Option<BetaSchedule>,
    /// .. in so many steps
    #[arg(long, value_name = "N")]
    pub train_steps: Option<u32>,
    /// Whose noise a seed stands for [default: torch]
    #[arg(long, value_name = "NAME", value_parser = one_of(NoiseSource::ALL.map(|it| (it.name(), it.hint(), it))))]
    pub noise: Option<NoiseSource>,
}

impl SamplingArgs {
    /// Sets what was given; the rest of the recipe stays.
    pub fn write_into(&self, recipe: &mut Recipe) {
        recipe.sampler = self.sampler.unwrap_or(recipe.sampler);
        recipe.schedule = self.schedule.unwrap_or(recipe.schedule);
        recipe.noise = self.noise.unwrap_or(recipe.noise);
        let before = recipe.sampler_options;
        recipe.sampler_options = SamplerOptions {
            eta: self.eta.or(before.eta),
            order: self.order.or(before.order),
            learning_rate: self.learning_rate.or(before.learning_rate),
            momentum: self.momentum.or(before.momentum),
            weight_decay: self.weight_decay.or(before.weight_decay),
            stop_below: self.stop_below.or(before.stop_below),
        };
        let before = recipe.schedule_options;
        recipe.schedule_options = ScheduleOptions {
            rho: self.rho.or(before.rho),
            beta_start: self.beta_start.or(before.beta_start),
            beta_end: self.beta_end.or(before.beta_end),
            beta_kind: self.beta_kind.or(before.beta_kind),
            train_steps: self.train_steps.or(before.train_steps),
        };
    }
}

/// What was set and changes nothing.
pub fn ignored_options(recipe: &Recipe) -> Vec<String> {
    let sampler = recipe.sampler;
    let ignored_options =
        |option: &SamplerOption| recipe.sampler_options.get(*option).is_some() && !sampler.accepts(*option);
    let options = SamplerOption::ALL.into_iter().filter(ignored_options);
    let mut warnings: Vec<String> = options
        .map(|option| {
            let option = option.label().to_lowercase();
            format!("{} does not listen to {option}, so that it changes nothing", sampler.label())
        })
        .collect();
    if recipe.schedule_options.rho.is_some() && recipe.schedule.default_rho().is_none() {
        let schedule = recipe.schedule.label();
        warnings.push(format!("{schedule} does not listen to rho, so that it changes nothing"));
    }
    warnings
}
