//! A recipe is the whole cause of a picture.
//!
//! Panels edit it, the engine runs it, the PNG stores it, history replays it. Whatever changes the
//! picture is a field here; whatever does not (which window, which folder) is not.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::diffusion::{Sampler, Schedule};

/// Everything that decides what picture comes out, given a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    pub prompt: String,
    pub negative_prompt: String,
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
    pub schedule: Schedule,
    pub guidance: Guidance,
    pub start: Start,
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

impl Recipe {
    pub const STEPS: RangeInclusive<u32> = 1..=1000;
    pub const BATCH: RangeInclusive<u32> = 1..=8;
    pub const SIDE: RangeInclusive<u32> = 8..=2048;
    pub const CFG_SCALE: RangeInclusive<f32> = 0.0..=100.0;

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
        Ok(())
    }

    /// The recipe of one picture of the batch, alone.
    pub fn of_picture(&self, index: u32) -> Self {
        Self { seed: self.seed.wrapping_add(u64::from(index)), batch: 1, ..self.clone() }
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
            width: 128,
            height: 128,
            seed: 32,
            batch: 1,
            steps: 20,
            sampler: Sampler::Euler,
            schedule: Schedule::Lesson,
            guidance: Guidance::default(),
            start: Start::Noise,
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
    #[error("A guidance scale of {0} cannot be used: choose 0 to 100 (7.5 suits most models)")]
    CfgScale(f32),
    #[error("A strength of {0} cannot be used: choose 0 (keeps the picture) to 1 (forgets it)")]
    Strength(f32),
    #[error(
        "A strength of {strength} leaves none of the {steps} steps to run: raise the strength or the steps"
    )]
    NothingToRun { strength: f32, steps: u32 },
}
