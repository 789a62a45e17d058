//! The inner loops, and the one place that chooses among their implementations.
//!
//! A [`Kernels`] is a table of coarse functions: a few calls a layer, never one per group, so that an indirect
//! call costs nothing. Whoever holds a table may call it: a table for an instruction set is only handed out
//! where that set is present.
//!
//! # Numbers
//!
//! Every implementation returns the same bits as [`portable`], which is the specification:
//!
//! - Products of signed bytes are summed in `i32` within a group, which is exact in any order; groups are then
//!   added in ascending order as `acc += sum as f32 * (weight_scale * input_scale)`.
//! - A sum of `f32` products has eight lanes: element i is added to lane i mod 8, in ascending order; the
//!   lanes are then added as `((0+4)+(2+6)) + ((1+5)+(3+7))`. A multiplication is rounded before the addition.
//! - Rounding to integers is to nearest, ties to even.
//! - Attention over a q8 cache computes in integers between its scores and its output: see
//!   [`portable::attention`]. Runs of [`MIX_BLOCK`] positions are added in ascending order.

use core::ops::Range;

use half::f16;
use sprat_format::{Activation, Layout};

use crate::family::EVERY_FAMILY;
use crate::team::Tile;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod aarch64;
#[cfg(any(test, feature = "battery"))]
mod battery;
#[cfg(sprat_isa = "dsp")]
mod dsp;
mod elementwise;
#[cfg(sprat_isa = "mve")]
mod mve;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(feature = "battery")]
mod workload;

#[cfg(feature = "battery")]
pub use battery::{BATTERY_BYTES, Mismatch, battery};
#[cfg(feature = "battery")]
pub use workload::Workload;

/// Positions whose values are mixed in one integer sum: 512 * 32767 * 127 fits 31 bits.
pub(crate) const MIX_BLOCK: usize = 512;

/// One in the unit of scores: 2^-16 of a power of two.
pub(crate) const SCORE_ONE: i32 = 1 << 16;

/// Heads that attention takes at once where they share keys and values.
pub(crate) const PAIR: usize = 2;

/// Components of a head in the q8 cache are rounded up to a multiple of this: two words, or half a vector.
pub(crate) const HEAD_UNIT: usize = 8;

/// A q8 matrix as kernels see it. R rows; in the interleaved layouts a whole number of blocks is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Q8<'m> {
    /// padded R x stride bytes, the stride a multiple of the group.
    pub values: &'m [i8],
    /// padded R x stride/group.
    pub scales: &'m [f16],
    /// Outputs.
    pub rows: usize,
    /// Columns that share a scale, a multiple of 4.
    pub group: usize,
    /// Padded columns of a row.
    pub stride: usize,
    /// Arrangement of values and scales.
    pub layout: Layout,
}

impl<'m> Q8<'m> {
    /// Rows that are stored together: a part of the matrix begins at a multiple of this.
    pub(crate) const fn unit(&self) -> usize {
        self.layout.padded_rows(1) as usize
    }

    /// Some rows of the matrix, beginning at a multiple of [`unit`](Self::unit).
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let padded = rows.start..rows.end.next_multiple_of(self.unit());
        let groups = self.stride / self.group;
        Self {
            values: &self.values[padded.start * self.stride..padded.end * self.stride],
            scales: &self.scales[padded.start * groups..padded.end * groups],
            rows: rows.len(),
            ..*self
        }
    }
}

/// T rows of C inputs, quantized in the matrix's groups, in the form that a table's q8 product wants.
#[derive(Debug, Default)]
pub(crate) struct Prepared<'p> {
    /// T x 2*stride bytes: the table's own form. Two bytes for an input, because DSP cores multiply halfwords.
    pub values: &'p mut [i8],
    /// T x stride/group.
    pub scales: &'p mut [f32],
    /// T x stride/group: what the table wants to know of each group, a sum of its values.
    pub sums: &'p mut [i32],
}

/// One head's keys or values in the q8 cache, position by position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Q8Heads<'c> {
    /// positions x stride, and one more position where their number is odd: bytes of any value.
    pub values: &'c [i8],
    /// A scale for each position, not negative.
    pub scales: &'c [f16],
    /// Components of a position: those of a head, rounded up to a multiple of [`HEAD_UNIT`].
    pub stride: usize,
}

impl<'c> Q8Heads<'c> {
    /// `positions` positions from `start`, an even number, on.
    pub(crate) fn part(&self, start: usize, positions: usize) -> Self {
        Self {
            values: &self.values[start * self.stride..][..positions.next_multiple_of(2) * self.stride],
            scales: &self.scales[start..start + positions],
            stride: self.stride,
        }
    }
}

/// One or two heads (G) of D components that look at the same keys and values over P positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention<'c> {
    /// G x D.
    pub query: &'c [f32],
    /// D.
    pub head_dim: usize,
    /// log2(e) * [`SCORE_ONE`] / sqrt(D): makes a product of query and key a score.
    pub scale: f32,
    /// P keys.
    pub keys: Q8Heads<'c>,
    /// P values.
    pub values: Q8Heads<'c>,
    /// What becomes of the scores before they are weighed, in models where something does.
    pub adjust: Option<Adjust>,
}

impl Attention<'_> {
    /// What becomes of the scores, in builds that know of it.
    #[inline(always)]
    pub(crate) fn adjust(&self) -> Option<&Adjust> {
        if EVERY_FAMILY { self.adjust.as_ref() } else { None }
    }
}

/// What becomes of scores before they are weighed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adjust {
    /// Positions from the first on that have no weight, although they count for the values' largest scale; fewer than
    /// all.
    pub skip: usize,
    /// For each head what a score loses with each position before the last, in the unit of scores (ALiBi).
    pub slopes: [f32; PAIR],
    /// What scores are softly capped by, in their unit; 0 for nothing.
    pub soft_cap: f32,
}

/// Work space of attention.
#[derive(Debug)]
pub(crate) struct AttentionWork<'w> {
    /// At least G x P, P rounded up to an even number.
    pub scores: &'w mut [i32],
    /// At least the lesser of P, rounded up to an even number, and [`MIX_BLOCK`].
    pub multipliers: &'w mut [i32],
    /// At least G x 2*stride bytes.
    pub query: &'w mut [i8],
}

/// A table of the inner loops for one instruction set.
///
/// T is the number of tokens processed at once, R the rows of a matrix, C its columns, P positions. `matmul_*`
/// write T x R outputs, token by token.
#[derive(Debug)]
pub struct Kernels {
    name: &'static str,
    /// Quantizes one head for the cache, padded with zeros to the length of `q`, and returns its scale, at most the
    /// largest half float.
    pub(crate) quantize: fn(x: &[f32], q: &mut [i8]) -> f16,
    /// Quantizes T rows of C values as input for matrices in this layout.
    pub(crate) prepare: fn(x: &[f32], cols: usize, group: usize, layout: Layout, input: &mut Prepared),
    /// Products of a q8 matrix with T rows that were prepared for its layout.
    pub(crate) matmul_q8: fn(matrix: &Q8, input: &Prepared, out: &mut Tile),
    /// Products of an f16 matrix with T rows of C values.
    pub(crate) matmul_f16: fn(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile),
    /// Products of an f32 matrix with T rows of C values.
    pub(crate) matmul_f32: fn(matrix: &[f32], cols: usize, x: &[f32], out: &mut Tile),
    /// Attention over a q8 cache, of one or two heads: `out` is G x D.
    pub(crate) attend_q8: fn(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]),
    /// Scores of one query against P keys.
    pub(crate) score_f16: fn(query: &[f32], keys: &[f16], out: &mut [f32]),
    /// Scores of one query against P keys.
    pub(crate) score_f32: fn(query: &[f32], keys: &[f32], out: &mut [f32]),
    /// Turns P scores into e^(score - largest) in place and returns their sum, in the lane order.
    pub(crate) softmax: fn(scores: &mut [f32]) -> f32,
    /// Adds P values, each times its weight, to `out`, in ascending order of position.
    pub(crate) mix_f16: fn(weights: &[f32], values: &[f16], out: &mut [f32]),
    /// Adds P values, each times its weight, to `out`, in ascending order of position.
    pub(crate) mix_f32: fn(weights: &[f32], values: &[f32], out: &mut [f32]),
    /// The sum of the products of two rows, in the lane order.
    pub(crate) dot: fn(a: &[f32], b: &[f32]) -> f32,
    /// The sum of a row, in the lane order.
    pub(crate) sum: fn(a: &[f32]) -> f32,
    /// The square root, correctly rounded.
    pub(crate) sqrt: fn(x: f32) -> f32,
    /// `sum` += `x`.
    pub(crate) add: fn(x: &[f32], sum: &mut [f32]),
    /// `out` = (`x` - `mean`) * `scale` * `weight`.
    pub(crate) normalize: fn(x: &[f32], mean: f32, scale: f32, weight: &[f32], out: &mut [f32]),
    /// Applies the non-linearity to each element.
    pub(crate) activate: fn(activation: Activation, x: &mut [f32]),
    /// `up` *= the non-linearity of `gate`.
    pub(crate) gate: fn(activation: Activation, gate: &[f32], up: &mut [f32]),
}

impl Kernels {
    /// Every table that this machine can run, the best one first.
    pub fn available() -> impl Iterator<Item = &'static Self> {
        TABLES.iter().filter_map(|table| table())
    }

    /// The best table that this machine can run.
    pub fn detect() -> &'static Self {
        // A build for one core names its table outright, or flash would hold the others too.
        match ONLY {
            Some(kernels) => kernels,
            None => Self::available().next().unwrap_or(&portable::KERNELS),
        }
    }

    /// The table of that name, if this build has it and this machine can run it.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::available().find(|kernels| kernels.name == name)
    }

    /// The name of the instruction set that the table is for.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The table of a build for one core, whose instructions are all present.
const ONLY: Option<&Kernels> = {
    #[cfg(sprat_isa = "dsp")]
    let only = Some(&dsp::KERNELS);
    #[cfg(sprat_isa = "mve")]
    let only = Some(&mve::KERNELS);
    #[cfg(not(any(sprat_isa = "dsp", sprat_isa = "mve")))]
    let only = None;
    only
};

/// Every table of this build, the best first. A table is handed out where its instructions are present.
const TABLES: &[fn() -> Option<&'static Kernels>] = &[
    #[cfg(target_arch = "x86_64")]
    x86::avx512vnni,
    #[cfg(target_arch = "x86_64")]
    x86::avxvnni,
    #[cfg(target_arch = "x86_64")]
    x86::avx2,
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    || aarch64::dotprod(cfg!(target_os = "none")),
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    aarch64::neon,
    #[cfg(sprat_isa = "dsp")]
    || Some(&dsp::KERNELS),
    #[cfg(sprat_isa = "mve")]
    || Some(&mve::KERNELS),
    || Some(&portable::KERNELS),
];
