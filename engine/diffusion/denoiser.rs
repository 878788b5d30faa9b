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

    /// The first prediction of a step. Guidance by a loss moves `x` here, before the sampler takes its step from it,
    /// and returns the prediction for the moved `x`.
    ///
    /// # Errors
    /// As [`denoise`](Self::denoise).
    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        self.denoise(x, sigma)
    }
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
    /// The noisy latents that the step is taken from: those that entered it, moved by guidance by a loss if there is any.
    pub x: &'a Latents,
    /// The model's first prediction of the step: predicted x0.
    pub denoised: &'a Latents,
}

/// Called once per step; `Break` ends sampling with [`EngineError::Stopped`].
pub type Observer<'a> = dyn FnMut(Step<'_>) -> ControlFlow<()> + 'a;
