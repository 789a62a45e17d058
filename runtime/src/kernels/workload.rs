//! Kernels at work on given shapes, for counting what they cost.
//!
//! The counter is the caller's: instructions under an emulator, cycles on a board, time on a laptop. Feature
//! `battery`.

use half::f16;
use sprat_format::Layout;

use super::{Attention, AttentionWork, HEAD_UNIT, Kernels, MIX_BLOCK, Prepared, Q8, Q8Heads};
use crate::arena::Carver;
use crate::team::Tile;

/// One call of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A q8 matrix of rows x cols, in groups, with some tokens; inputs are prepared beforehand.
    MatmulQ8 {
        /// Outputs.
        rows: usize,
        /// Inputs.
        cols: usize,
        /// Columns that share a scale.
        group: usize,
        /// Tokens at once.
        tokens: usize,
        /// Arrangement of the matrix.
        layout: Layout,
    },
    /// An f16 matrix of rows x cols with some tokens.
    MatmulF16 {
        /// Outputs.
        rows: usize,
        /// Inputs.
        cols: usize,
        /// Tokens at once.
        tokens: usize,
    },
    /// Preparing inputs for a q8 matrix.
    Prepare {
        /// Inputs.
        cols: usize,
        /// Columns that share a scale.
        group: usize,
        /// Arrangement of the matrix.
        layout: Layout,
    },
    /// Attention over a q8 cache, of heads that share keys and values.
    AttendQ8 {
        /// Positions in the cache.
        positions: usize,
        /// Components of a head.
        head_dim: usize,
        /// One head, or two.
        heads: usize,
    },
    /// Softmax of some scores.
    Softmax {
        /// Scores.
        positions: usize,
    },
}

/// Values that are neither zero nor all alike.
fn fill(bytes: &mut [i8]) {
    bytes
        .iter_mut()
        .enumerate()
        .for_each(|(i, byte)| *byte = (i as u32).wrapping_mul(97).wrapping_add(13) as i8 >> 1);
}

impl Workload {
    /// The work whose cost is tracked, on matrices in this layout.
    pub const fn tracked(layout: Layout) -> [Self; 11] {
        [
            Self::MatmulQ8 { rows: 64, cols: 256, group: 64, tokens: 1, layout },
            Self::MatmulQ8 { rows: 64, cols: 256, group: 32, tokens: 1, layout },
            Self::MatmulQ8 { rows: 64, cols: 256, group: 64, tokens: 4, layout },
            Self::MatmulQ8 { rows: 128, cols: 512, group: 64, tokens: 1, layout },
            Self::MatmulF16 { rows: 64, cols: 256, tokens: 1 },
            Self::Prepare { cols: 256, group: 64, layout },
            Self::AttendQ8 { positions: 128, head_dim: 8, heads: 2 },
            Self::AttendQ8 { positions: 128, head_dim: 32, heads: 1 },
            Self::AttendQ8 { positions: 128, head_dim: 32, heads: 2 },
            Self::AttendQ8 { positions: 128, head_dim: 64, heads: 2 },
            Self::Softmax { positions: 128 },
        ]
    }

    /// The kernel's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MatmulQ8 { .. } => "matmul_q8",
            Self::MatmulF16 { .. } => "matmul_f16",
            Self::Prepare { .. } => "prepare",
            Self::AttendQ8 { .. } => "attend_q8",
            Self::Softmax { .. } => "softmax",
        }
    }

    /// Units of work in one call: products, or elements where nothing is multiplied.
    pub const fn units(&self) -> usize {
        match *self {
            Self::MatmulQ8 { rows, cols, tokens, .. } | Self::MatmulF16 { rows, cols, tokens } => {
                rows * cols * tokens
            }
            Self::Prepare { cols, .. } => cols,
            Self::AttendQ8 { positions, head_dim, heads } => 2 * positions * head_dim * heads,
            Self::Softmax { positions } => positions,
        }
    }

    /// Calls the kernel once and returns the difference of two readings of `counter` around it. `work` is
    /// 16-byte aligned and holds what the kernel reads and writes.
    pub fn run(&self, kernels: &Kernels, work: &mut [u8], counter: &mut dyn FnMut() -> u64) -> u64 {
        let mut carver = Carver::new(work);
        let mut count = |call: &mut dyn FnMut()| {
            let before = counter();
            call();
            counter().wrapping_sub(before)
        };
        match *self {
            Self::MatmulQ8 { rows, cols, group, tokens, layout } => {
                let (stride, padded) =
                    (cols.next_multiple_of(group), layout.padded_rows(rows as u32) as usize);
                let groups = stride / group;
                let values: &mut [i8] = carver.take(padded * stride);
                let scales: &mut [f16] = carver.take(padded * groups);
                fill(values);
                scales.fill(f16::from_bits(0x2345));
                let out: &mut [f32] = carver.take(tokens * rows);
                let x: &mut [f32] = carver.take(tokens * cols);
                x.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 17) as f32 - 8.0);
                let mut input = Prepared {
                    values: carver.take(2 * tokens * stride),
                    scales: carver.take(tokens * groups),
                    sums: carver.take(tokens * groups),
                };
                (kernels.prepare)(x, cols, group, layout, &mut input);
                let matrix = Q8 { values, scales, rows, group, stride, layout };
                count(&mut || (kernels.matmul_q8)(&matrix, &input, &mut Tile::new(out, rows)))
            }
            Self::MatmulF16 { rows, cols, tokens } => {
                let matrix: &mut [f16] = carver.take(rows * cols);
                matrix
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, w)| *w = f16::from_bits(0x3000 + (i % 999) as u16));
                let x: &mut [f32] = carver.take(tokens * cols);
                x.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 17) as f32 - 8.0);
                let out: &mut [f32] = carver.take(tokens * rows);
                count(&mut || (kernels.matmul_f16)(matrix, cols, x, &mut Tile::new(out, rows)))
            }
            Self::Prepare { cols, group, layout } => {
                let stride = cols.next_multiple_of(group);
                let x: &mut [f32] = carver.take(cols);
                x.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 17) as f32 - 8.0);
                let groups = stride / group;
                let mut input = Prepared {
                    values: carver.take(2 * stride),
                    scales: carver.take(groups),
                    sums: carver.take(groups),
                };
                count(&mut || (kernels.prepare)(x, cols, group, layout, &mut input))
            }
            Self::AttendQ8 { positions, head_dim, heads } => {
                let stride = head_dim.next_multiple_of(HEAD_UNIT);
                let values: &mut [i8] = carver.take(positions * stride);
                fill(values);
                let scales: &mut [f16] = carver.take(positions);
                scales.fill(f16::from_bits(0x2345));
                let query: &mut [f32] = carver.take(heads * head_dim);
                query.iter_mut().enumerate().for_each(|(i, q)| *q = (i % 17) as f32 / 16.0);
                let mut space = AttentionWork {
                    scores: carver.take(heads * positions),
                    multipliers: carver.take(positions.min(MIX_BLOCK)),
                    query: carver.take(2 * heads * stride),
                };
                let out: &mut [f32] = carver.take(heads * head_dim);
                let head = Q8Heads { values, scales, stride };
                let attention =
                    Attention { query, head_dim, scale: 1e4, keys: head, values: head, adjust: None };
                count(&mut || (kernels.attend_q8)(&attention, &mut space, out))
            }
            Self::Softmax { positions } => {
                let scores: &mut [f32] = carver.take(positions);
                scores.iter_mut().enumerate().for_each(|(i, score)| *score = (i % 17) as f32 - 8.0);
                count(&mut || {
                    core::hint::black_box((kernels.softmax)(scores));
                })
            }
        }
    }
}
