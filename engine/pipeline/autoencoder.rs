//! What happens before and after sampling, each stage checked at its end: an answer that is no number
//! never goes on to the next, and a broken picture is never saved.

use std::sync::Arc;

use crate::diffusion::{Latents, NoiseStreams, are_finite_and_nonzero};
use crate::error::EngineError;
use crate::images::{Array, Pixels, crop_and_resize, load};
use crate::memory::estimate;
use crate::memory::low_memory::{MemoryGuard, MemoryMode};
use crate::pipeline::StopFlag;
use crate::pipeline::{GenerateError, Pipeline};
use crate::pipeline::{to_planes, to_unit_range};
use crate::recipe::{Recipe, Start};

impl Pipeline {
    /// Refuses pictures that would not fit into main memory, and is frugal where they just would. A GPU
    /// does not tell how much it has; there it is tried.
    pub(crate) fn memory_guard(&self, recipe: &Recipe) -> Result<MemoryGuard, GenerateError> {
        let free = estimate::free_bytes().filter(|_| !self.info.device.is_gpu);
        let mode = self.info.memory.mode_for(recipe, free.unwrap_or(u64::MAX)).map_err(|needed| {
            let Recipe { width, height, .. } = *recipe;
            GenerateError::TooLarge { width, height, needed, free: free.unwrap_or_default() }
        })?;
        let memory = MemoryGuard::new(self.device.clone(), mode);
        if mode == MemoryMode::LowMemory {
            memory.note("Memory is short, so the work was done in smaller pieces, which takes longer");
        }
        Ok(memory)
    }

    /// Refuses an answer in f32 that is none. A GPU may answer with nothing when its memory ran out.
    pub(crate) fn check_finite(&self, stage: &str, answer: &[f32]) -> Result<(), EngineError> {
        match are_finite_and_nonzero(answer) {
            true => Ok(()),
            false if self.info.device.is_gpu => {
                Err(EngineError::OutOfMemory(format!("the {stage} answered with nothing")))
            }
            false => Err(EngineError::Failed(format!(
                "The {stage} answered with no number, although it computes in f32, so nothing was saved. The model's weights may be damaged: get the model again, or choose another"
            ))),
        }
    }

    /// Decodes latents in full.
    ///
    /// # Shapes
    /// - output: `[batch, 3, height, width]` in 0..1
    pub fn decode(&self, latents: &Latents, stop: &StopFlag) -> Result<Array, GenerateError> {
        let [height, width] =
            [latents.shape[2], latents.shape[3]].map(|side| side as u32 * self.info.vae_factor);
        let one = Recipe { width, height, steps: 1, ..Recipe::default() };
        Ok(self.decode_with(latents, &self.memory_guard(&one)?, stop)?)
    }

    /// One picture after the other.
    pub(crate) fn decode_with(
        &self,
        latents: &Latents,
        memory: &MemoryGuard,
        stop: &StopFlag,
    ) -> Result<Array, EngineError> {
        let [batch, channels, height, width] = latents.shape;
        let scaling = self.model.config.vae.scaling_factor;
        let mut pixels = Vec::new();
        for index in 0..batch {
            let one = Latents::new([1, channels, height, width], latents.picture(index).to_vec());
            let one = one.scale(1.0 / scaling);
            let decoded = memory.retry_in_low_memory(|mode| {
                let decoded = self.decode_raw(mode, &one, stop)?;
                self.check_finite("decoder", &decoded.data)?;
                Ok(decoded)
            })?;
            pixels.extend(decoded.data.into_iter().map(to_unit_range));
        }
        let factor = self.info.vae_factor as usize;
        Ok(Array::new([batch, 3, height * factor, width * factor], pixels))
    }

    /// The pictures of latents, decoded in full.
    pub fn pictures(&self, latents: &Latents, stop: &StopFlag) -> Result<Vec<Arc<Pixels>>, GenerateError> {
        Ok(images_from_planes(&self.decode(latents, stop)?))
    }

    /// `[batch, channels, height, width]` of a recipe's latents.
    pub(crate) fn latent_shape(&self, recipe: &Recipe) -> [usize; 4] {
        let factor = self.info.vae_factor;
        [
            recipe.batch as usize,
            self.model.config.unet.in_channels,
            (recipe.height / factor) as usize,
            (recipe.width / factor) as usize,
        ]
    }

    /// The latents that sampling begins with at `sigma`: noise, or a picture with noise on it.
    pub(crate) fn initial_latents(
        &self,
        recipe: &Recipe,
        sigma: f32,
        memory: &MemoryGuard,
        stop: &StopFlag,
    ) -> Result<Latents, GenerateError> {
        let shape = self.latent_shape(recipe);
        let mut streams = NoiseStreams::of(recipe.noise, recipe.seed, shape[0]);
        let Start::Image { path, .. } = &recipe.start else {
            return Ok(streams.draw(shape).scale(sigma));
        };
        let picture = crop_and_resize(&load(path)?.pixels, recipe.width, recipe.height);
        let picture = to_planes(&picture);
        let (mean, log_variance) = memory.retry_in_low_memory(|mode| {
            let (mean, log_variance) = self.encode_moments(mode, &picture, stop)?;
            self.check_finite("encoder", &mean.data)?;
            Ok((mean, log_variance))
        })?;
        let scaling = self.model.config.vae.scaling_factor;
        let mut x0 = streams.draw(shape);
        let of_one = mean.data.len();
        for (at, value) in x0.data.iter_mut().enumerate() {
            let (mean, log_variance) = (mean.data[at % of_one], log_variance.data[at % of_one]);
            *value = (mean + (0.5 * log_variance).exp() * *value) * scaling;
        }
        Ok(x0.add_scaled(sigma, &streams.draw(shape)))
    }
}

/// The pictures of `[batch, 3, height, width]` in 0..1.
pub(crate) fn images_from_planes(image: &Array) -> Vec<Arc<Pixels>> {
    let (height, width) = (image.shape[2], image.shape[3]);
    let planes = image.data.chunks_exact(3 * height * width);
    planes.map(|planes| Arc::new(Pixels::from_unit_range(width as u32, height as u32, planes))).collect()
}
