//! Fits the preview colours of a model with another autoencoder than Stable Diffusion 1's.

use crate::diffusion::{LatentRgb, Latents};
use crate::error::EngineError;
use crate::images::Pixels;
use crate::memory::mode::MemoryMode;
use crate::pipeline::autoencoder::{to_planes, to_unit_range};
use crate::pipeline::{Pipeline, StopFlag};

impl Pipeline {
    /// The linear map from latents to colours, fitted to what the autoencoder makes of a gradient.
    pub(super) fn fit_latent_rgb(&self) -> Result<LatentRgb, EngineError> {
        let never = StopFlag::default();
        let gradient = calibration_gradient(16 * self.info.vae_factor);
        let (mean, _) = self.encode_moments(MemoryMode::Full, &to_planes(&gradient), &never)?;
        let decoded = self.decode_raw(MemoryMode::Full, &mean, &never)?;
        let small = downsample(&decoded, self.info.vae_factor as usize);
        let latents = mean.scale(self.model.config.vae.scaling_factor);
        Ok(LatentRgb::fit(&latents, &small.into_iter().map(to_unit_range).collect::<Vec<_>>()))
    }
}

/// A square picture of smoothly varying colours that cover the whole range.
fn calibration_gradient(side: u32) -> Pixels {
    let wave = |x: f32| (127.5 + 127.5 * (std::f32::consts::TAU * x).sin()) as u8;
    let at = |i: u32| i as f32 / side as f32;
    let colour = |y: u32, x: u32| {
        [wave(at(x) + 0.3 * at(y)), wave(1.7 * at(y) - 0.4 * at(x)), wave(at(x) * at(y) * 2.3 + 0.6)]
    };
    let rgb = (0..side).flat_map(|y| (0..side).flat_map(move |x| colour(y, x))).collect();
    Pixels::new(side, side, rgb)
}

/// The means of squares of `factor` x `factor` pixels.
fn downsample(image: &Latents, factor: usize) -> Vec<f32> {
    let (height, width) = (image.shape[2], image.shape[3]);
    let planes = image.data.chunks_exact(height * width);
    let mean = |plane: &[f32], y: usize, x: usize| {
        let rows = (y * factor..(y + 1) * factor).map(|row| &plane[row * width + x * factor..][..factor]);
        rows.flatten().sum::<f32>() / (factor * factor) as f32
    };
    planes
        .flat_map(|plane| {
            (0..height / factor).flat_map(move |y| (0..width / factor).map(move |x| mean(plane, y, x)))
        })
        .collect()
}
