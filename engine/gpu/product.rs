//! Convolutions and linear layers: a matrix product over pixels, or tokens, whose patches are never gathered.
//!
//! Each unit sums a small tile of the output in registers, in f32 whatever the tensors hold. Neighbouring units read
//! neighbouring weights and the same inputs, so the first-level cache does what shared memory would, which
//! burn 0.22 gets wrong on drivers without `VK_KHR_workgroup_memory_explicit_layout`. Nothing is tuned at run time: the
//! tile follows from the shape.

use burn::backend::TensorMetadata;
use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{buffer, contiguous, elem_type, empty, vector_width};
use crate::cpu::Conv2dShape;

/// Units beside each other in a cube, over vectors of outputs and over pixels.
const COLUMN_UNITS: u32 = 8;
const ROW_UNITS: u32 = 16;

/// Vectors of outputs per unit.
const COLUMNS: u32 = 2;

/// With fewer units than this, large GPUs wait for memory: smaller tiles then. Tests use less, so that small pictures
/// have every tile.
const MIN_UNITS: usize = if cfg!(test) { 256 } else { 1 << 14 };

/// Multiplications and additions per dispatch. The slowest integrated GPUs do as many in a second, and Windows resets
/// a GPU after two. Tests use less, so that small pictures take several dispatches.
const MAX_DISPATCH_FLOP: usize = if cfg!(test) { 10_000_000 } else { 20_000_000_000 };

/// What is added to the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addend {
    None,
    /// Of the output's shape.
    Same,
    /// One row for each picture.
    PerPicture,
}

/// What is known when a kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tile {
    kernel: u32,
    stride: u32,
    padding: u32,
    /// Pixels per unit.
    rows: u32,
    has_bias: bool,
    addend: Addend,
}

impl Tile {
    /// A unit reads the pixel that it writes.
    fn is_pointwise(self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }
}

/// Sizes; `inputs` and `outputs` are counted in vectors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    height: u32,
    width: u32,
    inputs: u32,
    out_height: u32,
    out_width: u32,
    outputs: u32,
    /// The output pixels of this dispatch, counted over the batch.
    first: u32,
    end: u32,
}

#[cube(launch_unchecked)]
fn product_kernel<E: Float, I: Size, O: Size>(
    x: &[Vector<E, I>],
    weight: &[Vector<E, O>],
    bias: &[Vector<E, O>],
    addend: &[Vector<E, O>],
    out: &mut [Vector<E, O>],
    sizes: Sizes,
    #[comptime] tile: Tile,
    #[define(E)] _dtype: ElemType,
) {
    let rows = comptime!(tile.rows as usize);
    let columns = comptime!(COLUMNS as usize);
    let width = I::value();
    let inputs = sizes.inputs * comptime!(width as u32);
    let area = sizes.out_height * sizes.out_width;
    let last_pixel = sizes.end - 1;
    let first_pixel = sizes.first + CUBE_POS_Y * (comptime!(tile.rows * ROW_UNITS)) + UNIT_POS_Y;
    let first_column = CUBE_POS_X * comptime!(COLUMNS * COLUMN_UNITS) + UNIT_POS_X;

    // What lies beyond the output is computed like its last pixel and column, and not written.
    let mut column = Array::<u32>::new(columns);
    #[unroll]
    for j in 0..columns {
        column[j] = u32::min(first_column + comptime!(j as u32 * COLUMN_UNITS), sizes.outputs - 1);
    }
    let mut at = Array::<u32>::new(rows);
    let mut top = Array::<u32>::new(rows);
    let mut left = Array::<u32>::new(rows);
    let mut image = Array::<u32>::new(rows);
    let mut inside = Array::<f32>::new(rows);
    #[unroll]
    for m in 0..rows {
        let pixel = u32::min(first_pixel + comptime!(m as u32 * ROW_UNITS), last_pixel);
        if comptime!(tile.is_pointwise()) {
            at[m] = pixel * sizes.inputs;
        } else {
            image[m] = pixel / area;
            let pixel = pixel % area;
            top[m] = pixel / sizes.out_width * tile.stride;
            left[m] = pixel % sizes.out_width * tile.stride;
        }
    }

    let mut sums = Array::<Vector<f32, O>>::new(comptime!(rows * columns));
    #[unroll]
    for index in 0..comptime!(rows * columns) {
        sums[index] = Vector::new(0.0);
    }
    for tap in 0..comptime!(tile.kernel * tile.kernel) {
        if comptime!(!tile.is_pointwise()) {
            #[unroll]
            for m in 0..rows {
                // Above and to the left of the picture these wrap to large numbers.
                let y = top[m] + tap / tile.kernel - tile.padding;
                let x = left[m] + tap % tile.kernel - tile.padding;
                let is_inside = y < sizes.height && x < sizes.width;
                inside[m] = select(is_inside, 1.0f32, 0.0f32);
                let pixel = (image[m] * sizes.height + y) * sizes.width + x;
                at[m] = select(is_inside, pixel * sizes.inputs, 0u32);
            }
        }
        let first_weight = tap * inputs * sizes.outputs;
        for input in 0..sizes.inputs {
            let mut xs = Array::<Vector<f32, I>>::new(rows);
            #[unroll]
            for m in 0..rows {
                let value = Vector::<f32, I>::cast_from(x[(at[m] + input) as usize]);
                if comptime!(tile.is_pointwise()) {
                    xs[m] = value;
                } else {
                    xs[m] = value * Vector::new(inside[m]);
                }
            }
            #[unroll]
            for i in 0..width {
                let weight_row =
                    first_weight + (input * comptime!(width as u32) + comptime!(i as u32)) * sizes.outputs;
                #[unroll]
                for j in 0..columns {
                    let w = Vector::<f32, O>::cast_from(weight[(weight_row + column[j]) as usize]);
                    #[unroll]
                    for m in 0..rows {
                        let index = comptime!(m * columns + j);
                        sums[index] = fma(Vector::new(xs[m].extract(i)), w, sums[index]);
                    }
                }
            }
        }
    }

    #[unroll]
    for m in 0..rows {
        let pixel = first_pixel + comptime!(m as u32 * ROW_UNITS);
        #[unroll]
        for j in 0..columns {
            let output = first_column + comptime!(j as u32 * COLUMN_UNITS);
            if pixel < sizes.end && output < sizes.outputs {
                let mut sum = sums[comptime!(m * columns + j)];
                if comptime!(tile.has_bias) {
                    sum += Vector::<f32, O>::cast_from(bias[output as usize]);
                }
                if comptime!(tile.addend == Addend::Same) {
                    sum += Vector::<f32, O>::cast_from(addend[(pixel * sizes.outputs + output) as usize]);
                }
                if comptime!(tile.addend == Addend::PerPicture) {
                    sum +=
                        Vector::<f32, O>::cast_from(addend[(pixel / area * sizes.outputs + output) as usize]);
                }
                out[(pixel * sizes.outputs + output) as usize] = Vector::cast_from(sum);
            }
        }
    }
}

/// The operands of a product. Where there is no bias or no addend, any tensor stands for it.
pub struct Operands {
    pub x: CubeTensor,
    pub weight: CubeTensor,
    pub bias: CubeTensor,
    pub addend: CubeTensor,
}

/// # Shapes
/// - x: `[batch, height, width, inputs]`
/// - weight: `[kernel, kernel, inputs, outputs]`
/// - bias: `[outputs]`
/// - addend: the output's shape, or `[batch, outputs]`
/// - output: `[batch, .., .., outputs]`
pub fn conv2d(operands: Operands, shape: Conv2dShape, has_bias: bool, addend_kind: Addend) -> CubeTensor {
    let x = contiguous(operands.x);
    let weight = contiguous(operands.weight);
    let bias = if has_bias { contiguous(operands.bias) } else { weight.clone() };
    let addend = if addend_kind == Addend::None { weight.clone() } else { contiguous(operands.addend) };
    let [batch, height, width, inputs] = super::dims(&x);
    let outputs = weight.shape()[3];
    let out_height = shape.reach(height);
    let out_width = shape.reach(width);
    let out = empty(&x, [batch, out_height, out_width, outputs]);

    let (input_width, output_width) = (vector_width(inputs), vector_width(outputs));
    let columns = outputs / output_width;
    let column_cubes = columns.div_ceil((COLUMNS * COLUMN_UNITS) as usize);
    let pixels = batch * out_height * out_width;
    let cubes_over = |pixels: usize, rows: u32| pixels.div_ceil((rows * ROW_UNITS) as usize);
    let units = |rows: u32| cubes_over(pixels, rows) * column_cubes * (COLUMN_UNITS * ROW_UNITS) as usize;
    let rows = match pixels {
        ..=16 => 1,
        _ => [8, 4].into_iter().find(|&rows| units(rows) >= MIN_UNITS).unwrap_or(2),
    };
    let tile = Tile {
        kernel: shape.kernel as u32,
        stride: shape.stride as u32,
        padding: shape.pad_before as u32,
        rows,
        has_bias,
        addend: addend_kind,
    };
    let pixel_flop = 2 * shape.kernel * shape.kernel * inputs * outputs;
    let pixels_at_once =
        (MAX_DISPATCH_FLOP / pixel_flop).max(1).next_multiple_of((rows * ROW_UNITS) as usize);
    for first in (0..pixels).step_by(pixels_at_once) {
        let end = (first + pixels_at_once).min(pixels);
        let sizes = SizesLaunch::new(
            height as u32,
            width as u32,
            (inputs / input_width) as u32,
            out_height as u32,
            out_width as u32,
            columns as u32,
            first as u32,
            end as u32,
        );
        let cubes = CubeCount::Static(column_cubes as u32, cubes_over(end - first, rows) as u32, 1);
        // SAFETY: the kernel clamps what it reads, and checks what it writes, to these sizes.
        unsafe {
            product_kernel::launch_unchecked(
                &x.client,
                cubes,
                CubeDim::new_2d(COLUMN_UNITS, ROW_UNITS),
                input_width,
                output_width,
                buffer(&x),
                buffer(&weight),
                buffer(&bias),
                buffer(&addend),
                buffer(&out),
                sizes,
                tile,
                elem_type(&x),
            );
        }
    }
    out
}
