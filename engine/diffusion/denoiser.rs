//! The border between samplers and models.

use std::ops::ControlFlow;

use super::Latents;
use crate::error::EngineError;

/// Predicts clean latents from noisy ones.
///
/// Guidance, counting and cancelling are denoisers around denoisers, so a sampler never knows.
pub trait Denoiser {
    /// `x` holds noise of standard deviation `sigma`; the answer has the shape of `x`.
    ///
    /// # Errors
    /// A [`EngineError`] ends sampling.
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError>;
}

/// A closure is a denoiser: enough for a toy, or for a wrapper of a line or two.
impl<F: FnMut(&Latents, f32) -> Result<Latents, EngineError>> Denoiser for F {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        self(x, sigma)
    }
}

/// What an observer sees of a step, before the step is taken.
pub struct Step<'a> {
    /// Index into the sigmas that the sampler was given.
    pub index: usize,
    pub sigma: f32,
    /// Noisy latents entering the step.
    pub x: &'a Latents,
    /// The model's first prediction of the step: predicted x0.
    pub denoised: &'a Latents,
}

/// Called once a step; `Break` ends sampling with [`EngineError::Stopped`].
pub type Observer<'a> = dyn FnMut(Step<'_>) -> ControlFlow<()> + 'a;
