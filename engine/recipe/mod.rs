//! A recipe is the whole cause of a picture.
//!
//! Panels edit it, the engine runs it, the PNG stores it, history replays it. Whatever changes the
//! picture is a field here; whatever does not (which window, which folder) is not.

mod recorded_run;
pub mod xy_plot;

pub use recorded_run::RecordedRun;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::checkpoint::SchedulerConfig;
use crate::diffusion::{
    BetaSchedule, NoiseSchedule, NoiseSource, Sampler, SamplerOption, SamplerOptions, Schedule,
    ScheduleOptions,
};
use crate::prompt::{EmbeddingEdit, Mix, MixMethod, TextOptions};

/// Everything that decides what picture comes out, given a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    pub prompt: String,
    pub negative_prompt: String,
    /// How both are read. A file that does not say was made when there was one way.
    #[serde(default = "TextOptions::plain")]
    pub text: TextOptions,
    /// Changes to the token embeddings of the prompt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<EmbeddingEdit>,
    /// Further prompts, mixed into this one.
    #[serde(skip_serializing_if = "is_default")]
    pub mix: Mix,
    /// Pixels, a multiple of 8.
    pub width: u32,
    /// Pixels, a multiple of 8.
    pub height: u32,
    /// Picture `i` of a batch is made from `seed + i`, and is the same picture alone.
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
    pub start: Start,
    /// The run that this one leaves, if it does not go its own way from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
}

/// Where a run leaves another: it has the other's steps up to that one, and goes on from its noisy
/// latents with its own prompt, guidance, sampler and noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    pub from: Box<Recipe>,
    /// The first step that is its own, in the other's schedule.
    pub step: u32,
}

/// What is as usual is not said in files, so that they stay as they were.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How strictly the picture follows the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guidance {
    /// Classifier-free guidance scale. At 1 the unconditional prediction is not made at all.
    pub cfg_scale: f32,
}

/// Where sampling begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    #[default]
    Noise,
    /// Image to image: the picture, noised to the level of a later step.
    Image {
        path: PathBuf,
        /// 0 keeps the picture, 1 forgets it. The same number as the start step, see
        /// [`Recipe::start_step`].
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
    /// Runs that leave runs that leave runs.
    const MAX_BRANCH_DEPTH: usize = 48;

    /// The first step that runs: 0 from noise, and for a start image
    /// `steps - floor(steps * strength)`, as in the lesson and in diffusers.
    pub fn start_step(&self) -> u32 {
        match &self.start {
            Start::Noise => 0,
            Start::Image { strength, .. } => start_step_of(*strength, self.steps),
        }
    }

    /// Says the first value that cannot be run, with its remedy.
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
            edit.check().map_err(|why| RecipeError::Edit { letters: edit.at.letters.clone(), why })?;
        }
        if self.mix.with.len() > Mix::MAX {
            return Err(RecipeError::TooManyMixed(self.mix.with.len()));
        }
        let weights = self.mix.with.iter().map(|mixed| mixed.weight);
        if let Some(weight) = weights.clone().find(|weight| !Mix::WEIGHT.contains(weight)) {
            return Err(RecipeError::MixWeight(weight));
        }
        let least = weights.chain([self.mix.main_weight()]).fold(0.0, f32::min);
        if self.mix.way == MixMethod::Spherical && least < -1e-6 {
            return Err(RecipeError::MixArc);
        }
        Ok(())
    }

    fn check_branch(&self) -> Result<(), RecipeError> {
        let Some(Branch { from, step }) = &self.branch else { return Ok(()) };
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
        Ok(())
    }

    /// The last step there may be.
    fn last_step(&self) -> u32 {
        match self.sampler {
            Sampler::DpmAdaptive => self.start_step() + Self::STEPS.end(), // as many as it needs
            _ => self.steps - 1,
        }
    }

    /// The run that this one leaves, the one that that one leaves, and so on.
    pub fn ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(self.left(), |recipe| recipe.left())
    }

    fn left(&self) -> Option<&Self> {
        Some(&self.branch.as_ref()?.from)
    }

    /// This recipe, as a run that goes on from a step of `from`. With nothing changed it is `from` itself.
    pub fn branching(mut self, from: &Self, step: u32) -> Self {
        (self.width, self.height, self.batch) = (from.width, from.height, from.batch);
        self.start.clone_from(&from.start);
        self.branch.clone_from(&from.branch);
        if self != *from {
            self.branch = Some(Branch { from: Box::new(from.clone()), step });
        }
        self
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

    /// The noise that a model of this configuration was trained at, or is taken to be.
    ///
    /// # Errors
    /// If betas were set that do not go together with each other or with the model's.
    pub fn noise_schedule(&self, trained: &SchedulerConfig) -> Result<NoiseSchedule, RecipeError> {
        self.check_schedule()?;
        let trained = trained.with(&self.schedule_options);
        let (start, end) = (trained.beta_start, trained.beta_end);
        if trained.beta_schedule != BetaSchedule::Cosine && start > end {
            return Err(RecipeError::BetasFall { start, end });
        }
        let noise = trained.noise_schedule();
        if noise.is_finite_and_nonzero() {
            Ok(noise)
        } else {
            Err(RecipeError::NothingLeft(trained.num_train_timesteps))
        }
    }

    /// The noise levels of its schedule, `steps + 1` of them; the sampler may
    /// [visit others](Sampler::visits).
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

    /// The recipe of one picture of the batch, alone.
    pub fn of_picture(&self, index: u32) -> Self {
        let branch = self
            .branch
            .as_ref()
            .map(|Branch { from, step }| Branch { from: Box::new(from.of_picture(index)), step: *step });
        Self { seed: self.seed.wrapping_add(u64::from(index)), batch: 1, branch, ..self.clone() }
    }
}

/// The start step that a strength means.
pub fn start_step_of(strength: f32, steps: u32) -> u32 {
    // A strength made from a start step, (steps - k) / steps, must come back as k although the
    // quotient was rounded.
    let run = (f64::from(strength) * f64::from(steps) + 1e-3).floor();
    steps.saturating_sub(run.clamp(0.0, f64::from(steps)) as u32)
}

/// The strength that a start step means.
pub fn strength_of(start_step: u32, steps: u32) -> f32 {
    if steps == 0 {
        return 0.0;
    }
    (f64::from(steps.saturating_sub(start_step)) / f64::from(steps)) as f32
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

/// A value that no picture can be made from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    #[error("{0} steps cannot be run: choose 1 to 1000")]
    Steps(u32),
    #[error("A batch of {0} cannot be made: choose 1 to 8 pictures")]
    Batch(u32),
    #[error(
        "The {side} of {pixels} pixels does not fit: choose a multiple of 8 from 8 to 2048, such as {nearest}"
    )]
    Side { side: &'static str, pixels: u32, nearest: u32 },
    #[error(
        "{} looks at its picture to choose its steps, so it makes one at a time: set the pictures to 1, or choose another sampler",
        .0.label()
    )]
    OneAtATime(Sampler),
    #[error(
        "{} of {value} cannot be used: choose {} to {}",
        option.with_article(),
        option.range().start(),
        option.range().end()
    )]
    SamplerOption { option: SamplerOption, value: f32 },
    #[error("A rho of {0} cannot be used: choose 0.1 to 100 (7 suits Karras, 1 polyexponential)")]
    Rho(f32),
    #[error(
        "At a rho of {rho} some of the {steps} steps share a noise level: choose a rho that is less extreme, or fewer steps"
    )]
    StepsCoincide { rho: f32, steps: u32 },
    #[error(
        "A beta of {0} cannot be used: choose 0.000001 to 0.999 (Stable Diffusion's rise from 0.00085 to 0.012)"
    )]
    Beta(f64),
    #[error(
        "The betas fall from {start} to {end}: let the last one be the larger, or leave both to the model"
    )]
    BetasFall { start: f64, end: f64 },
    #[error("{0} training steps cannot be used: choose 2 to 100000 (Stable Diffusion has 1000)")]
    TrainSteps(u32),
    #[error(
        "With these betas nothing of a picture is left after {0} training steps: choose smaller betas, or fewer steps"
    )]
    NothingLeft(usize),
    #[error("A guidance scale of {0} cannot be used: choose 0 to 100 (7.5 suits most models)")]
    CfgScale(f32),
    #[error("A clip skip of {0} cannot be used: choose 1 (the last layer) to 24")]
    ClipSkip(u32),
    #[error("{0} edits of words are more than a prompt has: choose at most 75")]
    TooManyEdits(usize),
    #[error("The edit of \"{letters}\" has {why}")]
    Edit { letters: String, why: String },
    #[error("{0} prompts cannot be mixed: choose at most 16")]
    TooManyMixed(usize),
    #[error("A prompt cannot be mixed in with a weight of {0}: choose -2 to 2")]
    MixWeight(f32),
    #[error(
        "A spherical mix needs weights that are not below 0 and together not above 1: change them, or mix linearly"
    )]
    MixArc,
    #[error("A strength of {0} cannot be used: choose 0 (keeps the picture) to 1 (forgets it)")]
    Strength(f32),
    #[error(
        "A strength of {strength} leaves none of the {steps} steps to run: raise the strength or the steps"
    )]
    NothingToRun { strength: f32, steps: u32 },
    #[error("Step {step} cannot be branched from: that run has steps {first} to {last}")]
    BranchStep { step: u32, first: u32, last: u32 },
    #[error(
        "A branch goes on with what is there: {batch} of {width} x {height} pixels. Choose that size and number, or start anew"
    )]
    BranchSize { width: u32, height: u32, batch: u32 },
    #[error("A branch begins as the run that it leaves: keep its start image and strength, or start anew")]
    BranchStart,
    #[error("The run that this one leaves cannot be made, so start anew: {0}")]
    BranchFrom(Box<Self>),
    #[error("Too many branches grow out of one another: start anew with the settings of this one")]
    TooManyBranches,
}
