//! Weights of products, turned so that their outputs lie last, as the kernels of the CPU read them.

use std::array;

use super::dtype::{TensorDtype, widen_halves};

/// A weight `[outputs, inputs, ..]` whose memory is to be `[.., inputs, outputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Transpose {
    outputs: usize,
    inputs: usize,
    /// Places of a convolution's kernel; 1 for a matrix.
    taps: usize,
}

/// Sides of the tiles that are turned at a time: both fit into the nearest cache, and the lines of
/// the weight are written whole.
const TILE: usize = 64;
/// Sides of the squares that a tile is made of.
const EDGE: usize = 8;

impl Transpose {
    pub fn of(shape: &[usize]) -> Self {
        Self { outputs: shape[0], inputs: shape[1], taps: shape[2..].iter().product() }
    }

    /// Numbers of an output, which come one after the other.
    pub fn row_len(&self) -> usize {
        self.inputs * self.taps
    }

    /// Outputs that are best turned together: a multiple of this.
    pub const ROWS: usize = TILE;

    /// Puts the outputs from `first` on into their place. `bytes` are whole outputs, little-endian.
    pub fn put(&self, bytes: &[u8], kind: TensorDtype, first: usize, turned: &mut [f32]) {
        if kind == TensorDtype::F32 {
            let copy = |words: &[u32], values: &mut [f32]| {
                values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_bits(*word));
            };
            self.put_tiles(bytes.as_chunks().0, u32::from_le_bytes, first, turned, copy);
        } else {
            let widen = |halves: &[u16], values: &mut [f32]| widen_halves(halves, kind, values);
            self.put_tiles(bytes.as_chunks().0, u16::from_le_bytes, first, turned, widen);
        }
    }

    fn put_tiles<B: Copy, N: Copy + Default>(
        &self,
        numbers: &[B],
        number: impl Fn(B) -> N,
        first: usize,
        turned: &mut [f32],
        widen: impl Fn(&[N], &mut [f32]),
    ) {
        let row_len = self.row_len();
        let mut tile = [[N::default(); TILE]; TILE];
        for (block, rows) in numbers.chunks(TILE * row_len).enumerate() {
            let output = first + block * TILE;
            let width = rows.len() / row_len;
            for start in (0..row_len).step_by(TILE) {
                let height = TILE.min(row_len - start);
                for (column, rows) in (0..).step_by(EDGE).zip(rows.chunks(EDGE * row_len)) {
                    for at in (0..height).step_by(EDGE) {
                        let square = square(rows, row_len, start + at, &number);
                        for (line, turned) in tile[at..at + EDGE].iter_mut().zip(square) {
                            line[column..column + EDGE].copy_from_slice(&turned);
                        }
                    }
                }
                for (index, line) in (start..).zip(&tile[..height]) {
                    let (input, tap) = (index / self.taps, index % self.taps);
                    let at = (tap * self.inputs + input) * self.outputs + output;
                    widen(&line[..width], &mut turned[at..at + width]);
                }
            }
        }
    }
}

/// What is at `at` in up to [`EDGE`] rows, turned; small enough for registers. Beyond the rows and
/// their ends there are zeros.
fn square<B: Copy, N: Copy + Default>(
    rows: &[B],
    row_len: usize,
    at: usize,
    number: impl Fn(B) -> N,
) -> [[N; EDGE]; EDGE] {
    let mut square = [[N::default(); EDGE]; EDGE];
    for (line, row) in square.iter_mut().zip(rows.chunks_exact(row_len)) {
        match row[at..].first_chunk::<EDGE>() {
            Some(values) => *line = values.map(&number),
            None => line.iter_mut().zip(&row[at..]).for_each(|(place, value)| *place = number(*value)),
        }
    }
    array::from_fn(|column| array::from_fn(|line| square[line][column]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_to_its_place_whatever_the_sides() {
        for [outputs, inputs, taps] in [[1, 1, 1], [64, 8, 9], [70, 13, 9], [5, 200, 1], [129, 67, 4]] {
            let turn = Transpose::of(&[outputs, inputs, taps]);
            let count = outputs * inputs * taps;
            let numbers: Vec<f32> = (0..count).map(|value| value as f32).collect();
            let bytes: Vec<u8> = numbers.iter().flat_map(|value| value.to_le_bytes()).collect();
            let mut turned = vec![f32::NAN; count];
            let row_len = 4 * turn.row_len();
            let cut = outputs / 2;
            turn.put(&bytes[cut * row_len..], TensorDtype::F32, cut, &mut turned);
            turn.put(&bytes[..cut * row_len], TensorDtype::F32, 0, &mut turned);
            let expected = (0..count).map(|at| {
                let (tap, rest) = (at / (inputs * outputs), at % (inputs * outputs));
                let (input, output) = (rest / outputs, rest % outputs);
                numbers[(output * inputs + input) * taps + tap]
            });
            assert!(expected.eq(turned), "{outputs} outputs, {inputs} inputs, {taps} taps");
        }
    }

    #[test]
    fn halves_are_widened_on_the_way() {
        // 1, -2, 0.5 and the largest in f16; 1, -2, 0.5 and 3 in bf16.
        let cases = [
            (TensorDtype::F16, [0x3c00_u16, 0xc000, 0x3800, 0x7bff], [1.0, -2.0, 0.5, 65504.0]),
            (TensorDtype::BF16, [0x3f80, 0xc000, 0x3f00, 0x4040], [1.0, -2.0, 0.5, 3.0]),
        ];
        for (kind, halves, [a, b, c, d]) in cases {
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            let mut turned = [0.0; 4];
            Transpose::of(&[2, 2]).put(&bytes, kind, 0, &mut turned);
            assert_eq!(turned, [a, c, b, d]);
        }
    }
}
