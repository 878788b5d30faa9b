//! Group normalisation with an optional SiLU after it, channels last.

use std::marker::PhantomData;

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::activation::{ElementwiseFn, Identity, Silu};
use super::{channels_last, contiguous, from_channels_last, rows_per_task, values};

/// Normalises each group of channels over the whole picture, scales and shifts each channel, and
/// applies SiLU if `silu`. The statistics take two passes, so that a large mean does not cost precision.
///
/// # Shapes
/// - x and output: `[batch, channels, height, width]`
/// - weight, bias: `[channels]`
pub fn group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
    silu: bool,
) -> Tensor<4> {
    let (x, shape) = channels_last(x);
    let [_, height, width, channels] = shape;
    let area = height * width;
    let (weight, bias) = (contiguous(weight), contiguous(bias));
    let (weight, bias) = (values(&weight), values(&bias));
    let x = values(&x);
    let in_group = channels / groups;

    let mut out = vec![0.0; x.len()];
    let images = x.par_chunks_exact(area * channels).zip(out.par_chunks_exact_mut(area * channels));
    images.for_each(|(image, out)| {
        let GroupStats { mean, deviation } = group_stats(image, groups, channels, epsilon);
        let scale: Vec<f32> = (0..channels)
            .map(|channel| (f64::from(weight[channel]) / deviation[channel / in_group]) as f32)
            .collect();
        normalise_into(out, image, &mean, &scale, bias, silu);
    });
    from_channels_last(out, shape)
}

/// The statistics of a picture's groups of channels.
pub(super) struct GroupStats {
    /// Of each channel's group.
    pub mean: Vec<f32>,
    /// `sqrt(variance + epsilon)` of each group.
    pub deviation: Vec<f64>,
}

/// The statistics of one picture, rows of `channels`.
pub(super) fn group_stats(image: &[f32], groups: usize, channels: usize, epsilon: f64) -> GroupStats {
    let (in_group, area) = (channels / groups, image.len() / channels);
    let count = (area * in_group) as f64;
    let rows = rows_per_task(area, 32);
    let arch = Arch::new();
    let mean_over_groups = |sums: Vec<f64>| -> Vec<f64> {
        sums.chunks_exact(in_group).map(|sums| sums.iter().sum::<f64>() / count).collect()
    };
    let channel_sums = |center: &[f32], squared: bool| {
        let add = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let parts = image.par_chunks(rows * channels);
        parts
            .map(|rows| match squared {
                false => arch.dispatch(Sums::<false> { rows, center }),
                true => arch.dispatch(Sums::<true> { rows, center }),
            })
            .reduce_with(add)
            .unwrap_or_default()
    };
    let mean: Vec<f32> = mean_over_groups(channel_sums(&vec![0.0; channels], false))
        .iter()
        .flat_map(|&mean| std::iter::repeat_n(mean as f32, in_group))
        .collect();
    let variance = mean_over_groups(channel_sums(&mean, true));
    let deviation = variance.into_iter().map(|variance| (variance + epsilon).sqrt()).collect();
    GroupStats { mean, deviation }
}

/// `(x - mean) * scale + bias`, channel by channel, and SiLU if `silu`.
///
/// # Shapes
/// - x and output: `[batch, channels, height, width]`
/// - mean, scale, bias: `[channels]`
pub fn normalise(x: Tensor<4>, mean: Tensor<1>, scale: Tensor<1>, bias: Tensor<1>, silu: bool) -> Tensor<4> {
    let (x, shape) = channels_last(x);
    let [mean, scale, bias] = [mean, scale, bias].map(contiguous);
    let mut out = vec![0.0; shape.iter().product()];
    normalise_into(&mut out, values(&x), values(&mean), values(&scale), values(&bias), silu);
    from_channels_last(out, shape)
}

fn normalise_into(out: &mut [f32], x: &[f32], mean: &[f32], scale: &[f32], bias: &[f32], silu: bool) {
    let channels = mean.len();
    let rows = rows_per_task(x.len() / channels, 32);
    let arch = Arch::new();
    let parts = x.par_chunks(rows * channels).zip(out.par_chunks_mut(rows * channels));
    parts.for_each(|(x, out)| {
        if silu {
            arch.dispatch(Normalise { x, out, mean, scale, bias, then: PhantomData::<Silu> });
        } else {
            arch.dispatch(Normalise { x, out, mean, scale, bias, then: PhantomData::<Identity> });
        }
    });
}

/// The sum of `x - center`, or of its square, of each channel over the rows.
struct Sums<'a, const SQUARED: bool> {
    rows: &'a [f32],
    center: &'a [f32],
}

impl<const SQUARED: bool> WithSimd for Sums<'_, SQUARED> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f64> {
        let channels = self.center.len();
        let mut total = vec![0.0f64; channels];
        let mut partial = vec![0.0f32; channels];
        // f32 within 32 rows, f64 across them.
        for rows in self.rows.chunks(32 * channels) {
            partial.fill(0.0);
            for row in rows.chunks_exact(channels) {
                for ((partial, &x), &center) in partial.iter_mut().zip(row).zip(self.center) {
                    let difference = x - center;
                    *partial += if SQUARED { difference * difference } else { difference };
                }
            }
            for (total, &partial) in total.iter_mut().zip(&partial) {
                *total += f64::from(partial);
            }
        }
        total
    }
}

/// `then((x - mean) * scale + bias)`, channel by channel.
struct Normalise<'a, A> {
    x: &'a [f32],
    out: &'a mut [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    /// Applied last; only its type counts.
    then: PhantomData<A>,
}

impl<A: ElementwiseFn> WithSimd for Normalise<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { x, out, mean, scale, bias, then: _ } = self;
        let channels = mean.len();
        let (scale, bias) = (&scale[..channels], &bias[..channels]);
        for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for channel in 0..channels {
                out[channel] = A::apply((x[channel] - mean[channel]) * scale[channel] + bias[channel]);
            }
        }
    }
}
