//! Why a recipe cannot be run.

use crate::diffusion::{Sampler, SamplerOption};
use crate::losses::GuideError;

/// The first value of a recipe that cannot be run, and what to use instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    #[error(transparent)]
    Guide(#[from] GuideError),
    #[error("{0} losses are too many: choose 16 at most")]
    TooManyGuides(usize),
    #[error("{0} steps is out of range: choose 1 to 1000")]
    Steps(u32),
    #[error("A batch of {0} is out of range: choose 1 to 8 pictures")]
    Batch(u32),
    #[error(
        "The {side} of {pixels} pixels does not fit: choose a multiple of 8 from 8 to 2048, such as {nearest}"
    )]
    Side { side: &'static str, pixels: u32, nearest: u32 },
    #[error(
        "{} chooses its steps by the picture, so it makes one at a time: set the number of pictures to 1, or choose another sampler",
        .0.label()
    )]
    OneAtATime(Sampler),
    #[error(
        "{} {value} is out of range: choose {} to {}",
        option.label(),
        option.range().start(),
        option.range().end()
    )]
    SamplerOption { option: SamplerOption, value: f32 },
    #[error("A rho of {0} is out of range: choose 0.1 to 100 (7 is usual for Karras, 1 for polyexponential)")]
    Rho(f32),
    #[error(
        "With a rho of {rho} some of the {steps} steps have the same noise level: choose a less extreme rho, or fewer steps"
    )]
    StepsCoincide { rho: f32, steps: u32 },
    #[error(
        "A beta of {0} is out of range: choose 0.000001 to 0.999 (Stable Diffusion's rise from 0.00085 to 0.012)"
    )]
    Beta(f64),
    #[error(
        "The betas fall from {start} to {end}: choose a last beta that is the larger one, or leave both to the model"
    )]
    BetasFall { start: f64, end: f64 },
    #[error("{0} training steps is out of range: choose 2 to 100000 (Stable Diffusion has 1000)")]
    TrainSteps(u32),
    #[error(
        "With these betas nothing of a picture is left after {0} training steps: choose smaller betas, or fewer steps"
    )]
    NothingLeft(usize),
    #[error("A guidance scale of {0} is out of range: choose 0 to 100 (7.5 suits most models)")]
    CfgScale(f32),
    #[error("A clip skip of {0} is out of range: choose 1 (the last layer) to 24")]
    ClipSkip(u32),
    #[error("{0} word edits are too many: choose at most 75")]
    TooManyEdits(usize),
    #[error("The edit of \"{text}\" has {why}")]
    Edit { text: String, why: String },
    #[error("{0} prompts cannot be mixed: choose at most 16")]
    TooManyMixed(usize),
    #[error("A mixed prompt cannot have a weight of {0}: choose -2 to 2")]
    MixWeight(f32),
    #[error(
        "A spherical mix needs weights of at least 0 that add up to at most 1: change them, or mix linearly"
    )]
    MixArc,
    #[error("A strength of {0} is out of range: choose 0 (keeps the picture) to 1 (ignores it)")]
    Strength(f32),
    #[error(
        "A strength of {strength} leaves none of the {steps} steps to run: raise the strength or the steps"
    )]
    NothingToRun { strength: f32, steps: u32 },
    #[error("Step {step} cannot be branched from: that run has steps {first} to {last}")]
    BranchStep { step: u32, first: u32, last: u32 },
    #[error(
        "A branch continues with {batch} of {width} x {height} pixels: choose that size and number, or start a new run"
    )]
    BranchSize { width: u32, height: u32, batch: u32 },
    #[error(
        "A branch has the start image and strength of the run it branches from: keep both, or start a new run"
    )]
    BranchStart,
    #[error(
        "There is more painted on this run than its picture can hold: paint less, leave out a pasted picture, or start a new run"
    )]
    TooMuchPaint,
    #[error("The run that this one branches from cannot be made, so start a new run: {0}")]
    BranchFrom(Box<Self>),
    #[error("Too many branches are nested: start a new run with the settings of this one")]
    TooManyBranches,
}
