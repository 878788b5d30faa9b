//! Group normalisation with the activation that follows it, channels last.

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use super::activation::silu_of;
use super::{channels_last, contiguous, from_channels_last, rows_per_task, values};

/// Normalises each group of channels over the whole picture, scales and shifts each channel, and
/// applies SiLU if `silu`. Two passes for the statistics, so that a large mean costs no precision.
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
    let count = (area * in_group) as f64;
    let rows = rows_per_task(area, 32);
    let arch = Arch::new();

    let mut out = vec![0.0; x.len()];
    let images = x.par_chunks_exact(area * channels).zip(out.par_chunks_exact_mut(area * channels));
    images.for_each(|(image, out)| {
        let over_groups = |center: &[f32], power: fn(f32) -> f32| -> Vec<f64> {
            let sums = image
                .par_chunks(rows * channels)
                .map(|rows| arch.dispatch(|| channel_sums(rows, center, power)))
                .reduce(|| vec![0.0; channels], |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
            sums.chunks_exact(in_group).map(|sums| sums.iter().sum::<f64>() / count).collect()
        };
        let per_channel = |of_group: &[f64]| -> Vec<f32> {
            (0..channels).map(|channel| of_group[channel / in_group] as f32).collect()
        };
        let mean = per_channel(&over_groups(&vec![0.0; channels], |x| x));
        let variance = over_groups(&mean, |x| x * x);
        let scale: Vec<f32> = (0..channels)
            .map(|channel| {
                let deviation = (variance[channel / in_group] + epsilon).sqrt();
                (f64::from(weight[channel]) / deviation) as f32
            })
            .collect();
        let parts = image.par_chunks(rows * channels).zip(out.par_chunks_mut(rows * channels));
        parts.for_each(|(x, out)| {
            arch.dispatch(|| {
                for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
                    for channel in 0..channels {
                        let y = (x[channel] - mean[channel]) * scale[channel] + bias[channel];
                        out[channel] = if silu { silu_of(y) } else { y };
                    }
                }
            });
        });
    });
    from_channels_last(out, shape)
}

/// Sums `power(x - center)` of each channel over the rows.
#[inline(always)]
fn channel_sums(rows: &[f32], center: &[f32], power: fn(f32) -> f32) -> Vec<f64> {
    let channels = center.len();
    let mut total = vec![0.0f64; channels];
    let mut partial = vec![0.0f32; channels];
    // f32 within 32 rows, f64 across them.
    for rows in rows.chunks(32 * channels) {
        partial.fill(0.0);
        for row in rows.chunks_exact(channels) {
            for channel in 0..channels {
                partial[channel] += power(row[channel] - center[channel]);
            }
        }
        total.iter_mut().zip(&partial).for_each(|(total, &partial)| *total += f64::from(partial));
    }
    total
}
