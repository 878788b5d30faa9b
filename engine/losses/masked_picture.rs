//! A picture as a loss sees it: its pixels, and how much each of them counts.

use burn::tensor::{Tensor, TensorData};

use super::Mask;
use super::resize::resize;

/// A picture, or a batch of them under one mask.
#[derive(Clone, Debug)]
pub struct MaskedPicture {
    /// `[batch, 3, height, width]`, red, green and blue in about 0..1, not clamped.
    pub pixels: Tensor<4>,
    /// The weight of each pixel, 0..1, `[1, 1, height, width]`. Without it every pixel counts alike.
    pub weights: Option<Tensor<4>>,
}

impl MaskedPicture {
    /// With a mask of any size.
    pub fn new(pixels: Tensor<4>, mask: Option<&Mask>) -> Self {
        let [_, _, height, width] = pixels.dims();
        let weights = mask.map(|mask| {
            let mask = mask.resized(width as u32, height as u32);
            let weights: Vec<f32> = mask.coverage().iter().map(|value| f32::from(*value) / 255.0).collect();
            Tensor::from_data(TensorData::new(weights, [1, 1, height, width]), &pixels.device())
        });
        Self { pixels, weights }
    }

    /// The weighted mean of numbers that belong to its pixels, over all but the batch.
    ///
    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - output: `[batch]`
    pub fn mean(&self, x: Tensor<4>) -> Tensor<1> {
        weighted_mean(x, self.weights.clone())
    }

    /// The same for pairs of a pixel here and the one in its place there, each as important as both of them together: the
    /// product of their weights.
    pub fn mean_of_pairs(&self, other: &Self, x: Tensor<4>) -> Tensor<1> {
        let weights = self.weights.clone().zip(other.weights.clone());
        weighted_mean(x, weights.map(|(weights, others)| weights * others))
    }

    /// The difference of its pixels from a colour, `[1, 3, 1, 1]`, which is 0 where the mask leaves them out: what looks at
    /// a whole picture sees that colour there.
    pub(super) fn difference_from(&self, color: Tensor<4>) -> Tensor<4> {
        let difference = self.pixels.clone() - color;
        match self.weights.clone() {
            Some(weights) => difference * weights,
            None => difference,
        }
    }

    /// Scaled, with its weights.
    pub(super) fn resized(&self, width: usize, height: usize) -> Self {
        self.map(|x| resize(x, width, height))
    }

    /// Moves the pixels and their weights alike.
    pub fn map(&self, change: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self { pixels: change(self.pixels.clone()), weights: self.weights.clone().map(change) }
    }
}

/// The mean over all but the batch; 0 if every weight is 0, since nothing is asked of such a picture.
fn weighted_mean(x: Tensor<4>, weights: Option<Tensor<4>>) -> Tensor<1> {
    /// Below the weight of a single pair of the faintest pixels, 1 / 255^2.
    const LEAST: f32 = 1e-6;
    let [batch, channels, height, width] = x.dims();
    let Some(weights) = weights else {
        return x.reshape([batch, channels * height * width]).mean_dim(1).reshape([batch]);
    };
    let total = weights.clone().sum().clamp_min(LEAST) * channels as f32;
    (x * weights).reshape([batch, channels * height * width]).sum_dim(1).reshape([batch]) / total
}
