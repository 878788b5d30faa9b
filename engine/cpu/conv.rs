//! Convolution as a matrix product over gathered patches, channels last.

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::gemm::{Matrix, matmul};
use super::rows::{add_columns, add_to, column_ranges};
use super::{channels_last, contiguous, from_channels_last, values, weights, wide};

/// The geometry of a convolution with a square kernel.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dShape {
    pub kernel: usize,
    pub stride: usize,
    /// Zeros above and to the left.
    pub pad_before: usize,
    /// Zeros below and to the right.
    pub pad_after: usize,
}

impl Conv2dShape {
    /// The side of the output, for one of the input.
    pub fn reach(&self, side: usize) -> usize {
        (side + self.pad_before + self.pad_after - self.kernel) / self.stride + 1
    }
}

/// Elements of gathered patches per task: half of a 2 MiB second-level cache.
const PATCH_ELEMENTS: usize = 1 << 18;

thread_local! {
    // Reused by later calls: the page faults of a new megabyte cost more than the arithmetic.
    static PATCHES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `x * weight + bias (+ addend)`.
///
/// # Shapes
/// - x: `[batch, inputs, height, width]`
/// - weight: `[outputs, inputs, kernel, kernel]`, stored as `[kernel, kernel, inputs, outputs]`; f32 or f16
/// - addend: the output's shape, or `[batch, outputs, 1, 1]`
/// - output: `[batch, outputs, ..]`
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    addend: Option<Tensor<4>>,
    shape: Conv2dShape,
) -> Tensor<4> {
    let (x, [batch, height, width, inputs]) = channels_last(x);
    let outputs = weight.dims()[0];
    let weight = contiguous(weight.permute([2, 3, 1, 0]));
    let (out_height, out_width) = (shape.reach(height), shape.reach(width));

    let mut out = start_values(bias, addend, [batch, out_height, out_width, outputs]);
    let source = PatchSource {
        x: values(&x),
        sides: [height, width],
        channels: inputs,
        out_sides: [out_height, out_width],
        shape,
        is_backward: false,
    };

    let taps = shape.kernel * shape.kernel;
    let weight = weights(&weight, taps * inputs, outputs);
    // Adds the product of the rows from `first_row` on with some columns of the weights.
    let multiply = |out: &mut [f32], first_row: usize, columns: Range<usize>| {
        let pixels = out.len() / columns.len();
        // As many taps at once as fit into the cache, in whole kernel rows if possible.
        let taps_at_once = [taps, shape.kernel, 1]
            .into_iter()
            .find(|taps| taps * pixels * inputs <= PATCH_ELEMENTS)
            .unwrap_or(1);
        PATCHES.with_borrow_mut(|patches| {
            for first in (0..taps).step_by(taps_at_once) {
                let depth = taps_at_once * inputs;
                source.gather(patches, first_row, pixels / out_width, first..first + taps_at_once);
                let patches = Matrix::rows(patches, pixels, depth, depth);
                let weight = weight.block(first * inputs, columns.start, depth, columns.len());
                weight.add_product(out, columns.len(), patches);
            }
        });
    };
    let rows = batch * out_height;
    let rows_per_task = rows_per_task(rows, out_width);
    if weight.is_half() && rows <= rows_per_task * rayon::current_num_threads() {
        // Widening takes longer than the few products, so no two threads widen the same weights.
        let parts: Vec<_> = column_ranges(outputs)
            .into_par_iter()
            .map(|columns| {
                let mut part = vec![0.0; rows * out_width * columns.len()];
                multiply(&mut part, 0, columns.clone());
                (columns, part)
            })
            .collect();
        add_columns(&mut out, outputs, &parts);
    } else {
        out.par_chunks_mut(rows_per_task * out_width * outputs).enumerate().for_each(|(task, out)| {
            multiply(out, task * rows_per_task, 0..outputs);
        });
    }
    from_channels_last(out, [batch, out_height, out_width, outputs])
}

/// The gradient with respect to `x` of a function of [`conv2d`], whose gradient with respect to the output is `gradient`: each
/// input takes from the outputs that read it, by the same weights.
///
/// # Shapes
/// - gradient: that of the output
/// - output: `[batch, inputs, height, width]`
pub fn conv2d_gradient(
    gradient: Tensor<4>,
    weight: Tensor<4>,
    [height, width]: [usize; 2],
    shape: Conv2dShape,
) -> Tensor<4> {
    let (gradient, [batch, from_height, from_width, outputs]) = channels_last(gradient);
    let inputs = weight.dims()[1];
    let weight = contiguous(wide(weight).permute([2, 3, 1, 0]));
    let source = PatchSource {
        x: values(&gradient),
        sides: [from_height, from_width],
        channels: outputs,
        out_sides: [height, width],
        shape,
        is_backward: true,
    };
    let mut out = vec![0.0; batch * height * width * inputs];
    let rows_per_task = rows_per_task(batch * height, width);
    out.par_chunks_mut(rows_per_task * width * inputs).enumerate().for_each(|(task, out)| {
        let pixels = out.len() / inputs;
        PATCHES.with_borrow_mut(|patches| {
            // The weights of one tap are a matrix that can be read transposed; those of several are not.
            let taps = values(&weight).chunks_exact(inputs * outputs);
            for (tap, weight) in taps.enumerate() {
                source.gather(patches, task * rows_per_task, pixels / width, tap..tap + 1);
                matmul(
                    out,
                    inputs,
                    Matrix::rows(patches, pixels, outputs, outputs),
                    Matrix::rows(weight, inputs, outputs, outputs).transposed(),
                    true,
                );
            }
        });
    });
    from_channels_last(out, [batch, height, width, inputs])
}

/// Output rows per task: about 256 pixels, distributed evenly among the threads.
fn rows_per_task(rows: usize, width: usize) -> usize {
    let threads = rayon::current_num_threads();
    let tasks = (rows * width).div_ceil(256).max(threads.min(rows));
    rows.div_ceil(tasks.next_multiple_of(threads)).max(1)
}

/// The initial values that the product is added to: the bias and the addend.
fn start_values(bias: Option<Tensor<1>>, addend: Option<Tensor<4>>, shape: [usize; 4]) -> Vec<f32> {
    let [batch, height, width, outputs] = shape;
    let area = height * width * outputs;
    let bias = bias.map(contiguous);
    let bias = bias.as_ref().map(values);
    let Some(addend) = addend else {
        return match bias {
            Some(bias) => bias.repeat(batch * height * width),
            None => vec![0.0; batch * area],
        };
    };
    let (addend, addend_shape) = channels_last(addend);
    if addend_shape[1] * addend_shape[2] == 1 {
        let mut out = Vec::with_capacity(batch * area);
        for row in values(&addend).chunks_exact(outputs) {
            let mut row = row.to_vec();
            if let Some(bias) = bias {
                add_to(&mut row, bias);
            }
            (0..height * width).for_each(|_| out.extend_from_slice(&row));
        }
        return out;
    }
    let mut out = values(&addend).to_vec();
    assert_eq!(out.len(), batch * area, "an addend of the output's shape");
    if let Some(bias) = bias {
        out.chunks_exact_mut(outputs).for_each(|row| add_to(row, bias));
    }
    out
}

/// What a convolution or its gradient reads, to gather patches from.
struct PatchSource<'a> {
    x: &'a [f32],
    /// Height and width.
    sides: [usize; 2],
    channels: usize,
    out_sides: [usize; 2],
    shape: Conv2dShape,
    is_backward: bool,
}

impl PatchSource<'_> {
    /// Writes the patch of every pixel of `rows` output rows, counted over the whole batch from
    /// `first_row`, as rows of `taps * channels`.
    fn gather(&self, patches: &mut Vec<f32>, first_row: usize, rows: usize, taps: Range<usize>) {
        let Self { sides: [height, width], channels, out_sides: [out_height, out_width], .. } = *self;
        let kernel = self.shape.kernel;
        patches.clear();
        for row in first_row..first_row + rows {
            let (image, y) = (row / out_height, row % out_height);
            let image = &self.x[image * height * width * channels..];
            for column in 0..out_width {
                for tap in taps.clone() {
                    let source_y = self.source(y, tap / kernel);
                    let source_x = self.source(column, tap % kernel);
                    if source_y < height && source_x < width {
                        let at = (source_y * width + source_x) * channels;
                        patches.extend_from_slice(&image[at..at + channels]);
                    } else {
                        patches.resize(patches.len() + channels, 0.0);
                    }
                }
            }
        }
    }

    /// Where a tap reads for an output, which is beyond all sides if there is nothing.
    fn source(&self, at: usize, tap: usize) -> usize {
        let Conv2dShape { stride, pad_before, .. } = self.shape;
        if !self.is_backward {
            return (at * stride + tap).wrapping_sub(pad_before);
        }
        // The output of the convolution that reads `at` with this tap.
        let before = (at + pad_before).wrapping_sub(tap);
        if before.is_multiple_of(stride) { before / stride } else { usize::MAX }
    }
}
