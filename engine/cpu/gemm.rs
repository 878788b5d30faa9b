//! One matrix product, on borrowed slices. The only unsafe line of the kernels is here.

use std::cell::RefCell;

use half::f16;
use pulp::Arch;

/// A borrowed matrix with its strides, counted in elements.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, `row_stride` apart.
    pub fn rows(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn end(&self) -> usize {
        end_of(self.rows, self.columns, self.row_stride, self.column_stride)
    }
}

fn end_of(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    (rows - 1) * row_stride + (columns - 1) * column_stride + 1
}

/// `dst = lhs * rhs`, or `dst += lhs * rhs` when `accumulate`; one thread.
///
/// `dst` has its rows `row_stride` apart.
///
/// # Panics
/// If the shapes do not chain or a matrix reaches beyond its slice.
#[allow(unsafe_code)]
pub fn matmul(dst: &mut [f32], row_stride: usize, lhs: Matrix<'_>, rhs: Matrix<'_>, accumulate: bool) {
    assert_eq!(lhs.columns, rhs.rows, "inner sides of a matrix product");
    assert!(lhs.end() <= lhs.data.len() && rhs.end() <= rhs.data.len(), "matrix beyond its slice");
    assert!(row_stride >= rhs.columns, "rows of the product overlap");
    assert!(end_of(lhs.rows, rhs.columns, row_stride, 1) <= dst.len(), "product beyond its slice");
    // SAFETY: the three asserts above bound every element that the product reads or writes, and
    // `dst` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.columns,
            lhs.columns,
            dst.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The weights of a layer, `[inputs, outputs]`: f32, or f16 that are widened block by block while they are multiplied.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    F32(Matrix<'a>),
    F16(HalfMatrix<'a>),
}

/// A borrowed matrix in f16. Its rows are contiguous, and `row_stride` apart.
#[derive(Clone, Copy)]
pub struct HalfMatrix<'a> {
    pub data: &'a [f16],
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
}

/// Sides of the blocks of f16 weights that are widened at once: 512 KiB, which stay in a second-level cache.
const BLOCK_ROWS: usize = 256;
const BLOCK_COLUMNS: usize = 512;

thread_local! {
    // Reused by later calls: the page faults of new memory cost more than widening.
    static BLOCK: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl<'a> Weights<'a> {
    /// The `rows` x `columns` weights from this row and column on.
    pub fn block(self, row: usize, column: usize, rows: usize, columns: usize) -> Self {
        match self {
            Self::F32(weights) => {
                let start = row * weights.row_stride + column * weights.column_stride;
                Self::F32(Matrix { data: &weights.data[start..], rows, columns, ..weights })
            }
            Self::F16(weights) => {
                let start = row * weights.row_stride + column;
                Self::F16(HalfMatrix { data: &weights.data[start..], rows, columns, ..weights })
            }
        }
    }

    pub fn is_half(self) -> bool {
        matches!(self, Self::F16(_))
    }

    /// `dst += x * weights`; one thread.
    ///
    /// `dst` has its rows `row_stride` apart.
    ///
    /// # Panics
    /// If the shapes do not chain or a matrix reaches beyond its slice.
    pub fn add_product(self, dst: &mut [f32], row_stride: usize, x: Matrix<'_>) {
        let weights = match self {
            Self::F32(weights) => return matmul(dst, row_stride, x, weights, true),
            Self::F16(weights) => weights,
        };
        assert_eq!(x.columns, weights.rows, "inner sides of a matrix product");
        let arch = Arch::new();
        BLOCK.with_borrow_mut(|block| {
            for column in (0..weights.columns).step_by(BLOCK_COLUMNS) {
                let width = BLOCK_COLUMNS.min(weights.columns - column);
                for row in (0..weights.rows).step_by(BLOCK_ROWS) {
                    let height = BLOCK_ROWS.min(weights.rows - row);
                    block.resize(height * width, 0.0);
                    arch.dispatch(
                        #[inline(always)]
                        || {
                            for (at, wide) in (row..).zip(block.chunks_exact_mut(width)) {
                                let start = at * weights.row_stride + column;
                                let halves = &weights.data[start..start + width];
                                wide.iter_mut().zip(halves).for_each(|(wide, half)| *wide = widen(*half));
                            }
                        },
                    );
                    let part = Matrix { data: &x.data[row * x.column_stride..], columns: height, ..x };
                    let wide = Matrix::rows(block, height, width, width);
                    matmul(&mut dst[column..], row_stride, part, wide, true);
                }
            }
        });
    }
}

/// The value of a half, without a branch, so that a loop over many is vectorised; `half`'s own conversion takes eight at a time.
#[inline(always)]
fn widen(half: f16) -> f32 {
    const EXPONENT: u32 = 0x7c00;
    let bits = u32::from(half.to_bits());
    // The exponent's bias is 127 in place of 15. Infinity and NaN keep the largest.
    let normal = ((bits & 0x7fff) << 13) + (112 << 23);
    let infinite = if bits & EXPONENT == EXPONENT { 0x7f80_0000 } else { 0 };
    let subnormal = ((bits & 0x3ff) as f32 * (1.0 / (1 << 24) as f32)).to_bits();
    let magnitude = if bits & EXPONENT == 0 { subnormal } else { normal | infinite };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_to_its_value() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (found, expected) = (widen(half), half.to_f32());
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{half}");
        }
    }

    /// Sides that are shorter and longer than a block, and not a multiple of it.
    #[test]
    fn f16_weights_give_the_product_of_their_values() {
        for [rows, inputs, columns, row_stride] in
            [[1, 1, 1, 1], [3, 256, 512, 512], [5, 300, 700, 700], [2, 700, 40, 1100]]
        {
            let x: Vec<f32> = (0..rows * inputs).map(|at| ((at * 37 % 101) as f32 - 50.0) / 64.0).collect();
            let weights: Vec<f16> = (0..inputs * row_stride)
                .map(|at| f16::from_f32(((at * 53 % 97) as f32 - 48.0) / 32.0))
                .collect();
            let mut dst = vec![0.5; rows * columns];
            let matrix = HalfMatrix { data: &weights, rows: inputs, columns, row_stride };
            Weights::F16(matrix).add_product(&mut dst, columns, Matrix::rows(&x, rows, inputs, inputs));
            for (at, found) in dst.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let term = |input: usize| {
                    f64::from(x[row * inputs + input]) * weights[input * row_stride + column].to_f64()
                };
                let expected = 0.5 + (0..inputs).map(term).sum::<f64>();
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} {expected}");
            }
        }
    }
}
