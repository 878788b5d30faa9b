//! Convolution as a matrix product over gathered patches, channels last.

use std::cell::RefCell;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::gemm::Matrix;
use super::rows::add_to;
use super::{channels_last, contiguous, from_channels_last, values, weights};

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
    let source = PatchSource { x: values(&x), height, width, inputs, out_height, out_width, shape };

    let weight = weights(&weight);
    let taps = shape.kernel * shape.kernel;
    let rows_per_task = rows_per_task(batch * out_height, out_width);
    out.par_chunks_mut(rows_per_task * out_width * outputs).enumerate().for_each(|(task, out)| {
        let pixels = out.len() / outputs;
        // As many taps at once as fit into the cache, in whole kernel rows if possible.
        let taps_at_once = [taps, shape.kernel, 1]
            .into_iter()
            .find(|taps| taps * pixels * inputs <= PATCH_ELEMENTS)
            .unwrap_or(1);
        PATCHES.with_borrow_mut(|patches| {
            for first in (0..taps).step_by(taps_at_once) {
                let depth = taps_at_once * inputs;
                source.gather(patches, task * rows_per_task, pixels / out_width, first..first + taps_at_once);
                let patches = Matrix::rows(patches, pixels, depth, depth);
                weight.from(first * inputs * outputs).add_product(out, outputs, patches, outputs, outputs);
            }
        });
    });
    from_channels_last(out, [batch, out_height, out_width, outputs])
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

/// The input of a convolution, to gather patches from.
struct PatchSource<'a> {
    x: &'a [f32],
    height: usize,
    width: usize,
    inputs: usize,
    out_height: usize,
    out_width: usize,
    shape: Conv2dShape,
}

impl PatchSource<'_> {
    /// Writes the patch of every pixel of `rows` output rows, counted over the whole batch from
    /// `first_row`, as rows of `taps * inputs`.
    fn gather(&self, patches: &mut Vec<f32>, first_row: usize, rows: usize, taps: std::ops::Range<usize>) {
        let Conv2dShape { kernel, stride, pad_before, .. } = self.shape;
        patches.clear();
        for row in first_row..first_row + rows {
            let (image, y) = (row / self.out_height, row % self.out_height);
            let image = &self.x[image * self.height * self.width * self.inputs..];
            for column in 0..self.out_width {
                for tap in taps.clone() {
                    let source_y = (y * stride + tap / kernel).wrapping_sub(pad_before);
                    let source_x = (column * stride + tap % kernel).wrapping_sub(pad_before);
                    if source_y < self.height && source_x < self.width {
                        let at = (source_y * self.width + source_x) * self.inputs;
                        patches.extend_from_slice(&image[at..at + self.inputs]);
                    } else {
                        patches.resize(patches.len() + self.inputs, 0.0);
                    }
                }
            }
        }
    }
}
