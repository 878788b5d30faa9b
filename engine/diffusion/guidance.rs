//! Denoisers made of a network that predicts noise, or what the noise follows from.

use super::{Denoiser, Halt, Latents, NoiseSchedule, Prediction, Schedule};

/// A network that predicts the noise in latents, or v ([`Prediction`]), for a batch of its own making.
pub trait EpsModel {
    /// Its answer to `x` (already scaled for the network) at a timestep, for the prompt.
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, Halt>;

    /// Its answers for the empty or negative prompt and for the prompt, in one pass.
    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), Halt>;
}

/// Classifier-free guidance (Ho and Salimans, 2022) around a network: the
/// prediction for the prompt, moved away from the one without it.
///
/// At a scale of 1 the move is none and the second prediction is not made.
pub struct Cfg<'a, M: EpsModel> {
    pub model: M,
    pub prediction: Prediction,
    pub cfg_scale: f32,
    pub schedule: Schedule,
    pub noise: &'a NoiseSchedule,
}

impl<M: EpsModel> Denoiser for Cfg<'_, M> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, Halt> {
        let timestep = self.schedule.timestep(sigma, self.noise);
        let scaled = x.clone().scale(1.0 / (sigma * sigma + 1.0).sqrt());
        let eps = if self.cfg_scale == 1.0 {
            self.model.eps(&scaled, timestep)?
        } else {
            let (uncond, cond) = self.model.eps_pair(&scaled, timestep)?;
            uncond.zip_with(&cond, |uncond, cond| uncond + self.cfg_scale * (cond - uncond))
        };
        if !eps.is_finite() {
            return Err(Halt::Failed(
                "The model's prediction is not a number. Try another precision (f32) or guidance scale"
                    .into(),
            ));
        }
        Ok(self.prediction.denoised(x, sigma, &eps))
    }
}
