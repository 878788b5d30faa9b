//! Kernels over rows of channels: the gate of a feed-forward layer, concatenation, upsampling.

use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{buffer, contiguous, cubes, dims, elem_type, empty, vector_width};

const CUBE: u32 = 128;

#[cube(launch_unchecked)]
fn geglu_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    y: &mut [Vector<E, N>],
    width: u32,
    units: u32,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let at = unit / width * 2 * width + unit % width;
        let value = Vector::<f32, N>::cast_from(x[at as usize]);
        let gate = Vector::<f32, N>::cast_from(x[(at + width) as usize]);
        let erf = (gate * Vector::new(comptime!(std::f32::consts::FRAC_1_SQRT_2))).erf();
        let gelu = Vector::new(0.5) * gate * (Vector::new(1.0) + erf);
        y[unit as usize] = Vector::cast_from(value * gelu);
    }
}

/// The first half of each row times the GELU of the second.
///
/// # Shapes
/// - x: `[batch, tokens, 2 * width]`
/// - output: `[batch, tokens, width]`
pub fn geglu(x: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    let [batch, tokens, double] = dims(&x);
    let width = double / 2;
    let y = empty(&x, [batch, tokens, width]);
    let vector = vector_width(width);
    let units = batch * tokens * width / vector;
    // SAFETY: no unit beyond the given number reads or writes, and each number below it is of one place.
    unsafe {
        geglu_kernel::launch_unchecked(
            &x.client,
            cubes(units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&x),
            buffer(&y),
            (width / vector) as u32,
            units as u32,
            elem_type(&x),
        );
    }
    y
}

#[cube(launch_unchecked)]
fn cat_kernel<E: Float, N: Size>(
    a: &[Vector<E, N>],
    b: &[Vector<E, N>],
    y: &mut [Vector<E, N>],
    a_width: u32,
    b_width: u32,
    units: u32,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let (row, column) = (unit / (a_width + b_width), unit % (a_width + b_width));
        if column < a_width {
            y[unit as usize] = a[(row * a_width + column) as usize];
        } else {
            y[unit as usize] = b[(row * b_width + column - a_width) as usize];
        }
    }
}

/// Concatenates rows of channels.
///
/// # Shapes
/// - a, b and output: `[batch, height, width, channels]`
pub fn cat_channels(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let [a, b] = [a, b].map(contiguous);
    let ([batch, height, width, a_channels], [.., b_channels]) = (dims(&a), dims::<4>(&b));
    let y = empty(&a, [batch, height, width, a_channels + b_channels]);
    let vector = vector_width(a_channels).min(vector_width(b_channels));
    let units = batch * height * width * (a_channels + b_channels) / vector;
    // SAFETY: no unit beyond the given number reads or writes, and each number below it is of one place.
    unsafe {
        cat_kernel::launch_unchecked(
            &a.client,
            cubes(units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&a),
            buffer(&b),
            buffer(&y),
            (a_channels / vector) as u32,
            (b_channels / vector) as u32,
            units as u32,
            elem_type(&a),
        );
    }
    y
}

#[cube(launch_unchecked)]
fn upsample_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    y: &mut [Vector<E, N>],
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    channels: u32,
    units: u32,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let (channel, pixel) = (unit % channels, unit / channels);
        let (column, row) = (pixel % out_width, pixel / out_width % out_height);
        let image = pixel / out_width / out_height;
        let from_row = u32::min(row * height / out_height, height - 1);
        let from_column = u32::min(column * width / out_width, width - 1);
        let from = (image * height + from_row) * width + from_column;
        y[unit as usize] = x[(from * channels + channel) as usize];
    }
}

/// Nearest-neighbour resize.
///
/// # Shapes
/// - x: `[batch, .., .., channels]`
/// - output: `[batch, height, width, channels]`
pub fn upsample_nearest(x: CubeTensor, height: usize, width: usize) -> CubeTensor {
    let x = contiguous(x);
    let [batch, from_height, from_width, channels] = dims(&x);
    let y = empty(&x, [batch, height, width, channels]);
    let vector = vector_width(channels);
    let units = batch * height * width * channels / vector;
    // SAFETY: no unit beyond the given number reads or writes, and each number below it is of one place.
    unsafe {
        upsample_kernel::launch_unchecked(
            &x.client,
            cubes(units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&x),
            buffer(&y),
            from_height as u32,
            from_width as u32,
            height as u32,
            width as u32,
            (channels / vector) as u32,
            units as u32,
            elem_type(&x),
        );
    }
    y
}
