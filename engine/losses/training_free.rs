//! Options of training-free guidance, which say how the gradient of the losses is used.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::GuideError;

/// Algorithm 1 of Ye et al. (2024), "TFG: Unified Training-Free Guidance for Diffusion Models", around the lesson's step. Its
/// variance guidance is a guide through the UNet, its mean guidance one through the decoder or the preview. By default
/// every option is off, which leaves the lesson's step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingFree {
    /// How often a guided step is taken: before each repetition the noise that it removed is added anew. 1 is off.
    pub recurrence: u32,
    /// How often the predicted picture is moved within a step, each time by the gradient where it is then. Guides through the
    /// UNet act once. 1 is off.
    pub iterations: u32,
    /// The losses are averaged over predictions with this much noise, times `sigma / sqrt(1 + sigma^2)`. 0 is off.
    pub smoothing: f32,
    /// The number of noisy predictions that the losses are averaged over.
    pub samples: u32,
    /// A gradient moves the latents at most this many times their noise, as root mean squares. `None` is off.
    pub clip: Option<f32>,
}

impl Default for TrainingFree {
    fn default() -> Self {
        Self { recurrence: 1, iterations: 1, smoothing: 0.0, samples: 4, clip: None }
    }
}

impl TrainingFree {
    pub const REPEATS: RangeInclusive<u32> = 1..=16;
    pub const SMOOTHING: RangeInclusive<f32> = 0.0..=1.0;
    pub const CLIP: RangeInclusive<f32> = 0.001..=100.0;

    /// # Errors
    /// The first value that is out of range.
    pub fn check(&self) -> Result<(), GuideError> {
        let refuse = |option, value: String, expected| Err(GuideError::Value { option, value, expected });
        let repeats =
            [("recurrence", self.recurrence), ("iterations", self.iterations), ("samples", self.samples)];
        for (option, value) in repeats {
            if !Self::REPEATS.contains(&value) {
                return refuse(option, value.to_string(), "choose 1 to 16");
            }
        }
        if !Self::SMOOTHING.contains(&self.smoothing) {
            return refuse("smoothing", self.smoothing.to_string(), "choose 0 to 1");
        }
        match self.clip {
            Some(clip) if !Self::CLIP.contains(&clip) => {
                refuse("clip", clip.to_string(), "choose 0.001 to 100")
            }
            _ => Ok(()),
        }
    }
}
