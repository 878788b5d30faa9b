//! Guidance by a loss: a denoiser around a denoiser that moves the latents down the gradient of the losses.
//!
//! The step is that of fast.ai's lesson: the loss of the predicted picture, its gradient with respect to the noisy latents,
//! `x = x - scale * gradient * sigma^2`, and then the sampler's ordinary step with the same predicted noise. The gradient
//! takes the predicted noise as constant, as the lesson does, or goes back through the UNet, which is exact.
//! [`TrainingFree`] repeats and smooths this.

use std::cell::Cell;

use burn::tensor::{FloatDType, Tensor, TensorData};

use crate::checkpoint::open_own_clip;
use crate::diffusion::{Denoiser, DenoiserGradient, Latents, LossGuidance, NoiseStreams};
use crate::error::EngineError;
use crate::images::{crop_and_resize, load};
use crate::losses::{GradientPath, Loss, LossGuide, MaskedPicture, PrepareArgs, PreparedLoss, TrainingFree};
use crate::memory::low_memory::MemoryGuard;
use crate::models::values;
use crate::pipeline::autoencoder::to_planes;
use crate::pipeline::{GenerateError, Pipeline, StopFlag};
use crate::recipe::{Recipe, Start};

/// A denoiser whose steps are guided by the losses of a recipe.
pub(crate) struct LossGuided<'a, M> {
    pub model: M,
    pub pipeline: &'a Pipeline,
    pub recipe: &'a Recipe,
    /// The losses of the recipe's guides.
    pub losses: Vec<PreparedLoss>,
    /// The noise levels of the whole schedule.
    pub sigmas: &'a [f32],
    /// The current step of the schedule.
    pub step: &'a Cell<usize>,
    pub memory: &'a MemoryGuard,
    pub stop: &'a StopFlag,
    /// What was done in the latest step, for the recorder.
    pub guidance: &'a Cell<Option<LossGuidance>>,
}

impl Pipeline {
    /// The losses of a recipe's guides, with all that they need loaded.
    pub(super) fn prepare_losses(
        &self,
        recipe: &Recipe,
        memory: &MemoryGuard,
    ) -> Result<Vec<PreparedLoss>, GenerateError> {
        for mask in recipe.guides.iter().filter_map(|guide| guide.mask.as_ref()) {
            let proportions = |width: u32, height: u32| f64::from(width) / f64::from(height);
            let stretched =
                proportions(mask.width(), mask.height()) / proportions(recipe.width, recipe.height);
            if (stretched - 1.0).abs() > 0.05 {
                memory.note(&format!(
                    "A mask of {} x {} has other proportions than the picture, so it was stretched",
                    mask.width(),
                    mask.height()
                ));
            }
        }
        let needs_start = recipe.guides.iter().any(|guide| matches!(guide.loss, Loss::Region(_)));
        let start = match &recipe.start {
            Start::Image { path, .. } if needs_start => {
                let picture = to_planes(&crop_and_resize(&load(path)?.pixels, recipe.width, recipe.height));
                Some(self.upload(&picture, FloatDType::F32) / 2.0 + 0.5)
            }
            _ => None,
        };
        let own_clip = || open_own_clip(&self.model, &self.device);
        let args = PrepareArgs { device: &self.device, start, own_clip: &own_clip };
        let losses = recipe.guides.iter().map(|guide| guide.loss.prepare(&args));
        Ok(losses.collect::<Result<_, _>>()?)
    }
}

impl<M: DenoiserGradient> Denoiser for LossGuided<'_, M> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        self.model.denoise(x, sigma)
    }

    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        let denoised = self.denoise_for_guidance(x, sigma)?;
        if !self.recipe.guides.iter().any(|guide| guide.guides(self.step.get())) {
            return Ok(denoised);
        }
        let (guidance, guided) = self.guide(x, denoised.clone(), sigma)?;
        let guided_x = guidance.apply(x.clone(), sigma);
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
    /// The prediction, whose gradient is needed if a guide of this step goes through the UNet.
    fn denoise_for_guidance(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        let needs_gradient =
            |guide: &LossGuide| guide.through == GradientPath::Unet && guide.guides(self.step.get());
        if self.recipe.guides.iter().any(needs_gradient) {
            self.model.expect_gradient();
        }
        self.model.denoise(x, sigma)
    }

    /// Where guidance moves `x`, and the prediction for the moved `x`.
    fn guide(
        &mut self,
        x: &Latents,
        mut denoised: Latents,
        sigma: f32,
    ) -> Result<(LossGuidance, Latents), EngineError> {
        let mut noise = self.step_noise();
        let mut guidance = self.gradient(x, &denoised, sigma, &mut noise)?;
        let mut guided = guidance.apply(denoised, sigma);
        let mut guided_x = guidance.apply(x.clone(), sigma);
        let next_sigma = self.sigmas.iter().copied().find(|next| *next < sigma).unwrap_or(0.0);
        for _ in 1..self.recipe.training_free.recurrence {
            if !guided_x.is_finite() {
                break;
            }
            // An Euler step to the next noise level, and back by fresh noise.
            let eps = guided_x.zip_with(&guided, |x, denoised| (x - denoised) / sigma);
            let fresh = noise.draw(x.shape);
            guided_x = guided.add_scaled(next_sigma, &eps);
            guided_x = guided_x.add_scaled((sigma * sigma - next_sigma * next_sigma).sqrt(), &fresh);
            denoised = self.denoise_for_guidance(&guided_x, sigma)?;
            guidance = self.gradient(&guided_x, &denoised, sigma, &mut noise)?;
            guided = guidance.apply(denoised, sigma);
            guided_x = guidance.apply(guided_x, sigma);
            // All that has moved x, as one gradient.
            guidance.gradient = x.zip_with(&guided_x, |x, guided| (x - guided) / (sigma * sigma));
        }
        Ok((guidance, guided))
    }

    /// Noise of this step alone, so that a run continues with it wherever it was stopped.
    fn step_noise(&self) -> NoiseStreams {
        /// Far more than a batch has pictures, each of which takes the next seed.
        const SEEDS_PER_STEP: u64 = 1_000_003;
        let steps = self.step.get() as u64 + 1;
        let seed = self.recipe.seed.wrapping_add(SEEDS_PER_STEP * steps);
        NoiseStreams::of(self.recipe.noise, seed, self.recipe.batch as usize)
    }

    /// The losses of the predicted pictures, and the gradient of their scaled sum with respect to the noisy latents. Where the
    /// predicted noise is taken as constant, that is the gradient with respect to the predicted x0.
    fn gradient(
        &mut self,
        x: &Latents,
        denoised: &Latents,
        sigma: f32,
        noise: &mut NoiseStreams,
    ) -> Result<LossGuidance, EngineError> {
        let TrainingFree { iterations, smoothing, samples, .. } = self.recipe.training_free;
        let spread = smoothing * sigma / (1.0 + sigma * sigma).sqrt();
        let offsets: Vec<Latents> = match smoothing > 0.0 {
            true => (0..samples).map(|_| noise.draw(x.shape).scale(spread)).collect(),
            false => Vec::new(),
        };
        let through_unet = |path| path == GradientPath::Unet;
        // Both start from the same prediction.
        let (mut losses, of_x0) = self.x0_gradient(denoised, &offsets, &through_unet)?;
        let mut gradient = match of_x0 {
            Some(of_x0) => {
                let (memory, model) = (self.memory, &mut self.model);
                let of_x = memory.retry_in_low_memory(|_| model.input_gradient(x, sigma, &of_x0))?;
                self.clipped(of_x, sigma)
            }
            None => Latents::zeros(x.shape),
        };
        let mut moved = Latents::zeros(x.shape);
        for _ in 0..iterations {
            let at = denoised.clone().add_scaled(-sigma * sigma, &moved);
            let (latest, of_x0) = self.x0_gradient(&at, &offsets, &|path| !through_unet(path))?;
            let Some(of_x0) = of_x0 else { break };
            losses = losses.into_iter().zip(latest).map(|(loss, latest)| latest.or(loss)).collect();
            moved = moved.add_scaled(1.0, &self.clipped(of_x0, sigma));
        }
        gradient = gradient.add_scaled(1.0, &moved);
        Ok(LossGuidance { losses, gradient })
    }

    /// The losses of the guides that take some paths, and the gradient of their scaled sum with respect to the predicted x0,
    /// averaged over the prediction with each of `offsets` added; `None` if no guide takes them.
    fn x0_gradient(
        &self,
        x0: &Latents,
        offsets: &[Latents],
        takes: &dyn Fn(GradientPath) -> bool,
    ) -> Result<(GuideLosses, Option<Latents>), EngineError> {
        let guides = &self.recipe.guides;
        let mut losses = vec![None; guides.len()];
        let mut gradient = None;
        let [batch, channels, height, width] = x0.shape;
        for path in GradientPath::ALL.into_iter().filter(|path| takes(*path)) {
            let is_active = |guide: &LossGuide| guide.through == path && guide.guides(self.step.get());
            let active: Vec<usize> = (0..guides.len()).filter(|&index| is_active(&guides[index])).collect();
            if active.is_empty() {
                continue;
            }
            let mut of_path = Vec::with_capacity(x0.data.len());
            // Picture by picture, so that memory does not grow with the batch.
            for picture in 0..batch {
                let one = |latents: &Latents| {
                    Latents::new([1, channels, height, width], latents.picture(picture).to_vec())
                };
                let x0 = one(x0);
                let through = |x0: &Latents| match path {
                    GradientPath::Preview => self.through_preview(x0, &active),
                    GradientPath::Decoder | GradientPath::Unet => {
                        self.memory.retry_in_low_memory(|_| self.through_decoder(x0, &active))
                    }
                };
                let answers: Vec<X0Gradient> = match offsets {
                    [] => vec![through(&x0)?],
                    _ => {
                        let moved = offsets.iter().map(|offset| x0.clone().add_scaled(1.0, &one(offset)));
                        moved.map(|x0| through(&x0)).collect::<Result<_, _>>()?
                    }
                };
                let mean = X0Gradient::mean(answers);
                of_path.extend(mean.gradient);
                for (&index, loss) in active.iter().zip(mean.losses) {
                    losses[index].get_or_insert_with(Vec::new).push(loss);
                }
            }
            let of_path = Latents::new(x0.shape, of_path);
            gradient = Some(match gradient {
                Some(gradient) => of_path.add_scaled(1.0, &gradient),
                None => of_path,
            });
        }
        Ok((losses, gradient))
    }

    /// A gradient that moves each picture's latents no further than [`TrainingFree::clip`] allows.
    fn clipped(&self, mut gradient: Latents, sigma: f32) -> Latents {
        let Some(clip) = self.recipe.training_free.clip else { return gradient };
        let len = gradient.data.len() / gradient.batch();
        for picture in gradient.data.chunks_exact_mut(len) {
            let squares: f64 = picture.iter().map(|value| f64::from(*value).powi(2)).sum();
            let moved = f64::from(sigma) * (squares / len as f64).sqrt();
            let allowed = f64::from(clip) / moved;
            if allowed < 1.0 {
                picture.iter_mut().for_each(|value| *value *= allowed as f32);
            }
        }
        gradient
    }

    fn through_preview(&self, x0: &Latents, active: &[usize]) -> Result<X0Gradient, EngineError> {
        let latent_rgb = &self.pipeline.latent_rgb;
        let planes = TensorData::new(latent_rgb.planes(x0, 0), [1, 3, x0.shape[2], x0.shape[3]]);
        let picture = Tensor::from_data(planes, &self.pipeline.device);
        let (losses, gradient) = self.picture_gradient(picture, active)?;
        Ok(X0Gradient { losses, gradient: latent_rgb.latent_gradient(&values(gradient)?) })
    }

    fn through_decoder(&self, x0: &Latents, active: &[usize]) -> Result<X0Gradient, EngineError> {
        let Pipeline { model, .. } = self.pipeline;
        let scaling = model.config.vae.scaling_factor;
        let latents = self.pipeline.upload(&x0.clone().scale(1.0 / scaling), FloatDType::F32);
        let mut losses = Vec::new();
        let of_picture = |decoded: Tensor<4>| {
            // The decoder's -1..1 to 0..1.
            let (of_picture, gradient) = self.picture_gradient(decoded / 2.0 + 0.5, active)?;
            losses = of_picture;
            Ok(gradient / 2.0)
        };
        let gradient = model.vae.decoder_gradient(latents, of_picture, &|| self.stop.is_raised())?;
        Ok(X0Gradient { losses, gradient: values(gradient / scaling)? })
    }

    /// The losses of one picture, and the gradient of their scaled sum with respect to it.
    ///
    /// # Shapes
    /// - picture and gradient: `[1, 3, height, width]`
    fn picture_gradient(
        &self,
        picture: Tensor<4>,
        active: &[usize],
    ) -> Result<(Vec<f32>, Tensor<4>), EngineError> {
        let picture = picture.autodiff().require_grad();
        let mut gradient = picture.clone().inner().zeros_like();
        let mut losses = Vec::with_capacity(active.len());
        for &index in active {
            let guide = &self.recipe.guides[index];
            let value = self.losses[index](&MaskedPicture::new(picture.clone(), guide.mask.as_ref()));
            losses.extend(values(value.clone().inner())?);
            let scale = guide.scale * guide.curve.at(self.step.get(), self.recipe.steps as usize);
            let gradients = (value.sum() * scale).backward();
            if let Some(of_loss) = picture.grad(&gradients) {
                gradient = gradient + of_loss;
            }
        }
        Ok((losses, gradient))
    }
}

/// As in [`LossGuidance::losses`].
type GuideLosses = Vec<Option<Vec<f32>>>;

/// The losses of one picture, and the gradient of their scaled sum with respect to its latents.
struct X0Gradient {
    /// One for each of the guides that were asked.
    losses: Vec<f32>,
    gradient: Vec<f32>,
}

impl X0Gradient {
    fn mean(answers: Vec<Self>) -> Self {
        let count = answers.len() as f32;
        let add =
            |sum: &mut [f32], more: &[f32]| sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        let sum = answers.into_iter().reduce(|mut sum, answer| {
            add(&mut sum.losses, &answer.losses);
            add(&mut sum.gradient, &answer.gradient);
            sum
        });
        let mut mean = sum.expect("at least one answer");
        if count > 1.0 {
            mean.losses.iter_mut().chain(&mut mean.gradient).for_each(|value| *value /= count);
        }
        mean
    }
}
