//! Products of signed bytes: how each instruction set adds them up.

use core::arch::aarch64::*;
use core::arch::asm;

use sprat_format::WORD;

/// Columns that one vector of inputs holds: four vectors of weights.
pub(super) const COLUMNS: usize = 16;

/// The body for every vector of inputs, written out where the number of columns is one of the usual two and known to
/// the compiler, which then needs neither counters nor sums of addresses.
macro_rules! unrolled {
    ($columns:expr, $body:block) => {
        match $columns {
            64 => {
                $body $body $body $body
            }
            32 => {
                $body $body
            }
            columns => {
                for _ in 0..columns / COLUMNS $body
            }
        }
    };
}

/// How the products of bytes, all of -127..=127, are added up.
pub(super) trait Products {
    /// Tokens for which two blocks at once do not need more registers than there are.
    const FOUR_TOKENS: bool;

    /// For B blocks and T tokens, the sums of the products of `columns` columns, a multiple of 16. Weights are
    /// XORed with `bias` first, if `BIASED`. The pointers move behind what was read.
    ///
    /// # Safety
    /// The instruction set is present; each pointer has so many columns behind it.
    unsafe fn sums<const B: usize, const T: usize, const BIASED: bool>(
        weights: &mut [*const int8x16_t; B],
        inputs: &mut [*const int8x16_t; T],
        columns: usize,
        bias: int8x16_t,
    ) -> [[int32x4_t; T]; B];

    /// `acc`, to whose lanes together the 16 products of two vectors are added.
    ///
    /// # Safety
    /// The instruction set is present.
    unsafe fn add(acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t;

    /// Two partial sums of the products of the vectors' first halves, and two of their second halves.
    ///
    /// # Safety
    /// The instruction set is present.
    unsafe fn halves(a: int8x16_t, b: int8x16_t) -> int32x4_t;
}

/// Widening multiplications. Two products fit 16 bits (2 * 127 * 127 = 32258), so two words of a row are multiplied
/// and added there before pairs of neighbours go to 32 bits.
pub(super) struct Neon;

impl Products for Neon {
    const FOUR_TOKENS: bool = false;

    #[inline(always)]
    unsafe fn sums<const B: usize, const T: usize, const BIASED: bool>(
        weights: &mut [*const int8x16_t; B],
        inputs: &mut [*const int8x16_t; T],
        columns: usize,
        bias: int8x16_t,
    ) -> [[int32x4_t; T]; B] {
        // SAFETY: the caller has the instruction set and the columns.
        unsafe {
            // Of rows 0 and 1, and of rows 2 and 3: two partial sums each.
            let mut low = [[vdupq_n_s32(0); T]; B];
            let mut high = [[vdupq_n_s32(0); T]; B];
            unrolled!(columns, {
                for t in 0..T {
                    let q = vreinterpretq_s32_s8(*inputs[t]);
                    inputs[t] = inputs[t].add(1);
                    let words = [
                        vreinterpretq_s8_s32(vdupq_laneq_s32::<0>(q)),
                        vreinterpretq_s8_s32(vdupq_laneq_s32::<1>(q)),
                        vreinterpretq_s8_s32(vdupq_laneq_s32::<2>(q)),
                        vreinterpretq_s8_s32(vdupq_laneq_s32::<3>(q)),
                    ];
                    for pair in 0..2 {
                        let [q0, q1] = [words[2 * pair], words[2 * pair + 1]];
                        for b in 0..B {
                            let at = weights[b].add(2 * pair);
                            let (mut w0, mut w1) = (*at, *at.add(1));
                            if BIASED {
                                (w0, w1) = (veorq_s8(w0, bias), veorq_s8(w1, bias));
                            }
                            let products = vmull_s8(vget_low_s8(w0), vget_low_s8(q0));
                            let products = vmlal_s8(products, vget_low_s8(w1), vget_low_s8(q1));
                            low[b][t] = vpadalq_s16(low[b][t], products);
                            let products = vmull_high_s8(w0, q0);
                            let products = vmlal_high_s8(products, w1, q1);
                            high[b][t] = vpadalq_s16(high[b][t], products);
                        }
                    }
                }
                *weights = weights.map(|weights| weights.add(WORD));
            });
            let mut sums = low;
            for b in 0..B {
                for t in 0..T {
                    sums[b][t] = vpaddq_s32(low[b][t], high[b][t]);
                }
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn add(acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller has the instruction set.
        unsafe { vpadalq_s16(acc, vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), a, b)) }
    }

    #[inline(always)]
    unsafe fn halves(a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller has the instruction set.
        unsafe {
            let first = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            vpaddlq_s16(vpaddq_s16(first, vmull_high_s8(a, b)))
        }
    }
}

/// `SDOT`: four products and their sum, in each of four lanes.
pub(super) struct DotProd;

/// `acc` plus, in each of the four lanes, the products of four bytes with a word of the inputs.
///
/// # Safety
/// The dot product instructions are present.
#[inline(always)]
unsafe fn sdot<const LANE: usize>(mut acc: int32x4_t, w: int8x16_t, q: int8x16_t) -> int32x4_t {
    // SAFETY: the caller has the instruction, which reads and writes these registers only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {q:v}.4b[{lane}]",
            acc = inout(vreg) acc, w = in(vreg) w, q = in(vreg) q, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// Adds the products of 16 columns of four blocks with one token's inputs, and moves the pointers behind them.
///
/// In one piece, because a compiler takes loads of four vectors apart. Sums are added to in turns, so that a core
/// that does not reorder instructions has no need to wait for the one before.
///
/// # Safety
/// The dot product instructions are present, and four vectors behind each pointer.
#[inline(always)]
unsafe fn four_blocks(weights: [&mut *const int8x16_t; 4], sums: [&mut int32x4_t; 4], q: int8x16_t) {
    let ([w0, w1, w2, w3], [s0, s1, s2, s3]) = (weights, sums);
    // SAFETY: the caller has the instructions and the vectors; nothing is written.
    unsafe {
        asm!(
            "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{w0}], #64",
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{w1}], #64",
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{w2}], #64",
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{w3}], #64",
            "sdot {s0:v}.4s, v16.16b, {q:v}.4b[0]",
            "sdot {s1:v}.4s, v20.16b, {q:v}.4b[0]",
            "sdot {s2:v}.4s, v24.16b, {q:v}.4b[0]",
            "sdot {s3:v}.4s, v28.16b, {q:v}.4b[0]",
            "sdot {s0:v}.4s, v17.16b, {q:v}.4b[1]",
            "sdot {s1:v}.4s, v21.16b, {q:v}.4b[1]",
            "sdot {s2:v}.4s, v25.16b, {q:v}.4b[1]",
            "sdot {s3:v}.4s, v29.16b, {q:v}.4b[1]",
            "sdot {s0:v}.4s, v18.16b, {q:v}.4b[2]",
            "sdot {s1:v}.4s, v22.16b, {q:v}.4b[2]",
            "sdot {s2:v}.4s, v26.16b, {q:v}.4b[2]",
            "sdot {s3:v}.4s, v30.16b, {q:v}.4b[2]",
            "sdot {s0:v}.4s, v19.16b, {q:v}.4b[3]",
            "sdot {s1:v}.4s, v23.16b, {q:v}.4b[3]",
            "sdot {s2:v}.4s, v27.16b, {q:v}.4b[3]",
            "sdot {s3:v}.4s, v31.16b, {q:v}.4b[3]",
            w0 = inout(reg) *w0, w1 = inout(reg) *w1, w2 = inout(reg) *w2, w3 = inout(reg) *w3,
            s0 = inout(vreg) *s0, s1 = inout(vreg) *s1, s2 = inout(vreg) *s2, s3 = inout(vreg) *s3,
            q = in(vreg) q,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
            out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
            out("v30") _, out("v31") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}

impl Products for DotProd {
    const FOUR_TOKENS: bool = true;

    #[inline(always)]
    unsafe fn sums<const B: usize, const T: usize, const BIASED: bool>(
        weights: &mut [*const int8x16_t; B],
        inputs: &mut [*const int8x16_t; T],
        columns: usize,
        bias: int8x16_t,
    ) -> [[int32x4_t; T]; B] {
        // SAFETY: the caller has the instruction set and the columns.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); T]; B];
            unrolled!(columns, {
                let mut q = [bias; T];
                for t in 0..T {
                    q[t] = *inputs[t];
                    inputs[t] = inputs[t].add(1);
                }
                if let ([w0, w1, w2, w3], [s0, s1, s2, s3], [q], false) =
                    (&mut weights[..], sums.as_flattened_mut(), &q[..], BIASED)
                {
                    four_blocks([w0, w1, w2, w3], [s0, s1, s2, s3], *q);
                } else {
                    for b in 0..B {
                        let mut w: [_; WORD] = core::array::from_fn(|word| *weights[b].add(word));
                        weights[b] = weights[b].add(WORD);
                        if BIASED {
                            w = w.map(|w| veorq_s8(w, bias));
                        }
                        for t in 0..T {
                            sums[b][t] = sdot::<0>(sums[b][t], w[0], q[t]);
                            sums[b][t] = sdot::<1>(sums[b][t], w[1], q[t]);
                            sums[b][t] = sdot::<2>(sums[b][t], w[2], q[t]);
                            sums[b][t] = sdot::<3>(sums[b][t], w[3], q[t]);
                        }
                    }
                }
            });
            sums
        }
    }

    #[inline(always)]
    unsafe fn add(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller has the instruction, which reads and writes these registers only.
        unsafe {
            asm!(
                "sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b",
                acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        acc
    }

    #[inline(always)]
    unsafe fn halves(a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller has the instruction set.
        unsafe { Self::add(vdupq_n_s32(0), a, b) }
    }
}
