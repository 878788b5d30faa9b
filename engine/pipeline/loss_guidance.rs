//! Guidance by a loss: a denoiser around a denoiser that moves the latents down the gradient of the losses.
//!
//! The step is that of fast.ai's lesson: the loss of the predicted picture, its gradient with respect to the noisy latents,
//! `x = x - scale * gradient * sigma^2`, and then the sampler's ordinary step with the same predicted noise. The gradient
//! takes the predicted noise as constant, as the lesson does, or goes back through the UNet, which is exact.

use std::cell::Cell;

use burn::tensor::{FloatDType, Tensor, TensorData};

use crate::diffusion::{Denoiser, DenoiserGradient, Latents, LossGuidance};
use crate::error::EngineError;
use crate::losses::{GradientPath, LossGuide};
use crate::memory::low_memory::MemoryGuard;
use crate::models::values;
use crate::pipeline::{Pipeline, StopFlag};

/// A denoiser whose steps are guided by losses.
pub(crate) struct LossGuided<'a, M> {
    pub model: M,
    pub pipeline: &'a Pipeline,
    pub guides: &'a [LossGuide],
    /// The current step of the schedule.
    pub step: &'a Cell<usize>,
    pub memory: &'a MemoryGuard,
    pub stop: &'a StopFlag,
    /// What was done in the latest step, for the recorder.
    pub guidance: &'a Cell<Option<LossGuidance>>,
}

impl<M: DenoiserGradient> Denoiser for LossGuided<'_, M> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        self.model.denoise(x, sigma)
    }

    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        let denoised = self.model.denoise(x, sigma)?;
        if !self.guides.iter().any(|guide| guide.guides(self.step.get())) {
            return Ok(denoised);
        }
        let memory = self.memory;
        let guidance = memory.retry_in_low_memory(|_| self.gradient(x, &denoised, sigma))?;
        let [guided_x, guided] = [&*x, &denoised].map(|latents| guidance.apply(latents.clone(), sigma));
        // A picture without this step's guidance is better than none.
        if !guided_x.is_finite() || !guided.is_finite() {
            self.memory.note(
                "The gradient of a loss was too large for some steps, so they were not guided. Choose a smaller scale",
            );
            return Ok(denoised);
        }
        *x = guided_x;
        self.guidance.set(Some(guidance));
        Ok(guided)
    }
}

impl<M: DenoiserGradient> LossGuided<'_, M> {
    /// The losses of the predicted pictures, and the gradient of their scaled sum with respect to the noisy latents. Where the
    /// predicted noise is taken as constant, that is the gradient with respect to the predicted x0.
    fn gradient(&mut self, x: &Latents, denoised: &Latents, sigma: f32) -> Result<LossGuidance, EngineError> {
        let mut losses = vec![None; self.guides.len()];
        let mut gradient = Latents::zeros(denoised.shape);
        let [batch, channels, height, width] = denoised.shape;
        for path in GradientPath::ALL {
            let is_active = |guide: &LossGuide| guide.through == path && guide.guides(self.step.get());
            let active: Vec<usize> =
                (0..self.guides.len()).filter(|&index| is_active(&self.guides[index])).collect();
            if active.is_empty() {
                continue;
            }
            let mut of_x0 = Vec::with_capacity(denoised.data.len());
            // Picture by picture, so that memory does not grow with the batch.
            for picture in 0..batch {
                let x0 = Latents::new([1, channels, height, width], denoised.picture(picture).to_vec());
                of_x0.extend(match path {
                    GradientPath::Preview => self.through_preview(&x0, &active, &mut losses)?,
                    GradientPath::Decoder | GradientPath::Unet => {
                        self.through_decoder(&x0, &active, &mut losses)?
                    }
                });
            }
            let of_x0 = Latents::new(denoised.shape, of_x0);
            let of_x = match path {
                GradientPath::Preview | GradientPath::Decoder => of_x0,
                GradientPath::Unet => self.model.input_gradient(x, sigma, &of_x0)?,
            };
            gradient = gradient.add_scaled(1.0, &of_x);
        }
        Ok(LossGuidance { losses, gradient })
    }

    fn through_preview(
        &self,
        x0: &Latents,
        active: &[usize],
        losses: &mut [Option<Vec<f32>>],
    ) -> Result<Vec<f32>, EngineError> {
        let latent_rgb = &self.pipeline.latent_rgb;
        let planes = TensorData::new(latent_rgb.planes(x0, 0), [1, 3, x0.shape[2], x0.shape[3]]);
        let picture = Tensor::from_data(planes, &self.pipeline.device);
        Ok(latent_rgb.latent_gradient(&values(self.picture_gradient(picture, active, losses)?)?))
    }

    fn through_decoder(
        &self,
        x0: &Latents,
        active: &[usize],
        losses: &mut [Option<Vec<f32>>],
    ) -> Result<Vec<f32>, EngineError> {
        let Pipeline { model, .. } = self.pipeline;
        let scaling = model.config.vae.scaling_factor;
        let latents = self.pipeline.upload(&x0.clone().scale(1.0 / scaling), FloatDType::F32);
        let of_picture = |decoded: Tensor<4>| {
            // The decoder's -1..1 to 0..1.
            Ok(self.picture_gradient(decoded / 2.0 + 0.5, active, losses)? / 2.0)
        };
        let gradient = model.vae.decoder_gradient(latents, of_picture, &|| self.stop.is_raised())?;
        values(gradient / scaling)
    }

    /// The gradient of the scaled losses of one picture with respect to it. Adds the losses.
    ///
    /// # Shapes
    /// - picture and output: `[1, 3, height, width]`
    fn picture_gradient(
        &self,
        picture: Tensor<4>,
        active: &[usize],
        losses: &mut [Option<Vec<f32>>],
    ) -> Result<Tensor<4>, EngineError> {
        let picture = picture.autodiff().require_grad();
        let mut gradient = picture.clone().inner().zeros_like();
        for &index in active {
            let LossGuide { loss, scale, .. } = &self.guides[index];
            let value = loss.loss(picture.clone());
            losses[index].get_or_insert_default().extend(values(value.clone().inner())?);
            let gradients = (value.sum() * *scale).backward();
            if let Some(of_loss) = picture.grad(&gradients) {
                gradient = gradient + of_loss;
            }
        }
        Ok(gradient)
    }
}
