//! A recipe determines a picture completely, given a model.
//!
//! Panels edit it, the engine runs it, the PNG stores it, history replays it. Whatever changes the
//! picture is a field here; nothing else is.

mod error;
mod recorded_run;
pub mod xy_plot;

pub use error::RecipeError;
pub use recorded_run::RecordedRun;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::checkpoint::SchedulerConfig;
use crate::diffusion::{
    BetaSchedule, NoiseSchedule, NoiseSource, Sampler, SamplerOption, SamplerOptions, Schedule,
    ScheduleOptions,
};
use crate::losses::{LossGuide, TrainingFree};
use crate::paint::Paint;
use crate::prompt::{EmbeddingEdit, Mix, MixMethod, TextOptions};

/// Everything that determines a picture, given a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    pub prompt: String,
    pub negative_prompt: String,
    /// How both prompts are read. Files from before this option existed used [`TextOptions::PLAIN`].
    #[serde(default = "TextOptions::plain")]
    pub text: TextOptions,
    /// Edits of the prompt's token embeddings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<EmbeddingEdit>,
    /// Prompts that are mixed into the main prompt.
    #[serde(skip_serializing_if = "is_default")]
    pub mix: Mix,
    /// Pixels, a multiple of 8.
    pub width: u32,
    /// Pixels, a multiple of 8.
    pub height: u32,
    /// Picture `i` of a batch has the seed `seed + i`, and is the same picture when made alone.
    pub seed: u64,
    /// Pictures made at once, 1 to 8.
    pub batch: u32,
    /// 1 to 1000.
    pub steps: u32,
    pub sampler: Sampler,
    #[serde(skip_serializing_if = "is_default")]
    pub sampler_options: SamplerOptions,
    pub schedule: Schedule,
    #[serde(skip_serializing_if = "is_default")]
    pub schedule_options: ScheduleOptions,
    #[serde(skip_serializing_if = "is_default")]
    pub noise: NoiseSource,
    pub guidance: Guidance,
    /// Losses that guide sampling besides the prompt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guides: Vec<LossGuide>,
    /// How their gradient is used.
    #[serde(skip_serializing_if = "is_default")]
    pub training_free: TrainingFree,
    pub start: Start,
    /// The run this one branches from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
}

/// A branch point: the run shares the steps of `from` before `step`, and continues from the noisy latents there
/// with its own prompt, guidance, sampler and noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    pub from: Box<Recipe>,
    /// The first step of the branch, as an index into the schedule of `from`.
    pub step: u32,
    /// What is painted on that step before the branch continues from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paint: Option<Paint>,
}

/// Default values are omitted, so that files written before an option existed stay byte-identical.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How strictly the picture follows the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guidance {
    /// Classifier-free guidance scale. At 1 the unconditional prediction is skipped.
    pub cfg_scale: f32,
}

/// Where sampling begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    #[default]
    Noise,
    /// Image to image: the picture with the noise of a later step.
    Image {
        path: PathBuf,
        /// 0 keeps the picture, 1 ignores it. It determines [`Recipe::start_step`].
        strength: f32,
    },
}

/// How much of a start image is forgotten unless said otherwise.
pub const DEFAULT_STRENGTH: f32 = 0.75;

/// A seed nobody chose. Below 2^32, since PyTorch's CPU noise takes no more of it, and ten digits are easily
/// said and typed.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library's only source of randomness: each state has fresh keys.
    RandomState::new().build_hasher().finish() & 0xffff_ffff
}

impl Recipe {
    pub const STEPS: RangeInclusive<u32> = 1..=1000;
    pub const BATCH: RangeInclusive<u32> = 1..=8;
    pub const SIDE: RangeInclusive<u32> = 8..=2048;
    pub const CFG_SCALE: RangeInclusive<f32> = 0.0..=100.0;
    /// Maximum depth of nested branches.
    const MAX_BRANCH_DEPTH: usize = 48;

    /// The first step that is sampled: 0 from noise, and `steps - floor(steps * strength)` from a start image, as
    /// in diffusers.
    pub fn start_step(&self) -> u32 {
        match &self.start {
            Start::Noise => 0,
            Start::Image { strength, .. } => start_step_of(*strength, self.steps),
        }
    }

    /// # Errors
    /// The first value that is out of range or does not fit the others.
    pub fn check(&self) -> Result<(), RecipeError> {
        if !Self::STEPS.contains(&self.steps) {
            return Err(RecipeError::Steps(self.steps));
        }
        if !Self::BATCH.contains(&self.batch) {
            return Err(RecipeError::Batch(self.batch));
        }
        for (side, pixels) in [("width", self.width), ("height", self.height)] {
            if !pixels.is_multiple_of(8) || !Self::SIDE.contains(&pixels) {
                return Err(RecipeError::Side { side, pixels, nearest: nearest_side(pixels) });
            }
        }
        if self.batch > 1 && self.sampler.is_adaptive() {
            return Err(RecipeError::OneAtATime(self.sampler));
        }
        for option in SamplerOption::ALL {
            match self.sampler_options.get(option) {
                Some(value) if !option.allows(value) => {
                    return Err(RecipeError::SamplerOption { option, value });
                }
                _ => {}
            }
        }
        self.check_schedule()?;
        self.check_text()?;
        let cfg_scale = self.guidance.cfg_scale;
        if !Self::CFG_SCALE.contains(&cfg_scale) {
            return Err(RecipeError::CfgScale(cfg_scale));
        }
        if self.guides.len() > LossGuide::MAX {
            return Err(RecipeError::TooManyGuides(self.guides.len()));
        }
        self.guides.iter().try_for_each(LossGuide::check)?;
        self.training_free.check()?;
        if let Start::Image { strength, .. } = self.start {
            if !(0.0..=1.0).contains(&strength) {
                return Err(RecipeError::Strength(strength));
            }
            if self.start_step() >= self.steps {
                return Err(RecipeError::NothingToRun { strength, steps: self.steps });
            }
        }
        self.check_branch()
    }

    fn check_text(&self) -> Result<(), RecipeError> {
        if !TextOptions::CLIP_SKIP.contains(&self.text.clip_skip) {
            return Err(RecipeError::ClipSkip(self.text.clip_skip));
        }
        if self.edits.len() > EmbeddingEdit::MAX {
            return Err(RecipeError::TooManyEdits(self.edits.len()));
        }
        for edit in &self.edits {
            edit.check().map_err(|why| RecipeError::Edit { text: edit.selector.text.clone(), why })?;
        }
        if self.mix.prompts.len() > Mix::MAX {
            return Err(RecipeError::TooManyMixed(self.mix.prompts.len()));
        }
        let weights = self.mix.prompts.iter().map(|mixed| mixed.weight);
        if let Some(weight) = weights.clone().find(|weight| !Mix::WEIGHT.contains(weight)) {
            return Err(RecipeError::MixWeight(weight));
        }
        let least = weights.chain([self.mix.main_weight()]).fold(0.0, f32::min);
        if self.mix.method == MixMethod::Spherical && least < -1e-6 {
            return Err(RecipeError::MixArc);
        }
        Ok(())
    }

    fn check_branch(&self) -> Result<(), RecipeError> {
        let Some(Branch { from, step, .. }) = &self.branch else { return Ok(()) };
        if self.ancestors().count() > Self::MAX_BRANCH_DEPTH {
            return Err(RecipeError::TooManyBranches);
        }
        from.check().map_err(|error| RecipeError::BranchFrom(Box::new(error)))?;
        let sides = |recipe: &Self| (recipe.width, recipe.height, recipe.batch);
        if sides(self) != sides(from) {
            let (width, height, batch) = sides(from);
            return Err(RecipeError::BranchSize { width, height, batch });
        }
        if self.start != from.start {
            return Err(RecipeError::BranchStart);
        }
        let (first, last) = (from.start_step(), from.last_step());
        if !(first..=last).contains(step) {
            return Err(RecipeError::BranchStep { step: *step, first, last });
        }
        let recipes = std::iter::once(self).chain(self.ancestors());
        let paint = recipes.filter_map(|recipe| recipe.branch.as_ref()?.paint.as_ref());
        if paint.map(Paint::bytes).sum::<usize>() > Paint::MAX_BYTES {
            return Err(RecipeError::TooMuchPaint);
        }
        Ok(())
    }

    /// The highest index that a step can have.
    fn last_step(&self) -> u32 {
        match self.sampler {
            Sampler::DpmAdaptive => self.start_step() + Self::STEPS.end(), // it chooses how many
            _ => self.steps - 1,
        }
    }

    /// The run that this one branches from, the one that run branches from, and so on.
    pub fn ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(self.parent(), |recipe| recipe.parent())
    }

    fn parent(&self) -> Option<&Self> {
        Some(&self.branch.as_ref()?.from)
    }

    /// This recipe as a branch of `from` at a step. If nothing differs it is `from` itself.
    pub fn branching(self, from: &Self, step: u32) -> Self {
        self.branching_painted(from, step, None)
    }

    /// This recipe as a branch of `from` at a step that was painted on.
    pub fn branching_painted(mut self, from: &Self, step: u32, paint: Option<Paint>) -> Self {
        let paint = paint.filter(|paint| !paint.is_empty());
        (self.width, self.height, self.batch) = (from.width, from.height, from.batch);
        self.start.clone_from(&from.start);
        self.branch.clone_from(&from.branch);
        if self != *from || paint.is_some() {
            self.branch = Some(Branch { from: Box::new(from.clone()), step, paint });
        }
        self
    }

    /// Whether it is a branch in which the sampler takes the steps that its parent takes, with nothing changed but the paint.
    pub(crate) fn differs_in_paint_alone(&self) -> bool {
        let Some(Branch { from, paint: Some(_), .. }) = &self.branch else { return false };
        let unpainted = Self { branch: from.branch.clone(), ..self.clone() };
        unpainted == **from && !self.sampler.is_adaptive()
    }

    fn check_schedule(&self) -> Result<(), RecipeError> {
        let ScheduleOptions { rho, beta_start, beta_end, train_steps, .. } = self.schedule_options;
        if let Some(rho) = rho.filter(|rho| !ScheduleOptions::RHO.contains(rho)) {
            return Err(RecipeError::Rho(rho));
        }
        for beta in [beta_start, beta_end].into_iter().flatten() {
            if !ScheduleOptions::BETA.contains(&beta) {
                return Err(RecipeError::Beta(beta));
            }
        }
        match train_steps {
            Some(steps) if !ScheduleOptions::TRAIN_STEPS.contains(&steps) => {
                Err(RecipeError::TrainSteps(steps))
            }
            _ => Ok(()),
        }
    }

    /// The noise schedule of a model with this configuration, with the recipe's own betas if it has any.
    ///
    /// # Errors
    /// If the betas that were set fit neither each other nor the model's.
    pub fn noise_schedule(&self, trained: &SchedulerConfig) -> Result<NoiseSchedule, RecipeError> {
        self.check_schedule()?;
        let trained = trained.with_options(&self.schedule_options);
        let (start, end) = (trained.beta_start, trained.beta_end);
        if trained.beta_schedule != BetaSchedule::Cosine && start > end {
            return Err(RecipeError::BetasFall { start, end });
        }
        let noise = trained.noise_schedule();
        if noise.is_valid() { Ok(noise) } else { Err(RecipeError::NothingLeft(trained.num_train_timesteps)) }
    }

    /// The noise levels of its schedule, `steps + 1` of them; the sampler may
    /// [visit others](Sampler::visited_sigmas).
    ///
    /// # Errors
    /// If a rho was set that does not leave each step its own.
    pub fn sigmas(&self, noise: &NoiseSchedule) -> Result<Vec<f32>, RecipeError> {
        let sigmas = self.schedule.sigmas_with_rho(self.schedule_options.rho, self.steps as usize, noise);
        match self.schedule_options.rho {
            Some(rho) if !sigmas.is_sorted_by(|sigma, next| sigma > next) => {
                Err(RecipeError::StepsCoincide { rho, steps: self.steps })
            }
            _ => Ok(sigmas),
        }
    }

    /// The recipe of one picture of the batch, made alone.
    pub fn of_picture(&self, index: u32) -> Self {
        let branch = self.branch.as_ref().map(|Branch { from, step, paint }| Branch {
            from: Box::new(from.of_picture(index)),
            step: *step,
            paint: paint.as_ref().map(|paint| paint.of_picture(index)),
        });
        Self { seed: self.seed.wrapping_add(u64::from(index)), batch: 1, branch, ..self.clone() }
    }
}

/// The start step of a strength.
pub fn start_step_of(strength: f32, steps: u32) -> u32 {
    // Python multiplies the number as it was typed: 0.29 * 100 is 28.999999999999996, which is 28 steps.
    let typed: f64 = strength.to_string().parse().expect("a number as it is printed");
    let run = typed * f64::from(steps);
    // But the strength of start step k, (steps - k) / steps, must give k again. Rounding it to f32 moves the
    // product by more than 1e-12, Python's rounding by less.
    let is_quotient = (1e-12..1e-3).contains(&(run.round() - run));
    let run = if is_quotient { run.round() } else { run.floor() };
    steps.saturating_sub(run.clamp(0.0, f64::from(steps)) as u32)
}

/// The strength of a start step.
pub fn strength_of(start_step: u32, steps: u32) -> f32 {
    if steps == 0 {
        return 0.0;
    }
    let strength = (f64::from(steps.saturating_sub(start_step)) / f64::from(steps)) as f32;
    if start_step_of(strength, steps) == start_step { strength } else { strength.next_up() }
}

fn nearest_side(pixels: u32) -> u32 {
    ((pixels.saturating_add(4)) / 8 * 8).clamp(*Recipe::SIDE.start(), *Recipe::SIDE.end())
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative_prompt: String::new(),
            text: TextOptions::default(),
            edits: Vec::new(),
            mix: Mix::default(),
            width: 128,
            height: 128,
            seed: 32,
            batch: 1,
            steps: 20,
            sampler: Sampler::Euler,
            sampler_options: SamplerOptions::default(),
            schedule: Schedule::Linspace,
            schedule_options: ScheduleOptions::default(),
            noise: NoiseSource::default(),
            guidance: Guidance::default(),
            guides: Vec::new(),
            training_free: TrainingFree::default(),
            start: Start::Noise,
            branch: None,
        }
    }
}

impl Default for Guidance {
    fn default() -> Self {
        Self { cfg_scale: 7.5 }
    }
}
