//! Samplers: functions that walk down the sigmas.

use serde::{Deserialize, Serialize};

use super::{Denoiser, Halt, Latents, NoiseStreams, Observer};

/// The samplers that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sampler {
    #[default]
    #[serde(rename = "euler")]
    Euler,
    #[serde(rename = "euler-a")]
    EulerAncestral,
    #[serde(rename = "heun")]
    Heun,
    #[serde(rename = "lms")]
    Lms,
    #[serde(rename = "dpmpp-2m")]
    DpmPp2m,
}

impl Sampler {
    pub const ALL: [Self; 5] = [Self::Euler, Self::EulerAncestral, Self::Heun, Self::Lms, Self::DpmPp2m];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Heun => "heun",
            Self::Lms => "lms",
            Self::DpmPp2m => "dpmpp-2m",
        }
    }

    /// Name in the window, and in A1111's `parameters` text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Euler => "Euler",
            Self::EulerAncestral => "Euler a",
            Self::Heun => "Heun",
            Self::Lms => "LMS",
            Self::DpmPp2m => "DPM++ 2M",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Euler => "First order, one model call a step: plain and dependable",
            Self::EulerAncestral => "Euler with fresh noise at every step: varied, never settles",
            Self::Heun => "Second order, two model calls a step: fewer steps needed",
            Self::Lms => "Fourth order from the history of predictions: the lesson's sampler",
            Self::DpmPp2m => "Second order multistep, one model call a step: good in few steps",
        }
    }
}

/// Walks `x` down `sigmas` (descending, ending in 0) with the named sampler.
pub fn sample(
    _sampler: Sampler,
    _model: &mut dyn Denoiser,
    _x: Latents,
    _sigmas: &[f32],
    _noise: &mut NoiseStreams,
    _observe: &mut Observer<'_>,
) -> Result<Latents, Halt> {
    todo!()
}
