//! The q8 product of interleaved blocks: a vector holds the same four columns of a block's four rows.
//!
//! Four blocks go together for one token, so that their inputs are loaded once; where dot products leave registers
//! free, two blocks for four tokens, so that the weights are.

use core::arch::aarch64::*;
use core::marker::PhantomData;

use sprat_format::{BLOCK_ROWS, Layout, WORD};

use super::floats;
use super::products::{COLUMNS, Products};
use crate::kernels::{Prepared, Q8};
use crate::team::Tile;

/// A matrix and its inputs, as whole vectors. `new` has checked the lengths, so that loops need not.
struct Work<'w> {
    /// Block by block, group by group.
    weights: *const int8x16_t,
    /// Block by block, group by group, a scale for each row.
    scales: *const uint16x4_t,
    /// Token by token, twice as many as are used.
    inputs: *const int8x16_t,
    /// Token by token, group by group.
    input_scales: *const f32,
    tokens: usize,
    rows: usize,
    groups: usize,
    group: usize,
    bias: [u8; WORD],
    _borrowed: PhantomData<&'w [i8]>,
}

/// Where a slice begins, if that is a multiple of a vector.
fn vectors<T, V>(slice: &[T]) -> Option<*const V> {
    let start = slice.as_ptr().cast::<V>();
    start.is_aligned().then_some(start)
}

impl<'w> Work<'w> {
    /// `None` for rows, groups that are no multiple of 16, or data that is not aligned to vectors.
    fn new(matrix: &Q8<'w>, input: &'w Prepared) -> Option<Self> {
        let Q8 { values, scales, rows, group, stride, layout } = *matrix;
        if layout == Layout::Rows || !group.is_multiple_of(COLUMNS) {
            return None;
        }
        let groups = stride / group;
        let tokens = input.scales.len() / groups;
        let padded = rows.next_multiple_of(BLOCK_ROWS);
        Some(Self {
            weights: vectors(values.get(..padded * stride)?)?,
            scales: vectors(scales.get(..padded * groups)?)?,
            inputs: vectors(input.values.get(..tokens * 2 * stride)?)?,
            input_scales: input.scales.as_ptr(),
            tokens,
            rows,
            groups,
            group,
            bias: layout.bias(),
            _borrowed: PhantomData,
        })
    }
}

/// The product of a matrix, or `false` for one that has no fast path.
///
/// # Safety
/// The instruction set of `P` is present.
#[inline(always)]
pub(super) unsafe fn matmul_q8<P: Products>(matrix: &Q8, input: &Prepared, out: &mut Tile) -> bool {
    let Some(work) = Work::new(matrix, input) else { return false };
    // SAFETY: the caller has the instruction set.
    unsafe {
        match (work.group, matrix.layout) {
            (64, Layout::Interleaved) => all::<P, 64, false>(&work, out),
            (32, Layout::Interleaved) => all::<P, 32, false>(&work, out),
            (_, Layout::Interleaved) => all::<P, 0, false>(&work, out),
            _ => all::<P, 0, true>(&work, out),
        }
    }
    true
}

/// Blocks whose weights stay in the cache for all tokens before the next ones follow.
const RUN: usize = 8;

/// All blocks for all tokens, in groups of G columns, or of any number if G is 0.
///
/// # Safety
/// The instruction set of `P` is present.
#[inline(always)]
unsafe fn all<P: Products, const G: usize, const BIASED: bool>(work: &Work, out: &mut Tile) {
    let whole = work.rows / BLOCK_ROWS;
    let run = if work.tokens == 1 { whole.max(1) } else { RUN };
    for first in (0..whole).step_by(run) {
        let end = whole.min(first + run);
        let mut token = 0;
        while token < work.tokens {
            let many = P::FOUR_TOKENS && work.tokens - token >= 4;
            let mut block = first;
            // SAFETY: the caller has the instruction set; there are so many blocks and tokens.
            unsafe {
                if many {
                    let tiles = (end - block) / 2;
                    let places = core::array::from_fn(|t| place(work, out, block, token + t));
                    strip::<P, G, BIASED, 2, 4>(work, block, tiles, token, places);
                    block += 2 * tiles;
                } else {
                    let tiles = (end - block) / 4;
                    strip::<P, G, BIASED, 4, 1>(work, block, tiles, token, [place(work, out, block, token)]);
                    block += 4 * tiles;
                }
                let tokens = if many { 4 } else { 1 };
                if block < end {
                    for token in token..token + tokens {
                        let place = place(work, out, block, token);
                        strip::<P, G, BIASED, 1, 1>(work, block, end - block, token, [place]);
                    }
                }
                token += tokens;
            }
        }
    }
    if whole * BLOCK_ROWS < work.rows {
        for token in 0..work.tokens {
            // Rows of padding have no place in `out`.
            let mut rows = [0.0; BLOCK_ROWS];
            // SAFETY: the caller has the instruction set; one block is left and its rows have a place each.
            unsafe { strip::<P, G, BIASED, 1, 1>(work, whole, 1, token, [rows.as_mut_ptr()]) };
            out.token(token)[whole * BLOCK_ROWS..work.rows]
                .iter_mut()
                .zip(rows)
                .for_each(|(o, row)| *o = row);
        }
    }
}

/// Where a token's outputs begin for the rows of a block and those behind it.
fn place(work: &Work, out: &mut Tile, block: usize, token: usize) -> *mut f32 {
    out.token(token)[block * BLOCK_ROWS..work.rows].as_mut_ptr()
}

/// Goes through tiles of B blocks, from `block` on, for the T tokens from `token` on, and writes each token's rows
/// to its place.
///
/// # Safety
/// The instruction set of `P` is present; `work` has these blocks and tokens, and each place has room for the rows.
#[inline(always)]
unsafe fn strip<P: Products, const G: usize, const BIASED: bool, const B: usize, const T: usize>(
    work: &Work,
    block: usize,
    tiles: usize,
    token: usize,
    places: [*mut f32; T],
) {
    let groups = work.groups;
    let group = if G == 0 { work.group } else { G };
    // Vectors of a block's weights, and of a token's inputs, of which the second half is not used.
    let (block_vectors, token_vectors) = (groups * group / WORD, 2 * groups * group / COLUMNS);
    // SAFETY: the caller has the instruction set; all pointers move through what is there of their kind.
    unsafe {
        let bias = vreinterpretq_s8_u32(vdupq_n_u32(u32::from_le_bytes(work.bias)));
        let mut weights = work.weights.add(block * block_vectors);
        let mut scales = work.scales.add(block * groups);
        for tile in 0..tiles {
            let mut tile_weights: [_; B] = core::array::from_fn(|b| weights.add(b * block_vectors));
            let mut tile_scales: [_; B] = core::array::from_fn(|b| scales.add(b * groups));
            let mut inputs: [_; T] = core::array::from_fn(|t| work.inputs.add((token + t) * token_vectors));
            let mut input_scales: [_; T] =
                core::array::from_fn(|t| work.input_scales.add((token + t) * groups));
            let mut rows = [[vdupq_n_f32(0.0); T]; B];
            for _ in 0..groups {
                let sums = P::sums::<B, T, BIASED>(&mut tile_weights, &mut inputs, group, bias);
                let input_scale = input_scales.map(|scale| *scale);
                for b in 0..B {
                    let scales = vcvt_f32_f16(vreinterpret_f16_u16(*tile_scales[b]));
                    for t in 0..T {
                        let scales = vmulq_n_f32(scales, input_scale[t]);
                        rows[b][t] = vaddq_f32(rows[b][t], vmulq_f32(vcvtq_f32_s32(sums[b][t]), scales));
                    }
                }
                tile_scales = tile_scales.map(|scales| scales.add(1));
                input_scales = input_scales.map(|scale| scale.add(1));
            }
            // Each block ends where the next one begins.
            (weights, scales) = (tile_weights[B - 1], tile_scales[B - 1]);
            for t in 0..T {
                for b in 0..B {
                    places[t].add((tile * B + b) * BLOCK_ROWS).cast::<[f32; 4]>().write(floats(rows[b][t]));
                }
            }
        }
    }
}
