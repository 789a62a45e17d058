//! Matrices that others own, and their product on one thread.
//!
//! The product is the crate `gemm`'s, the one that candle's `matmul` calls. It is called here directly for two reasons:
//! candle spreads each product over all cores, which for matrices this small takes longer than it saves (training
//! spreads examples instead), and it copies what is not contiguous, which heads and transposes are.
#![allow(unsafe_code)]

use gemm::Parallelism;

/// A matrix in a slice, with strides in elements.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    elements: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` elements that begin `row_stride` elements apart.
    ///
    /// # Panics
    /// The elements end before the last row does.
    pub fn new(elements: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(elements.len() >= extent(rows, columns, row_stride), "the elements of a matrix");
        Self { elements, rows, columns, row_stride, column_stride: 1 }
    }

    /// Its elements, those between rows included.
    pub fn elements(&self) -> &'a [f32] {
        self.elements
    }

    /// Its transpose; nothing moves.
    pub fn transposed(self) -> Self {
        let Self { elements, rows, columns, row_stride, column_stride } = self;
        Self { elements, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

/// Elements up to the end of the last row.
fn extent(rows: usize, columns: usize, row_stride: usize) -> usize {
    match rows.checked_sub(1) {
        Some(last) if columns > 0 => last * row_stride + columns,
        _ => 0,
    }
}

/// A matrix that is written, in rows that begin `row_stride` elements apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    elements: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// See [`Matrix::new`].
    ///
    /// # Panics
    /// The elements end before the last row does, or rows overlap.
    pub fn new(elements: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(elements.len() >= extent(rows, columns, row_stride), "the elements of a matrix");
        assert!(row_stride >= columns || rows <= 1, "the rows of a matrix overlap");
        Self { elements, rows, columns, row_stride }
    }
}

/// `out = alpha * a * b`, or `out += alpha * a * b` with `adds`.
///
/// # Panics
/// The shapes do not fit together.
pub fn multiply(out: MatrixMut<'_>, adds: bool, alpha: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let MatrixMut { elements, rows, columns, row_stride } = out;
    let out = Out { elements: elements.as_mut_ptr(), rows, columns, row_stride };
    // SAFETY: every element of `out` lies within its slice, which was checked when it was made, and which is borrowed
    // for writing alone.
    unsafe { gemm(out, adds, alpha, a, b) }
}

/// A matrix that may not be initialized.
struct Out {
    elements: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
}

/// # Safety
/// Every element of `out` can be written and overlaps nothing else; with `adds` it has been.
unsafe fn gemm(out: Out, adds: bool, alpha: f32, a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!((out.rows, out.columns, a.columns), (a.rows, b.columns, b.rows), "the shapes of a product");
    let stride = |stride: usize| stride as isize;
    // SAFETY: the caller vouches for `out`; every element (i, j) with i < rows and j < columns of the others lies within
    // their slices, which was checked when they were made.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.elements,
            1,
            stride(out.row_stride),
            adds,
            a.elements.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.elements.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            // The crate computes out = alpha * out + beta * a * b.
            if adds { 1.0 } else { 0.0 },
            alpha,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `a * b` in memory of its own, rows one after the other.
///
/// # Panics
/// The shapes do not fit together.
pub fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let (rows, columns) = (a.rows, b.columns);
    let mut out = Vec::with_capacity(rows * columns);
    // A product over nothing is not written.
    if a.columns == 0 {
        out.resize(rows * columns, 0.0);
        return out;
    }
    let into = Out { elements: out.as_mut_ptr(), rows, columns, row_stride: columns };
    // SAFETY: there is room for rows x columns, and all are written without being read.
    unsafe {
        gemm(into, false, 1.0, a, b);
        out.set_len(rows * columns);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_transposes_and_parts_are_right() {
        let a: Vec<f32> = (0..40).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..40).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
        // A part of 3 x 4 of rows of 8, the transpose of a part of 5 x 4 of rows of 6.
        let (left, right) = (Matrix::new(&a[2..], 3, 4, 8), Matrix::new(&b[1..], 5, 4, 6).transposed());
        let mut out = vec![100.0; 3 * 7];
        multiply(MatrixMut::new(&mut out, 3, 5, 7), true, 0.5, left, right);
        for (i, row) in out.chunks(7).enumerate() {
            for (j, &found) in row.iter().enumerate() {
                let product = |j: usize| (0..4).map(|k| a[2 + i * 8 + k] * b[1 + j * 6 + k]).sum::<f32>();
                assert_eq!(found, if j < 5 { 100.0 + 0.5 * product(j) } else { 100.0 }, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_product_has_memory_of_its_own() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0]);
        let found = product(Matrix::new(&a, 3, 2, 2), Matrix::new(&b, 2, 2, 2).transposed());
        assert_eq!(found, [1.0, 4.0, 3.0, 10.0, 5.0, 16.0]);
        assert_eq!(product(Matrix::new(&[], 2, 0, 0), Matrix::new(&[], 0, 2, 2)), [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "the elements of a matrix")]
    fn a_matrix_that_is_too_long_is_refused() {
        Matrix::new(&[0.0; 11], 2, 4, 8);
    }
}
