//! Latent space made visible, as in the lesson: the channels of latents, a picture with noise, and the round trip
//! through the autoencoder.

use std::sync::Arc;

use crate::diffusion::{Latents, NoiseStreams};
use crate::images::{Pixels, crop_and_resize};
use crate::pipeline::{GenerateError, Pipeline, StopFlag};

/// A channel of latents as a grey picture, from black at its lowest value to white at its highest.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub picture: Arc<Pixels>,
    pub min: f32,
    pub max: f32,
}

/// A picture, encoded and decoded again.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundTrip {
    pub original: Arc<Pixels>,
    pub decoded: Arc<Pixels>,
    /// The absolute difference, multiplied by [`RoundTrip::DIFFERENCE_GAIN`].
    pub difference: Arc<Pixels>,
    /// The mean absolute difference, of 255.
    pub mean_difference: f32,
}

impl RoundTrip {
    /// The autoencoder's error is a few of 255, which is invisible without this gain.
    pub const DIFFERENCE_GAIN: u8 = 8;

    /// # Panics
    /// If the sizes differ.
    pub fn new(original: Arc<Pixels>, decoded: Arc<Pixels>) -> Self {
        let sides = |pixels: &Pixels| (pixels.width, pixels.height);
        assert_eq!(sides(&original), sides(&decoded), "a picture and its round trip");
        let differences: Vec<u8> =
            original.rgb.iter().zip(&decoded.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
        let sum: f64 = differences.iter().map(|&difference| f64::from(difference)).sum();
        let mean_difference = (sum / differences.len().max(1) as f64) as f32;
        let shown =
            differences.into_iter().map(|value| value.saturating_mul(Self::DIFFERENCE_GAIN)).collect();
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

/// `x0 + noise * sigma`, with the first noise that PyTorch draws from the seed: section 3 of the lesson.
pub fn add_noise(x0: &Latents, seed: u64, sigma: f32) -> Latents {
    let noise = NoiseStreams::new(seed, x0.batch()).draw(x0.shape);
    x0.clone().add_scaled(sigma, &noise)
}

/// The round trip of a picture whose latents are `x0`. The original is the picture cropped and resized to `width`
/// x `height`.
pub fn round_trip(
    pipeline: &Pipeline,
    picture: &Pixels,
    (width, height): (u32, u32),
    x0: &Latents,
    stop: &StopFlag,
) -> Result<RoundTrip, GenerateError> {
    let decoded = pipeline.pictures(x0, stop)?.swap_remove(0);
    Ok(RoundTrip::new(Arc::new(crop_and_resize(picture, width, height)), decoded))
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
        assert_eq!(seen[1].picture.rgb, [0; 12], "a constant channel is black");
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
    fn a_round_trip_has_the_difference_from_the_picture() {
        let picture = |values: [u8; 6]| Arc::new(Pixels::new(2, 1, values.to_vec()));
        let trip = RoundTrip::new(picture([0, 10, 20, 30, 40, 255]), picture([3, 10, 18, 30, 41, 0]));
        assert_eq!(trip.difference.rgb, [24, 0, 16, 0, 8, 255]);
        assert_eq!(trip.mean_difference, (3.0 + 2.0 + 1.0 + 255.0) / 6.0);
    }
}
