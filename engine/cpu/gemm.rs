//! One matrix product, on borrowed slices. The only unsafe line of the kernels is here.

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
