//! The q8 product with AVX-512 VNNI: panels of 16 rows, one token or many.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes. Weights become unsigned by adding 128; what that adds to a
//! group's sum, 128 times the sum of the inputs, is what the accumulators start from, negated: [`prepare`] leaves it
//! in the input.

use core::arch::x86_64::*;

use half::f16;
use sprat_format::{BLOCK_ROWS, Layout, WORD};

use crate::kernels::{Prepared, Q8, portable};
use crate::team::Tile;

mod chunk;
mod single;

/// Rows that are computed together: four blocks.
const PANEL_ROWS: usize = 16;
/// Blocks of a panel.
const BLOCKS: usize = PANEL_ROWS / BLOCK_ROWS;
/// Columns of a block that one load takes.
const COLUMNS: usize = 16;
/// Columns of the largest group.
const MOST_GROUP: usize = 256;

/// Quantizes rows as the portable kernel does, and turns each group's sum into what the accumulators start from.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn prepare(x: &[f32], cols: usize, group: usize, layout: Layout, input: &mut Prepared) {
    portable::prepare(x, cols, group, layout, input);
    input.sums.iter_mut().for_each(|sum| *sum *= -128);
}

/// The product of a matrix in an interleaved layout, or `false` for one that has no fast path: rows, or groups
/// that are no multiple of 16.
///
/// # Safety
/// AVX-512 F, BW, DQ, VL and VNNI are present.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) -> bool {
    if matrix.layout == Layout::Rows || !matrix.group.is_multiple_of(COLUMNS) || matrix.group > MOST_GROUP {
        return false;
    }
    let groups = matrix.stride / matrix.group;
    let tokens = input.scales.len() / groups;
    let blocks = matrix.values.len() / (matrix.stride * BLOCK_ROWS);
    // What the loads of the panels rely on.
    assert!(matrix.scales.len() >= blocks * groups * BLOCK_ROWS);
    assert!(input.values.len() >= tokens * 2 * matrix.stride && input.sums.len() >= tokens * groups);
    if tokens == 1 {
        for first in (0..blocks).step_by(BLOCKS) {
            single::panel(&Panel::new(matrix, first, blocks), input, out);
        }
    } else {
        for first in (0..blocks).step_by(2 * BLOCKS) {
            let panels = [Panel::new(matrix, first, blocks), Panel::new(matrix, first + BLOCKS, blocks)];
            chunk::panels(&panels, input, tokens, out);
        }
    }
    true
}

/// Four blocks of a matrix. Blocks that are not there are the last one again: their outputs are not stored.
struct Panel {
    /// Where the values of each block begin.
    values: [*const i8; BLOCKS],
    /// Where its scales begin.
    scales: [*const f16; BLOCKS],
    groups: usize,
    group: usize,
    stride: usize,
    /// The first row.
    row: usize,
    /// What turns the stored bytes of the layout into weight + 128.
    unsigned: i32,
}

impl Panel {
    #[inline(always)]
    fn new(matrix: &Q8, first: usize, blocks: usize) -> Self {
        let Q8 { group, stride, .. } = *matrix;
        let groups = stride / group;
        let numbers: [usize; BLOCKS] = core::array::from_fn(|b| (first + b).min(blocks - 1));
        Self {
            values: numbers.map(|b| matrix.values[b * stride * BLOCK_ROWS..].as_ptr()),
            scales: numbers.map(|b| matrix.scales[b * groups * BLOCK_ROWS..].as_ptr()),
            groups,
            group,
            stride,
            row: first * BLOCK_ROWS,
            unsigned: i32::from_le_bytes(matrix.layout.bias().map(|bias| bias ^ 0x80)),
        }
    }

    /// 16 columns of the four rows of block `b`, as unsigned bytes, from column `col` on.
    ///
    /// # Safety
    /// `b` is less than [`BLOCKS`], and the 16 columns are within the stride.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(&self, b: usize, col: usize) -> __m512i {
        // SAFETY: a block has stride * 4 bytes from the pointer on.
        let w = unsafe { _mm512_loadu_si512(self.values[b].add(col * BLOCK_ROWS).cast()) };
        _mm512_xor_si512(w, _mm512_set1_epi32(self.unsigned))
    }

    /// Asks for what [`load`](Self::load) reads so many bytes behind a place, so that memory is never idle.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn prefetch(&self, b: usize, col: usize, ahead: usize) {
        // A prefetch beyond the matrix does nothing, or fetches what is read next.
        _mm_prefetch::<_MM_HINT_T0>(self.values[b].wrapping_add(col * BLOCK_ROWS + ahead));
    }

    /// The scales of all rows for a group.
    ///
    /// # Safety
    /// There is such a group.
    #[inline]
    #[target_feature(enable = "avx2,f16c,avx512f,avx512dq")]
    unsafe fn scales(&self, group: usize) -> __m512 {
        let at = group * BLOCK_ROWS;
        // SAFETY: a block has groups * 4 scales from the pointer on; each load takes four.
        let [a, b, c, d] = unsafe {
            [
                _mm_loadl_epi64(self.scales[0].add(at).cast()),
                _mm_loadl_epi64(self.scales[1].add(at).cast()),
                _mm_loadl_epi64(self.scales[2].add(at).cast()),
                _mm_loadl_epi64(self.scales[3].add(at).cast()),
            ]
        };
        _mm512_cvtph_ps(_mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b)))
    }

    /// Writes the outputs of one token, as far as the matrix has rows.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(&self, sums: __m512, token: usize, out: &mut Tile) {
        let Some(out) = out.token(token).get_mut(self.row..) else { return };
        let rows = out.len().min(PANEL_ROWS);
        let mask = ((1u32 << rows) - 1) as u16;
        // SAFETY: as many floats are written as the slice has, at most 16.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, sums) };
    }
}
