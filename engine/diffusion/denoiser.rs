//! The interface between samplers and models.

use std::ops::ControlFlow;

use super::Latents;
use crate::error::EngineError;

/// Predicts clean latents from noisy ones.
///
/// Guidance, recording and counting are denoisers around denoisers, so samplers are independent of them.
pub trait Denoiser {
    /// `x` holds noise of standard deviation `sigma`; the prediction has the shape of `x`.
    ///
    /// # Errors
    /// An [`EngineError`] ends sampling.
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError>;
}

/// A closure is a denoiser: for tests, and for short wrappers.
impl<F: FnMut(&Latents, f32) -> Result<Latents, EngineError>> Denoiser for F {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        self(x, sigma)
    }
}

/// A step as an observer sees it, before the step is taken.
pub struct Step<'a> {
    /// Index into the sigmas that the sampler was given.
    pub index: usize,
    pub sigma: f32,
    /// The noisy latents that enter the step.
    pub x: &'a Latents,
    /// The model's first prediction of the step: predicted x0.
    pub denoised: &'a Latents,
}

/// Called once per step; `Break` ends sampling with [`EngineError::Stopped`].
pub type Observer<'a> = dyn FnMut(Step<'_>) -> ControlFlow<()> + 'a;
