//! Kernels over rows of channels: linear layers, sums, concatenation, upsampling.

use burn::backend::flex::FlexTensor;
use std::ops::Range;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::gemm::{Matrix, Weights};
use super::{
    channels_last, close, contiguous, from_channels_last, from_rows, open, rows_per_task, values, weights,
    wide,
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
    product_into(
        &mut out,
        Matrix::rows(values(&x), rows, inputs, inputs),
        weights(&weight, inputs, outputs),
        outputs,
    );
    close(from_rows(out, [batch, tokens, outputs]))
}

/// The gradient with respect to `x` of a function of [`linear`], whose gradient with respect to the output is `gradient`.
///
/// # Shapes
/// - gradient: `[batch, tokens, outputs]`
/// - output: `[batch, tokens, inputs]`
pub fn linear_gradient(gradient: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    let [batch, tokens, outputs] = gradient.dims();
    let inputs = weight.dims()[0];
    let rows = batch * tokens;
    let (gradient, weight) = (contiguous(gradient), contiguous(wide(weight)));
    let mut out = vec![0.0; rows * inputs];
    let weight = Weights::F32(Matrix::rows(values(&weight), inputs, outputs, outputs).transposed());
    product_into(&mut out, Matrix::rows(values(&gradient), rows, outputs, outputs), weight, inputs);
    close(from_rows(out, [batch, tokens, inputs]))
}

/// `out += x * weight`, over all threads.
fn product_into(out: &mut [f32], x: Matrix<'_>, weight: Weights<'_>, outputs: usize) {
    if x.rows * x.columns * outputs < 1 << 18 {
        weight.add_product(out, outputs, x);
        return;
    }
    // Each task reads all of the weights or, if they are larger and exceed the cache, all of the rows.
    if x.rows >= outputs || x.columns * outputs < MAX_CACHED_WEIGHTS {
        let rows = rows_per_task(x.rows, MIN_TASK_ROWS);
        out.par_chunks_mut(rows * outputs).enumerate().for_each(|(task, out)| {
            let start = task * rows * x.row_stride;
            let part = Matrix { data: &x.data[start..], rows: out.len() / outputs, ..x };
            weight.add_product(out, outputs, part);
        });
        return;
    }
    let parts: Vec<_> = column_ranges(outputs)
        .into_par_iter()
        .map(|columns| {
            let mut part = vec![0.0; x.rows * columns.len()];
            weight.block(0, columns.start, x.columns, columns.len()).add_product(&mut part, columns.len(), x);
            (columns, part)
        })
        .collect();
    add_columns(out, outputs, &parts);
}

/// The columns of a product, in a part for each thread.
pub fn column_ranges(outputs: usize) -> Vec<Range<usize>> {
    let width = outputs.div_ceil(rayon::current_num_threads()).next_multiple_of(16);
    (0..outputs).step_by(width).map(|start| start..outputs.min(start + width)).collect()
}

/// Adds each part, the rows of some columns, to its columns of `out`.
pub fn add_columns(out: &mut [f32], outputs: usize, parts: &[(Range<usize>, Vec<f32>)]) {
    for (columns, part) in parts {
        for (out, part) in out.chunks_exact_mut(outputs).zip(part.chunks_exact(columns.len())) {
            add_to(&mut out[columns.clone()], part);
        }
    }
}

/// `a + b` of one shape.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let (a, b) = (open(a), open(b));
    // Also in another order than that of the axes, if it is the same one.
    let is_whole = |x: &FlexTensor| x.layout().num_elements() == x.storage::<f32>().len();
    let has_gaps = a.layout().strides().iter().any(|stride| *stride <= 0);
    if a.layout() != b.layout() || has_gaps || !is_whole(&a) || !is_whole(&b) {
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

/// The two parts of what [`cat_channels`] put together, the first of which has so many channels.
pub fn split_channels(x: Tensor<4>, a_channels: usize) -> [Tensor<4>; 2] {
    let (x, [batch, height, width, channels]) = channels_last(x);
    [0..a_channels, a_channels..channels].map(|part| {
        let mut out = Vec::with_capacity(batch * height * width * part.len());
        values(&x).chunks_exact(channels).for_each(|pixel| out.extend_from_slice(&pixel[part.clone()]));
        from_channels_last(out, [batch, height, width, part.len()])
    })
}

/// Nearest-neighbour resize, `source = floor(target * from / to)` as in PyTorch.
pub fn upsample_nearest(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    let (x, [batch, from_height, from_width, channels]) = channels_last(x);
    let x = values(&x);
    let mut out = Vec::with_capacity(batch * height * width * channels);
    for image in 0..batch {
        for y in 0..height {
            let row = image * from_height + nearest(y, from_height, height);
            for column in 0..width {
                let at = (row * from_width + nearest(column, from_width, width)) * channels;
                out.extend_from_slice(&x[at..at + channels]);
            }
        }
    }
    from_channels_last(out, [batch, height, width, channels])
}

/// The gradient with respect to `x`, of those sides, of a function of [`upsample_nearest`]: a pixel has the sum of the
/// gradients of its copies.
pub fn upsample_nearest_gradient(gradient: Tensor<4>, [to_height, to_width]: [usize; 2]) -> Tensor<4> {
    let (gradient, [batch, height, width, channels]) = channels_last(gradient);
    let mut out = vec![0.0; batch * to_height * to_width * channels];
    let images = values(&gradient).chunks_exact(height * width * channels);
    for (image, out) in images.zip(out.chunks_exact_mut(to_height * to_width * channels)) {
        for (at, gradient) in image.chunks_exact(channels).enumerate() {
            let row = nearest(at / width, to_height, height);
            let at = (row * to_width + nearest(at % width, to_width, width)) * channels;
            add_to(&mut out[at..at + channels], gradient);
        }
    }
    from_channels_last(out, [batch, to_height, to_width, channels])
}

/// The pixel of a side that is copied to a longer one.
fn nearest(at: usize, from: usize, to: usize) -> usize {
    ((at as f32 * (from as f32 / to as f32)) as usize).min(from - 1)
}

pub(super) fn add_to(row: &mut [f32], other: &[f32]) {
    row.iter_mut().zip(other).for_each(|(a, b)| *a += b);
}
