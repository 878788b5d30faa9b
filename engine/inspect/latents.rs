//! Looks into latent space, as the lesson takes them: its channels one by one, noise added to a picture,
//! and the autoencoder's way there and back.

use std::sync::Arc;

use crate::diffusion::{Latents, NoiseStreams};
use crate::images::{Pixels, crop_and_resize};
use crate::pipeline::StopFlag;
use crate::pipeline::to_planes;
use crate::pipeline::{GenerateError, Pipeline};
use crate::recipe::Recipe;

/// A channel of latents as a grey picture: black is its lowest value, white its highest.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub picture: Arc<Pixels>,
    pub min: f32,
    pub max: f32,
}

/// A picture, and what the autoencoder makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundTrip {
    pub original: Arc<Pixels>,
    pub decoded: Arc<Pixels>,
    /// How far they are apart, times [`RoundTrip::DIFFERENCE_GAIN`].
    pub difference: Arc<Pixels>,
    /// The mean of how far they are apart, of 255.
    pub mean_difference: f32,
}

impl RoundTrip {
    /// What the autoencoder loses is a few of 255, which nobody sees unless it is made this much stronger.
    pub const DIFFERENCE_GAIN: u8 = 8;

    /// # Panics
    /// If their sides differ.
    pub fn new(original: Arc<Pixels>, decoded: Arc<Pixels>) -> Self {
        let sides = |pixels: &Pixels| (pixels.width, pixels.height);
        assert_eq!(sides(&original), sides(&decoded), "a picture and its round trip");
        let apart: Vec<u8> = original.rgb.iter().zip(&decoded.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
        let sum: f64 = apart.iter().map(|&apart| f64::from(apart)).sum();
        let mean_difference = (sum / apart.len().max(1) as f64) as f32;
        let shown = apart.into_iter().map(|apart| apart.saturating_mul(Self::DIFFERENCE_GAIN)).collect();
        let difference = Arc::new(Pixels::new(original.width, original.height, shown));
        Self { original, decoded, difference, mean_difference }
    }
}

/// The channels of one picture of a batch.
pub fn channels(latents: &Latents, index: usize) -> Vec<Channel> {
    let [_, _, height, width] = latents.shape;
    let planes = latents.picture(index).chunks_exact(height * width);
    planes
        .map(|plane| {
            let (min, max) =
                plane.iter().fold((f32::MAX, f32::MIN), |(min, max), &v| (min.min(v), max.max(v)));
            let span = if max > min { max - min } else { 1.0 };
            let grey: Vec<f32> = plane.iter().map(|value| (value - min) / span).collect();
            let picture = Pixels::from_unit_range(width as u32, height as u32, &grey.repeat(3));
            Channel { picture: Arc::new(picture), min, max }
        })
        .collect()
}

/// `x0 + noise * sigma`, the noise being what PyTorch draws first from the seed: section 3 of the lesson.
pub fn add_noise(x0: &Latents, seed: u64, sigma: f32) -> Latents {
    let noise = NoiseStreams::new(seed, x0.batch()).draw(x0.shape);
    x0.clone().add_scaled(sigma, &noise)
}

impl Pipeline {
    /// The middle of a picture as latents of the size that a picture of `width` and `height` has: the mean
    /// of what the encoder answers, scaled as the UNet sees it.
    pub fn encode(
        &self,
        picture: &Pixels,
        (width, height): (u32, u32),
        stop: &StopFlag,
    ) -> Result<Latents, GenerateError> {
        let one = Recipe { width, height, steps: 1, ..Recipe::default() };
        one.check()?;
        let pixels = to_planes(&crop_and_resize(picture, width, height));
        let memory = self.memory_guard(&one)?;
        let (mean, _) = memory.retry_in_low_memory(|mode| self.encode_moments(mode, &pixels, stop))?;
        Ok(mean.scale(self.model.config.vae.scaling_factor))
    }

    /// There and back, from pixels as they are seen.
    pub fn round_trip(
        &self,
        picture: &Pixels,
        (width, height): (u32, u32),
        x0: &Latents,
        stop: &StopFlag,
    ) -> Result<RoundTrip, GenerateError> {
        let decoded = self.pictures(x0, stop)?.swap_remove(0);
        Ok(RoundTrip::new(Arc::new(crop_and_resize(picture, width, height)), decoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::TorchGenerator;

    #[test]
    fn channels_are_grey_from_their_lowest_value_to_their_highest() {
        let data = vec![-2.0, 0.0, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0];
        let seen = channels(&Latents::new([1, 2, 2, 2], data), 0);
        assert_eq!((seen[0].min, seen[0].max), (-2.0, 2.0));
        assert_eq!(seen[0].picture.rgb, [0, 0, 0, 128, 128, 128, 191, 191, 191, 255, 255, 255]);
        assert_eq!((seen[1].min, seen[1].max), (5.0, 5.0));
        assert_eq!(seen[1].picture.rgb, [0; 12], "what never varies is no picture");
    }

    #[test]
    fn noise_is_added_as_the_lesson_adds_it() {
        let x0 = Latents::new([1, 4, 8, 8], TorchGenerator::new(1).randn(256));
        let noise = TorchGenerator::new(32).randn(256);
        // Step 10 of 15 in the lesson.
        let noised = add_noise(&x0, 32, 0.7913);
        let by_hand = x0.data.iter().zip(&noise).map(|(x0, noise)| x0 + 0.7913 * noise);
        assert!(noised.data.iter().copied().eq(by_hand));
        assert_eq!(add_noise(&x0, 32, 0.0), x0);
    }

    #[test]
    fn a_round_trip_tells_how_far_it_led_from_the_picture() {
        let picture = |values: [u8; 6]| Arc::new(Pixels::new(2, 1, values.to_vec()));
        let trip = RoundTrip::new(picture([0, 10, 20, 30, 40, 255]), picture([3, 10, 18, 30, 41, 0]));
        assert_eq!(trip.difference.rgb, [24, 0, 16, 0, 8, 255]);
        assert_eq!(trip.mean_difference, (3.0 + 2.0 + 1.0 + 255.0) / 6.0);
    }
}
