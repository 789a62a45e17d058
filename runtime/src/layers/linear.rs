//! Matrices times a chunk of tokens, quantized where a q8 matrix asks for it.
//!
//! Matrices that read the same input are taken together: it is quantized once, and the cores meet once.

use core::ops::Range;

use sprat_format::Layout;

use super::{Compute, ELEMENT};
use crate::kernels::{Kernels, Prepared, Q8};
#[cfg(feature = "stream")]
use crate::stream::Chunks;
#[cfg(feature = "stream")]
use crate::team::share_part;
use crate::team::{Outputs, Tile, share_matrices, share_tokens};
use crate::weights::Matrix;

/// A chunk's rows as input of matrices, quantized when a q8 matrix asks for it.
pub(crate) struct Input<'s> {
    x: &'s [f32],
    prepared: Prepared<'s>,
    /// The layout that the quantized form is for.
    layout: Option<Layout>,
}

/// A matrix, its bias, and the place of the outputs (T x rows).
pub(crate) struct Product<'p, 'm> {
    pub matrix: &'p Matrix<'m>,
    pub bias: Option<&'m [f32]>,
    pub out: &'p mut [f32],
}

impl<'s> Input<'s> {
    /// `work` is space for the quantized form.
    pub(crate) fn new(x: &'s [f32], work: &'s mut Prepared) -> Self {
        let Prepared { values, scales, sums } = work;
        Self { x, prepared: Prepared { values, scales, sums }, layout: None }
    }

    /// `out` (T x rows) = each row of the input times the transposed matrix, plus the bias.
    pub(crate) fn times<'p, 'm>(
        &mut self,
        compute: Compute,
        matrix: &'p Matrix<'m>,
        bias: Option<&'m [f32]>,
        out: &'p mut [f32],
    ) {
        self.times_alike(compute, [Product { matrix, bias, out }]);
    }

    /// The same for several matrices at once, so that the cores meet once and not after each.
    pub(crate) fn times_each<const N: usize>(&mut self, compute: Compute, products: [Product; N]) {
        let layout = |product: &Product| product.matrix.q8().map(|matrix| matrix.layout);
        if products.iter().all(|product| layout(product) == layout(&products[0])) {
            self.times_alike(compute, products);
        } else {
            products.into_iter().for_each(|product| self.times_alike(compute, [product]));
        }
    }

    /// The same for matrices that want one form of the input.
    fn times_alike<const N: usize>(&mut self, compute: Compute, products: [Product; N]) {
        #[cfg(feature = "stream")]
        if let Some(stream) = compute.stream {
            return products.into_iter().for_each(|product| self.times_streamed(compute, stream, product));
        }
        let Compute { kernels, team, meter, .. } = compute;
        let matrices = products.each_ref().map(|product| (product.matrix, product.bias));
        let tokens = self.x.len() / matrices[0].0.cols();
        let count = tokens * matrices.iter().map(|(matrix, _)| matrix.rows() * matrix.cols()).sum::<usize>();
        meter.count(count);
        meter.show_input(matrices[0].0, self.x);
        if let Some(matrix) = matrices[0].0.q8() {
            self.prepare(compute, matrix, tokens);
        }
        let (x, prepared) = (self.x, &self.prepared);
        let outputs = products.map(|product| {
            let unit = product.matrix.q8().map_or(1, Q8::unit);
            Outputs::new(product.out, product.matrix.rows(), unit)
        });
        share_matrices(team, count, outputs, |number, rows, out| {
            let (matrix, bias) = matrices[number];
            multiply(kernels, matrix, rows.clone(), x, prepared, out);
            if let Some(bias) = bias {
                (0..tokens).for_each(|token| (kernels.add)(&bias[rows.clone()], out.token(token)));
            }
        });
    }

    /// The same for a matrix that is fetched, some rows at a time: the cores meet after each time.
    #[cfg(feature = "stream")]
    fn times_streamed(&mut self, compute: Compute, stream: &dyn Chunks, product: Product) {
        let Compute { kernels, team, meter, .. } = compute;
        let Product { matrix, bias, out } = product;
        let Matrix::Streamed(all) = matrix else { return };
        let tokens = self.x.len() / all.cols();
        meter.count(tokens * all.count() * all.cols());
        meter.show_input(matrix, self.x);
        if let Some(matrix) = all.q8() {
            self.prepare(compute, &matrix, tokens);
        }
        let (x, prepared) = (self.x, &self.prepared);
        let mut outputs = Outputs::new(out, all.count(), all.unit());
        stream.each(all, &mut |part, matrix| {
            let (products, first) = (tokens * part.len() * all.cols(), part.start);
            share_part(team, products, &mut outputs, part, |rows, out| {
                multiply(kernels, matrix, rows.start - first..rows.end - first, x, prepared, out);
                if let Some(bias) = bias {
                    (0..tokens).for_each(|token| (kernels.add)(&bias[rows.clone()], out.token(token)));
                }
            });
        });
    }

    /// Quantizes the input for matrices like this one, unless it is already.
    fn prepare(&mut self, compute: Compute, matrix: &Q8, tokens: usize) {
        if self.layout == Some(matrix.layout) {
            return;
        }
        self.layout = Some(matrix.layout);
        let Q8 { group, stride, layout, .. } = *matrix;
        let Prepared { values, scales, sums } = core::mem::take(&mut self.prepared);
        self.prepared = Prepared {
            values: &mut values[..tokens * 2 * stride],
            scales: &mut scales[..tokens * stride / group],
            sums: &mut sums[..tokens * stride / group],
        };
        let Prepared { values, scales, sums } = &mut self.prepared;
        let (x, cols) = (self.x, self.x.len() / tokens);
        let buffers = (&mut **values, (&mut **scales, &mut **sums));
        share_tokens(compute.team, x.len() * ELEMENT, tokens, buffers, |own, (values, (scales, sums))| {
            let x = &x[own.start * cols..own.end * cols];
            let mut part = Prepared { values, scales, sums };
            (compute.kernels.prepare)(x, cols, group, layout, &mut part);
        });
    }
}

/// Some rows of a matrix in memory times the input.
#[inline(always)]
fn multiply(
    kernels: &Kernels,
    matrix: &Matrix,
    rows: Range<usize>,
    x: &[f32],
    prepared: &Prepared,
    out: &mut Tile,
) {
    match matrix {
        Matrix::F32 { cols, values } => {
            (kernels.matmul_f32)(&values[rows.start * cols..rows.end * cols], *cols, x, out);
        }
        Matrix::F16 { cols, values } => {
            (kernels.matmul_f16)(&values[rows.start * cols..rows.end * cols], *cols, x, out);
        }
        Matrix::Q8 { matrix, .. } => (kernels.matmul_q8)(&matrix.part(rows), prepared, out),
        // It was fetched.
        #[cfg(feature = "stream")]
        Matrix::Streamed(_) => {}
    }
}
