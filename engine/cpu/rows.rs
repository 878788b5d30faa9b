//! Kernels over rows of channels: linear layers, sums, concatenation, upsampling.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::gemm::{Matrix, Weights};
use super::{
    channels_last, close, contiguous, from_channels_last, from_rows, open, rows_per_task, values, weights,
};

/// Rows per task: with fewer, fetching the weights takes longer than using them.
const MIN_TASK_ROWS: usize = 24;

/// The number of weights that stay in a 2 MiB second-level cache.
const MAX_CACHED_WEIGHTS: usize = 1 << 19;

/// `x * weight + bias (+ addend)`, where `weight` is `[inputs, outputs]`, in f32 or f16.
///
/// # Shapes
/// - x: `[batch, tokens, inputs]`
/// - addend and output: `[batch, tokens, outputs]`
pub fn linear(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    addend: Option<Tensor<3>>,
) -> Tensor<3> {
    let [batch, tokens, inputs] = x.dims();
    let outputs = weight.dims()[1];
    let rows = batch * tokens;
    let x = contiguous(x);
    let weight = contiguous(weight);
    let bias = bias.map(contiguous);
    let mut out = match addend {
        Some(addend) => values(&contiguous(addend)).to_vec(),
        None => vec![0.0; rows * outputs],
    };
    if let Some(bias) = &bias {
        out.chunks_exact_mut(outputs).for_each(|row| add_to(row, values(bias)));
    }
    product_into(&mut out, Matrix::rows(values(&x), rows, inputs, inputs), weights(&weight), outputs);
    close(from_rows(out, [batch, tokens, outputs]))
}

/// `out += x * weight`, over all threads.
fn product_into(out: &mut [f32], x: Matrix<'_>, weight: Weights<'_>, outputs: usize) {
    if x.rows * x.columns * outputs < 1 << 18 {
        weight.add_product(out, outputs, x, outputs, outputs);
        return;
    }
    // Each task reads all of the weights or, if they are larger and exceed the cache, all of the rows.
    if x.rows >= outputs || x.columns * outputs < MAX_CACHED_WEIGHTS {
        let rows = rows_per_task(x.rows, MIN_TASK_ROWS);
        out.par_chunks_mut(rows * outputs).enumerate().for_each(|(task, out)| {
            let start = task * rows * x.row_stride;
            let part = Matrix { data: &x.data[start..], rows: out.len() / outputs, ..x };
            weight.add_product(out, outputs, part, outputs, outputs);
        });
        return;
    }
    let columns = outputs.div_ceil(rayon::current_num_threads()).next_multiple_of(16);
    let parts: Vec<(usize, usize, Vec<f32>)> = (0..outputs.div_ceil(columns))
        .into_par_iter()
        .map(|task| {
            let start = task * columns;
            let width = columns.min(outputs - start);
            let mut part = vec![0.0; x.rows * width];
            weight.from(start).add_product(&mut part, width, x, width, outputs);
            (start, width, part)
        })
        .collect();
    for (start, width, part) in parts {
        for (out, part) in out.chunks_exact_mut(outputs).zip(part.chunks_exact(width)) {
            add_to(&mut out[start..start + width], part);
        }
    }
}

/// `a + b` of one shape.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let (a, b) = (open(a), open(b));
    if a.layout() != b.layout() || !a.layout().is_dense_unique_storage() {
        return close::<D>(a) + close::<D>(b);
    }
    let layout = a.layout().clone();
    let sum: Vec<f32> = a.storage::<f32>().iter().zip(b.storage::<f32>()).map(|(a, b)| a + b).collect();
    let len = sum.len();
    close(from_rows(sum, [len]).with_layout(layout))
}

/// Concatenates over channels.
pub fn cat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let (a, [batch, height, width, a_channels]) = channels_last(a);
    let (b, b_shape) = channels_last(b);
    assert_eq!(b_shape[..3], [batch, height, width], "only the channels may differ");
    let channels = a_channels + b_shape[3];
    let mut out = Vec::with_capacity(batch * height * width * channels);
    for (a, b) in values(&a).chunks_exact(a_channels).zip(values(&b).chunks_exact(b_shape[3])) {
        out.extend_from_slice(a);
        out.extend_from_slice(b);
    }
    from_channels_last(out, [batch, height, width, channels])
}

/// Nearest-neighbour resize, `source = floor(target * from / to)` as in PyTorch.
pub fn upsample_nearest(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    let (x, [batch, from_height, from_width, channels]) = channels_last(x);
    let source =
        |at: usize, from: usize, to: usize| ((at as f32 * (from as f32 / to as f32)) as usize).min(from - 1);
    let x = values(&x);
    let mut out = Vec::with_capacity(batch * height * width * channels);
    for image in 0..batch {
        for y in 0..height {
            let row = image * from_height + source(y, from_height, height);
            for column in 0..width {
                let at = (row * from_width + source(column, from_width, width)) * channels;
                out.extend_from_slice(&x[at..at + channels]);
            }
        }
    }
    from_channels_last(out, [batch, height, width, channels])
}

pub(super) fn add_to(row: &mut [f32], other: &[f32]) {
    row.iter_mut().zip(other).for_each(|(a, b)| *a += b);
}
