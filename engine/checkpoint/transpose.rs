//! Transposes weights so that their outputs, or their inputs, are last in memory, as the kernels read them.

use std::array;

use half::f16;

use super::dtype::{TensorDtype, to_f32, widen_halves};

/// Stores a weight `[outputs, inputs, ..]` in memory as `[.., inputs, outputs]`, or as `[outputs, .., inputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Transpose {
    outputs: usize,
    inputs: usize,
    /// Positions of a convolution's kernel; 1 for a matrix.
    taps: usize,
}

/// Side of the tiles that are transposed at a time: source and target fit into the first-level cache, and
/// whole cache lines are written.
const TILE: usize = 64;
/// Side of the squares that a tile consists of.
const EDGE: usize = 8;

impl Transpose {
    pub fn new(shape: &[usize]) -> Self {
        Self { outputs: shape[0], inputs: shape[1], taps: shape[2..].iter().product() }
    }

    /// Numbers of one output, which are consecutive.
    pub fn row_len(&self) -> usize {
        self.inputs * self.taps
    }

    /// The number of outputs transposed together should be a multiple of this.
    pub const ROWS: usize = TILE;

    /// Writes the outputs that start at `first` to their positions. `bytes` are whole outputs,
    /// little-endian.
    pub fn write_rows(&self, bytes: &[u8], dtype: TensorDtype, first: usize, out: &mut [f32]) {
        match dtype {
            TensorDtype::F32 => {
                let copy = |words: &[u32], values: &mut [f32]| {
                    values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_bits(*word));
                };
                self.write_tiles(bytes.as_chunks().0, u32::from_le_bytes, first, out, copy);
            }
            TensorDtype::F16 | TensorDtype::BF16 => {
                let widen = |halves: &[u16], values: &mut [f32]| widen_halves(halves, dtype, values);
                self.write_tiles(bytes.as_chunks().0, u16::from_le_bytes, first, out, widen);
            }
            // Rare, so they are converted beforehand.
            TensorDtype::F64 | TensorDtype::F8E4M3 | TensorDtype::F8E5M2 => {
                let copy = |numbers: &[f32], values: &mut [f32]| values.copy_from_slice(numbers);
                self.write_tiles(&to_f32(bytes, dtype), |number| number, first, out, copy);
            }
        }
    }

    /// [`write_rows`](Self::write_rows) for numbers in half precision.
    pub fn write_half_rows(&self, numbers: &[f16], first: usize, out: &mut [f16]) {
        self.write_tiles(numbers, |number| number, first, out, |numbers, out| out.copy_from_slice(numbers));
    }

    /// [`write_half_rows`](Self::write_half_rows), in the order `[outputs, .., inputs]`.
    pub fn write_half_rows_inputs_last(&self, numbers: &[f16], first: usize, out: &mut [f16]) {
        let row_len = self.row_len();
        for (row, out) in numbers.chunks_exact(row_len).zip(out[first * row_len..].chunks_exact_mut(row_len))
        {
            for (index, &number) in row.iter().enumerate() {
                out[index % self.taps * self.inputs + index / self.taps] = number;
            }
        }
    }

    fn write_tiles<B: Copy, N: Copy + Default, T>(
        &self,
        numbers: &[B],
        number: impl Fn(B) -> N,
        first: usize,
        out: &mut [T],
        convert: impl Fn(&[N], &mut [T]),
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
                        for (line, values) in tile[at..at + EDGE].iter_mut().zip(square) {
                            line[column..column + EDGE].copy_from_slice(&values);
                        }
                    }
                }
                for (index, line) in (start..).zip(&tile[..height]) {
                    let (input, tap) = (index / self.taps, index % self.taps);
                    let at = (tap * self.inputs + input) * self.outputs + output;
                    convert(&line[..width], &mut out[at..at + width]);
                }
            }
        }
    }
}

/// The transpose of [`EDGE`] columns, from column `at` on, of up to [`EDGE`] rows; small enough for
/// registers. Missing rows and columns are zeros.
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
            None => line.iter_mut().zip(&row[at..]).for_each(|(target, value)| *target = number(*value)),
        }
    }
    array::from_fn(|column| array::from_fn(|line| square[line][column]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_moved_to_its_transposed_position_for_any_shape() {
        for [outputs, inputs, taps] in [[1, 1, 1], [64, 8, 9], [70, 13, 9], [5, 200, 1], [129, 67, 4]] {
            let transpose = Transpose::new(&[outputs, inputs, taps]);
            let count = outputs * inputs * taps;
            let numbers: Vec<f32> = (0..count).map(|value| value as f32).collect();
            let bytes: Vec<u8> = numbers.iter().flat_map(|value| value.to_le_bytes()).collect();
            let mut out = vec![f32::NAN; count];
            let row_len = 4 * transpose.row_len();
            let cut = outputs / 2;
            transpose.write_rows(&bytes[cut * row_len..], TensorDtype::F32, cut, &mut out);
            transpose.write_rows(&bytes[..cut * row_len], TensorDtype::F32, 0, &mut out);
            let expected = (0..count).map(|at| {
                let (tap, rest) = (at / (inputs * outputs), at % (inputs * outputs));
                let (input, output) = (rest / outputs, rest % outputs);
                numbers[(output * inputs + input) * taps + tap]
            });
            assert!(expected.eq(out), "{outputs} outputs, {inputs} inputs, {taps} taps");

            let halves: Vec<f16> = (0..count).map(|value| f16::from_bits((value % 0x7c00) as u16)).collect();
            let row_len = transpose.row_len();
            let [mut outputs_last, mut inputs_last] = [(); 2].map(|()| vec![f16::NAN; count]);
            for rows in [cut..outputs, 0..cut] {
                let part = &halves[rows.start * row_len..rows.end * row_len];
                transpose.write_half_rows(part, rows.start, &mut outputs_last);
                transpose.write_half_rows_inputs_last(part, rows.start, &mut inputs_last);
            }
            for (output, input, tap) in (0..count).map(|at| (at / row_len, at % row_len / taps, at % taps)) {
                let number = halves[(output * inputs + input) * taps + tap];
                assert_eq!(outputs_last[(tap * inputs + input) * outputs + output], number);
                assert_eq!(inputs_last[(output * taps + tap) * inputs + input], number);
            }
        }
    }

    #[test]
    fn half_precision_numbers_are_widened_while_transposing() {
        // 1, -2, 0.5 and the largest in f16; 1, -2, 0.5 and 3 in bf16.
        let cases = [
            (TensorDtype::F16, [0x3c00_u16, 0xc000, 0x3800, 0x7bff], [1.0, -2.0, 0.5, 65504.0]),
            (TensorDtype::BF16, [0x3f80, 0xc000, 0x3f00, 0x4040], [1.0, -2.0, 0.5, 3.0]),
        ];
        for (dtype, halves, [a, b, c, d]) in cases {
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            let mut out = [0.0; 4];
            Transpose::new(&[2, 2]).write_rows(&bytes, dtype, 0, &mut out);
            assert_eq!(out, [a, c, b, d]);
        }
    }
}
