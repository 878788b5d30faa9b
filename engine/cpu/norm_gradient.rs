//! The gradients of norms with respect to their input.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::activation::exp;
use super::norm::{GroupStats, group_stats};
use super::{
    channels_last, close, contiguous, from_channels_last, from_rows, rows_per_task, values, vectorised,
};

/// A [`group_norm`](super::group_norm) with its settings.
pub struct GroupNorm {
    pub weight: Tensor<1>,
    pub bias: Tensor<1>,
    pub groups: usize,
    pub epsilon: f64,
    pub silu: bool,
}

impl GroupNorm {
    /// The gradient with respect to `x` of a function of the norm, whose gradient with respect to the output is `gradient`.
    ///
    /// With `n = (x - mean) / deviation` of a group, and `g` the gradient with respect to `n`, it is
    /// `(g - mean(g) - n mean(g n)) / deviation` (Ioffe and Szegedy, 2015, section 3).
    pub fn input_gradient(self, x: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
        let (x, shape) = channels_last(x);
        let [_, height, width, channels] = shape;
        let mut gradient = values(&channels_last(gradient).0).to_vec();
        let (weight, bias) = (contiguous(self.weight), contiguous(self.bias));
        let (weight, bias) = (values(&weight), values(&bias));
        let in_group = channels / self.groups;
        let count = (height * width * in_group) as f64;
        let of_groups = |sums: &[f64]| -> Vec<f64> {
            sums.chunks_exact(in_group).map(|sums| sums.iter().sum::<f64>() / count).collect()
        };
        let task = rows_per_task(height * width, 32) * channels;
        let images = values(&x).chunks_exact(height * width * channels);
        for (image, gradient) in images.zip(gradient.chunks_exact_mut(height * width * channels)) {
            let GroupStats { mean, deviation } = group_stats(image, self.groups, channels, self.epsilon);
            let scale: Vec<f32> =
                (0..channels).map(|channel| (1.0 / deviation[channel / in_group]) as f32).collect();
            let channel = Channels { mean: &mean, scale: &scale, weight, bias };
            let parts = gradient.par_chunks_mut(task).zip(image.par_chunks(task));
            let sums = parts.map(|(gradient, image)| match self.silu {
                true => vectorised(
                    #[inline(always)]
                    || channel.normalised_gradient(gradient, image, silu_slope),
                ),
                false => vectorised(
                    #[inline(always)]
                    || channel.normalised_gradient(gradient, image, |_| 1.0),
                ),
            });
            let add = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
            let sums = sums.reduce_with(|a, b| [0, 1].map(|index| add(a[index].clone(), b[index].clone())));
            let [sum, product] = sums.unwrap_or_else(|| [(); 2].map(|()| vec![0.0; channels]));
            let [sum, product] = [sum, product].map(|sums| {
                let means = of_groups(&sums);
                (0..channels).map(|channel| means[channel / in_group] as f32).collect::<Vec<_>>()
            });
            gradient.par_chunks_mut(task).zip(image.par_chunks(task)).for_each(|(gradient, image)| {
                vectorised(
                    #[inline(always)]
                    || channel.input_gradient(gradient, image, &sum, &product),
                );
            });
        }
        from_channels_last(gradient, shape)
    }
}

/// What a norm does to each channel of a picture: `(x - mean) * scale` normalises it.
struct Channels<'a> {
    mean: &'a [f32],
    scale: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Channels<'_> {
    /// Turns the gradient with respect to the output into the one with respect to the normalised values, and returns for
    /// each channel the sum of it and of its product with them. `slope` is the derivative of the activation.
    #[inline(always)]
    fn normalised_gradient(
        &self,
        gradient: &mut [f32],
        image: &[f32],
        slope: impl Fn(f32) -> f32,
    ) -> [Vec<f64>; 2] {
        let count = self.mean.len();
        let [mut sums, mut products] = [(); 2].map(|()| vec![0.0f64; count]);
        for (gradient, image) in gradient.chunks_exact_mut(count).zip(image.chunks_exact(count)) {
            // Slices of one known length, so that the loop needs no checks and is vectorised.
            let (mean, scale) = (&self.mean[..count], &self.scale[..count]);
            let (weight, bias) = (&self.weight[..count], &self.bias[..count]);
            let (sums, products) = (&mut sums[..count], &mut products[..count]);
            for channel in 0..count {
                let n = (image[channel] - mean[channel]) * scale[channel];
                let g = gradient[channel] * slope(n * weight[channel] + bias[channel]) * weight[channel];
                gradient[channel] = g;
                sums[channel] += f64::from(g);
                products[channel] += f64::from(g * n);
            }
        }
        [sums, products]
    }

    /// Turns the gradient with respect to the normalised values into the one with respect to the input.
    #[inline(always)]
    fn input_gradient(&self, gradient: &mut [f32], image: &[f32], sum: &[f32], product: &[f32]) {
        let count = self.mean.len();
        for (gradient, image) in gradient.chunks_exact_mut(count).zip(image.chunks_exact(count)) {
            let (mean, scale) = (&self.mean[..count], &self.scale[..count]);
            let (sum, product) = (&sum[..count], &product[..count]);
            for channel in 0..count {
                let n = (image[channel] - mean[channel]) * scale[channel];
                gradient[channel] =
                    (gradient[channel] - sum[channel] - n * product[channel]) * scale[channel];
            }
        }
    }
}

/// The derivative of SiLU.
#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

/// The gradient with respect to `x` of a function of a norm over each token's channels, whose gradient with respect to the
/// output is `gradient`: the formula of [`GroupNorm`].
///
/// # Shapes
/// - x, gradient and output: `[batch, tokens, width]`
pub fn layer_norm_gradient(x: Tensor<3>, gradient: Tensor<3>, weight: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let shape = x.dims();
    let width = shape[2];
    let [x, gradient] = [x, gradient].map(contiguous);
    let weight = contiguous(weight);
    let mut out = values(&gradient).to_vec();
    let task = rows_per_task(shape[0] * shape[1], 32) * width;
    out.par_chunks_mut(task).zip(values(&x).par_chunks(task)).for_each(|(gradient, x)| {
        for (gradient, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            vectorised(
                #[inline(always)]
                || token_gradient(gradient, x, values(&weight), epsilon as f32),
            );
        }
    });
    close(from_rows(out, shape))
}

#[inline(always)]
fn token_gradient(gradient: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let count = x.len() as f32;
    let mean = sum([x], |[x]| x) / count;
    let variance = sum([x], |[x]| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    let of_normalised = sum([gradient, weight], |[g, weight]| g * weight) / count;
    let product = sum([gradient, weight, x], |[g, weight, x]| g * weight * (x - mean) * scale) / count;
    for ((gradient, x), weight) in gradient.iter_mut().zip(x).zip(weight) {
        let n = (x - mean) * scale;
        *gradient = (*gradient * weight - of_normalised - n * product) * scale;
    }
}

/// The sum of a function of the elements of some slices, in parallel sums that the compiler vectorises.
#[inline(always)]
fn sum<const N: usize>(slices: [&[f32]; N], of: impl Fn([f32; N]) -> f32) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0; LANES];
    let parts = slices.map(|slice| slice.as_chunks::<LANES>());
    for at in 0..parts[0].0.len() {
        let chunks = parts.map(|(chunks, _)| &chunks[at]);
        for lane in 0..LANES {
            sums[lane] += of(chunks.map(|chunk| chunk[lane]));
        }
    }
    let rest = (0..parts[0].1.len()).map(|at| of(parts.map(|(_, rest)| rest[at])));
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}
