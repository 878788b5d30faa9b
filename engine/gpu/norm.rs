//! Group and layer normalisation: statistics in f32, of parts that are merged as Chan et al. (1983) do, "Algorithms for
//! Computing the Sample Variance", so that a large mean does not cost precision.

use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{buffer, contiguous, cubes, dims, elem_type, empty, empty_f32, vector_width};

/// Units that keep a GPU busy.
const UNITS: usize = 1 << 14;
const CUBE: u32 = 128;

/// The mean, and the sum of squared deviations from it, of each channel over a chunk of a picture's pixels.
#[cube(launch_unchecked)]
fn chunk_statistics<E: Float, N: Size>(
    x: &[Vector<E, N>],
    statistics: &mut [Vector<f32, N>],
    pixels: u32,
    channels: u32,
    pixels_of_chunk: u32,
    chunks: u32,
    units: u32,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let channel = unit % channels;
        let chunk = unit / channels % chunks;
        let image = unit / channels / chunks;
        let start = chunk * pixels_of_chunk;
        let end = u32::min(start + pixels_of_chunk, pixels);
        let mut sum = Vector::<f32, N>::new(0.0);
        for pixel in start..end {
            sum += Vector::cast_from(x[((image * pixels + pixel) * channels + channel) as usize]);
        }
        let mean = sum / Vector::new(f32::cast_from(end - start));
        let mut squares = Vector::<f32, N>::new(0.0);
        for pixel in start..end {
            let value =
                Vector::<f32, N>::cast_from(x[((image * pixels + pixel) * channels + channel) as usize]);
            let deviation = value - mean;
            squares += deviation * deviation;
        }
        statistics[(unit * 2) as usize] = mean;
        statistics[(unit * 2 + 1) as usize] = squares;
    }
}

/// Merges the chunks of each channel.
#[cube(launch_unchecked)]
fn merge_chunks<N: Size>(
    statistics: &[Vector<f32, N>],
    merged: &mut [Vector<f32, N>],
    pixels: u32,
    channels: u32,
    pixels_of_chunk: u32,
    chunks: u32,
    units: u32,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let channel = unit % channels;
        let first = unit / channels * chunks * channels + channel;
        let mut sum = Vector::<f32, N>::new(0.0);
        for chunk in 0..chunks {
            let count = u32::min(pixels_of_chunk, pixels - chunk * pixels_of_chunk);
            sum += statistics[((first + chunk * channels) * 2) as usize] * Vector::new(f32::cast_from(count));
        }
        let mean = sum / Vector::new(f32::cast_from(pixels));
        let mut squares = Vector::<f32, N>::new(0.0);
        for chunk in 0..chunks {
            let count = u32::min(pixels_of_chunk, pixels - chunk * pixels_of_chunk);
            let at = (first + chunk * channels) * 2;
            let deviation = statistics[at as usize] - mean;
            squares +=
                statistics[(at + 1) as usize] + deviation * deviation * Vector::new(f32::cast_from(count));
        }
        merged[(unit * 2) as usize] = mean;
        merged[(unit * 2 + 1) as usize] = squares;
    }
}

/// Merges the channels of each group, normalises, scales and shifts, and applies SiLU if `silu`.
#[cube(launch_unchecked)]
fn normalise_groups<E: Float, N: Size>(
    x: &[Vector<E, N>],
    merged: &[Vector<f32, N>],
    weight: &[Vector<E, N>],
    bias: &[Vector<E, N>],
    y: &mut [Vector<E, N>],
    pixels: u32,
    channels: u32,
    in_group: u32,
    pixels_of_unit: u32,
    parts: u32,
    units: u32,
    epsilon: f32,
    #[comptime] silu: bool,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let channel = unit % channels;
        let part = unit / channels % parts;
        let image = unit / channels / parts;
        let first = image * channels + channel / in_group * in_group;
        let mut sum = Vector::<f32, N>::new(0.0);
        for index in 0..in_group {
            sum += merged[((first + index) * 2) as usize];
        }
        let width = N::value();
        let count = f32::cast_from(in_group * comptime!(width as u32));
        let mean = Vector::<f32, N>::new(total::<N>(sum) / count);
        let mut squares = Vector::<f32, N>::new(0.0);
        for index in 0..in_group {
            let at = (first + index) * 2;
            let deviation = merged[at as usize] - mean;
            squares +=
                merged[(at + 1) as usize] + deviation * deviation * Vector::new(f32::cast_from(pixels));
        }
        let variance = total::<N>(squares) / (count * f32::cast_from(pixels));
        let scale = Vector::new(1.0 / f32::sqrt(variance + epsilon))
            * Vector::<f32, N>::cast_from(weight[channel as usize]);
        let shift = Vector::<f32, N>::cast_from(bias[channel as usize]);
        let start = part * pixels_of_unit;
        let end = u32::min(start + pixels_of_unit, pixels);
        for pixel in start..end {
            let at = ((image * pixels + pixel) * channels + channel) as usize;
            let mut value = (Vector::<f32, N>::cast_from(x[at]) - mean) * scale + shift;
            if comptime!(silu) {
                value /= Vector::new(1.0) + (Vector::new(0.0) - value).exp();
            }
            y[at] = Vector::cast_from(value);
        }
    }
}

/// The sum of a vector's numbers.
#[cube]
fn total<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut sum = vector.extract(0usize);
    #[unroll]
    for index in 1..N::value() {
        sum += vector.extract(index);
    }
    sum
}

/// # Shapes
/// - x and output: `[batch, height, width, channels]`
/// - weight, bias: `[channels]`
pub fn group_norm(
    x: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    groups: usize,
    epsilon: f32,
    silu: bool,
) -> CubeTensor {
    let [x, weight, bias] = [x, weight, bias].map(contiguous);
    let [batch, height, width, channels] = dims(&x);
    let (client, dtype, pixels) = (&x.client, elem_type(&x), height * width);
    let vector = vector_width(channels / groups);
    let vectors = channels / vector;
    let pixels_of_chunk = (pixels * vectors * batch / UNITS).clamp(8, 1024);
    let chunks = pixels.div_ceil(pixels_of_chunk);
    let statistics = empty_f32(&x, [batch, chunks, channels, 2]);
    let merged = empty_f32(&x, [batch, 1, channels, 2]);
    let y = empty(&x, [batch, height, width, channels]);
    let pixels_of_unit = (pixels * vectors * batch / UNITS).clamp(1, 32);
    let parts = pixels.div_ceil(pixels_of_unit);
    let [chunk_units, merge_units, units] = [chunks, 1, parts].map(|count| batch * count * vectors);
    // SAFETY: no unit beyond the given number reads or writes, and each number below it is of one place.
    unsafe {
        chunk_statistics::launch_unchecked(
            client,
            cubes(chunk_units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&x),
            buffer(&statistics),
            pixels as u32,
            vectors as u32,
            pixels_of_chunk as u32,
            chunks as u32,
            chunk_units as u32,
            dtype,
        );
        merge_chunks::launch_unchecked(
            client,
            cubes(merge_units, 32),
            CubeDim::new_1d(32),
            vector,
            buffer(&statistics),
            buffer(&merged),
            pixels as u32,
            vectors as u32,
            pixels_of_chunk as u32,
            chunks as u32,
            merge_units as u32,
        );
        normalise_groups::launch_unchecked(
            client,
            cubes(units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&x),
            buffer(&merged),
            buffer(&weight),
            buffer(&bias),
            buffer(&y),
            pixels as u32,
            vectors as u32,
            (channels / groups / vector) as u32,
            pixels_of_unit as u32,
            parts as u32,
            units as u32,
            epsilon,
            silu,
            dtype,
        );
    }
    y
}

/// The mean, and the sum of squared deviations from it, of equal parts of each token.
#[cube(launch_unchecked)]
fn part_statistics<E: Float, N: Size>(
    x: &[Vector<E, N>],
    statistics: &mut [f32],
    in_part: u32,
    units: u32,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let first = unit * in_part;
        let vector = N::value();
        let count = f32::cast_from(in_part * comptime!(vector as u32));
        let mut sum = Vector::<f32, N>::new(0.0);
        for index in 0..in_part {
            sum += Vector::cast_from(x[(first + index) as usize]);
        }
        let mean = total::<N>(sum) / count;
        let mut squares = Vector::<f32, N>::new(0.0);
        for index in 0..in_part {
            let deviation = Vector::<f32, N>::cast_from(x[(first + index) as usize]) - Vector::new(mean);
            squares += deviation * deviation;
        }
        statistics[(unit * 2) as usize] = mean;
        statistics[(unit * 2 + 1) as usize] = total::<N>(squares);
    }
}

/// Merges the parts of each token, normalises, scales and shifts. A unit takes every `lanes`th vector of a token.
#[cube(launch_unchecked)]
fn normalise_tokens<E: Float, N: Size>(
    x: &[Vector<E, N>],
    statistics: &[f32],
    weight: &[Vector<E, N>],
    bias: &[Vector<E, N>],
    y: &mut [Vector<E, N>],
    width: u32,
    lanes: u32,
    parts: u32,
    units: u32,
    epsilon: f32,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let (lane, token) = (unit % lanes, unit / lanes);
        let mut sum = 0.0f32;
        for part in 0..parts {
            sum += statistics[((token * parts + part) * 2) as usize];
        }
        let mean = sum / f32::cast_from(parts);
        let vector = N::value();
        let count = f32::cast_from(width * comptime!(vector as u32));
        let mut squares = 0.0f32;
        for part in 0..parts {
            let at = (token * parts + part) * 2;
            let deviation = statistics[at as usize] - mean;
            squares +=
                statistics[(at + 1) as usize] + deviation * deviation * (count / f32::cast_from(parts));
        }
        let scale = 1.0 / f32::sqrt(squares / count + epsilon);
        for index in range_stepped(lane, width, lanes) {
            let at = (token * width + index) as usize;
            let value = (Vector::<f32, N>::cast_from(x[at]) - Vector::new(mean)) * Vector::new(scale);
            let weight = Vector::<f32, N>::cast_from(weight[index as usize]);
            y[at] = Vector::cast_from(value * weight + Vector::<f32, N>::cast_from(bias[index as usize]));
        }
    }
}

/// # Shapes
/// - x and output: `[batch, tokens, width]`
/// - weight, bias: `[width]`
pub fn layer_norm(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, epsilon: f32) -> CubeTensor {
    let [x, weight, bias] = [x, weight, bias].map(contiguous);
    let [batch, tokens, width] = dims(&x);
    let (client, dtype) = (&x.client, elem_type(&x));
    let vector = vector_width(width);
    let vectors = width / vector;
    let divisor = |most: usize| (1..=most).rev().find(|&count| vectors.is_multiple_of(count)).unwrap_or(1);
    let parts = divisor(8);
    let lanes = vectors / divisor(4);
    let statistics = empty_f32(&x, [batch, tokens, parts, 2]);
    let y = empty(&x, [batch, tokens, width]);
    let [part_units, units] = [parts, lanes].map(|count| batch * tokens * count);
    // SAFETY: no unit beyond the given number reads or writes, and each number below it is of one place.
    unsafe {
        part_statistics::launch_unchecked(
            client,
            cubes(part_units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&x),
            buffer(&statistics),
            (vectors / parts) as u32,
            part_units as u32,
            dtype,
        );
        normalise_tokens::launch_unchecked(
            client,
            cubes(units, CUBE),
            CubeDim::new_1d(CUBE),
            vector,
            buffer(&x),
            buffer(&statistics),
            buffer(&weight),
            buffer(&bias),
            buffer(&y),
            vectors as u32,
            lanes as u32,
            parts as u32,
            units as u32,
            epsilon,
            dtype,
        );
    }
    y
}
