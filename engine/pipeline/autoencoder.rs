//! Pictures into latents and back. The output of each network is checked, so invalid numbers never reach the
//! next one and a broken picture is never saved.

use std::sync::Arc;

use burn::tensor::{FloatDType, Tensor};

use crate::diffusion::{Latents, NoiseStreams};
use crate::error::EngineError;
use crate::images::{Array, Pixels, crop_and_resize, load, to_signed_planes};
use crate::memory::low_memory::MemoryGuard;
use crate::memory::mode::MemoryMode;
use crate::models::values;
use crate::pipeline::{GenerateError, Pipeline, StopFlag};
use crate::recipe::{Recipe, Start};

impl Pipeline {
    /// The encoder's mean and log variance, unscaled. In low-memory mode for one picture only.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, height, width]` in -1..1
    /// - outputs: `[batch, channels, height / factor, width / factor]`
    pub fn encode_moments(
        &self,
        mode: MemoryMode,
        pixels: &Latents,
        stop: &StopFlag,
    ) -> Result<(Latents, Latents), EngineError> {
        let (vae, x) = (&self.model.vae, self.upload(pixels, FloatDType::F32));
        let moments = match mode {
            MemoryMode::Full => vae.encode(x, &|| stop.is_raised())?,
            MemoryMode::LowMemory => vae.encode_tiled(x, &|| stop.is_raised())?,
        };
        Ok((to_latents(moments.mean)?, to_latents(moments.log_variance)?))
    }

    /// The decoder's output for unscaled latents. In low-memory mode for one picture only.
    ///
    /// # Shapes
    /// - output: `[batch, 3, height * factor, width * factor]`, about -1..1
    pub fn decode_raw(
        &self,
        mode: MemoryMode,
        latents: &Latents,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        let (vae, x) = (&self.model.vae, self.upload(latents, FloatDType::F32));
        to_latents(match mode {
            MemoryMode::Full => vae.decode(x, &|| stop.is_raised())?,
            MemoryMode::LowMemory => vae.decode_tiled(x, &|| stop.is_raised())?,
        })
    }

    /// The mean latents of a picture, cropped and resized to `width` x `height`, scaled as the UNet sees them.
    pub fn encode(
        &self,
        picture: &Pixels,
        (width, height): (u32, u32),
        stop: &StopFlag,
    ) -> Result<Latents, GenerateError> {
        let recipe = Recipe { width, height, steps: 1, ..Recipe::default() };
        recipe.check()?;
        let pixels = to_planes(&crop_and_resize(picture, width, height));
        let memory = self.memory_guard(&recipe)?;
        let (mean, _) = memory.retry_in_low_memory(|mode| self.encode_moments(mode, &pixels, stop))?;
        Ok(mean.scale(self.model.config.vae.scaling_factor))
    }

    /// Decodes latents that are scaled as the UNet sees them.
    ///
    /// # Shapes
    /// - output: `[batch, 3, height, width]` in 0..1
    pub fn decode(&self, latents: &Latents, stop: &StopFlag) -> Result<Array, GenerateError> {
        let [height, width] =
            [latents.shape[2], latents.shape[3]].map(|side| side as u32 * self.info.vae_factor);
        let recipe = Recipe { width, height, steps: 1, ..Recipe::default() };
        Ok(self.decode_with(latents, &self.memory_guard(&recipe)?, stop)?)
    }

    /// [`Pipeline::decode`] under the memory guard of a run, picture by picture.
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

    /// Decodes latents into pictures.
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

    /// The latents that sampling starts from at `sigma`: noise, or an encoded picture with noise.
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
        let picture = to_planes(&crop_and_resize(&load(path)?.pixels, recipe.width, recipe.height));
        let (mean, log_variance) = memory.retry_in_low_memory(|mode| {
            let (mean, log_variance) = self.encode_moments(mode, &picture, stop)?;
            self.check_finite("encoder", &mean.data)?;
            Ok((mean, log_variance))
        })?;
        // A sample of the encoder's distribution for each picture of the batch.
        let scaling = self.model.config.vae.scaling_factor;
        let mut x0 = streams.draw(shape);
        let len = mean.data.len();
        for (index, value) in x0.data.iter_mut().enumerate() {
            let (mean, log_variance) = (mean.data[index % len], log_variance.data[index % len]);
            *value = (mean + (0.5 * log_variance).exp() * *value) * scaling;
        }
        Ok(x0.add_scaled(sigma, &streams.draw(shape)))
    }
}

/// The pictures of `[batch, 3, height, width]` in 0..1.
pub(super) fn images_from_planes(image: &Array) -> Vec<Arc<Pixels>> {
    let (height, width) = (image.shape[2], image.shape[3]);
    let planes = image.data.chunks_exact(3 * height * width);
    planes.map(|planes| Arc::new(Pixels::from_unit_range(width as u32, height as u32, planes))).collect()
}

/// `[1, 3, height, width]` in -1..1.
pub(super) fn to_planes(picture: &Pixels) -> Latents {
    Latents::new([1, 3, picture.height as usize, picture.width as usize], to_signed_planes(picture))
}

/// From the autoencoder's -1..1 to 0..1.
pub(super) fn to_unit_range(value: f32) -> f32 {
    (value / 2.0 + 0.5).clamp(0.0, 1.0)
}

/// `[batch, channels, height, width]`
fn to_latents(x: Tensor<4>) -> Result<Latents, EngineError> {
    let shape = x.dims();
    Ok(Latents::new(shape, values(x)?))
}
