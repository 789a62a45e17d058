//! The parts of which every supported model is built.
//!
//! Each works on a chunk of T tokens, whose rows lie one after the other, and treats a token in a chunk exactly
//! as it would alone.

use crate::kernels::Kernels;
use crate::meter::Meter;
#[cfg(feature = "stream")]
use crate::stream::Chunks;
use crate::team::{Team, share_tokens};
use crate::weights::Matrix;

mod attention;
mod embedding;
mod feed_forward;
mod linear;
mod norm;
mod rotary;

pub(crate) use attention::{attend, soft_cap};
pub(crate) use embedding::embed;
pub(crate) use feed_forward::expand;
pub(crate) use linear::{Input, Product};
pub(crate) use norm::{add_output, block_input, normalize, normalize_heads};
pub(crate) use rotary::{Angles, rotate};

/// Who computes, and who counts: the kernels of one core, the team of cores, the engine's meter. And who fetches
/// matrices that are not in memory.
#[derive(Clone, Copy)]
pub(crate) struct Compute<'t> {
    pub kernels: &'static Kernels,
    pub team: &'t dyn Team,
    pub meter: &'t Meter<'t>,
    #[cfg(feature = "stream")]
    pub stream: Option<&'t dyn Chunks>,
}

impl Compute<'_> {
    /// Writes one row of a matrix as `f32`; nothing for a row that is not there.
    fn row(&self, matrix: &Matrix, row: usize, out: &mut [f32]) {
        #[cfg(feature = "stream")]
        if let (Matrix::Streamed(rows), Some(stream)) = (matrix, self.stream) {
            return stream.row(rows, row, out);
        }
        matrix.row(row, out);
    }
}

/// What an element costs that is not part of a matrix, in products: which pieces are worth sharing out follows.
const ELEMENT: usize = 4;
/// As [`ELEMENT`], for a non-linearity.
const ACTIVATION: usize = 4 * ELEMENT;

/// `sum` += `x`, both T x H.
fn add(compute: Compute, tokens: usize, x: &[f32], sum: &mut [f32]) {
    let width = x.len() / tokens;
    share_tokens(compute.team, x.len() * ELEMENT, tokens, sum, |own, sum| {
        (compute.kernels.add)(&x[own.start * width..own.end * width], sum);
    });
}
