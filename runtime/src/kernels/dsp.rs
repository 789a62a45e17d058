//! Cortex-M cores with the DSP extension: M4, M7, M33.
//!
//! A word of the biased layout holds four weights b0..b3, b0 and b2 stored with +128. Read as two halfwords it is
//! 256*b1 + b0 and 256*b3 + b2, so two multiplications of halfword pairs and one unpacking give 256 times the
//! wanted sum, exactly:
//!
//! ```text
//! SMLAD acc, w, (x1, x3)                        256*(b1*x1 + b3*x3) + b0*x1 + b2*x3
//! UXTB16 u, w                                   (b0, b2)
//! SMLAD acc, u, (256*x0 - x1, 256*x2 - x3)      256*(b0*x0 + b2*x2) - b0*x1 - b2*x3
//! ```
//!
//! The usual way unpacks twice. What the bias adds, 128 times the sum of the even inputs, is taken off once
//! for a group. A 32-bit sum holds 256 products.
#![allow(unsafe_code)]

use core::arch::asm;

use half::f16;
use sprat_format::{Activation, BLOCK_ROWS, Layout, WORD};

use super::{Kernels, Prepared, Q8, portable};
use crate::team::Tile;

mod attention;
mod floats;
mod half_floats;
mod quantize;
mod silu;

pub(super) static KERNELS: Kernels = Kernels {
    name: "dsp",
    quantize: quantize::quantize,
    prepare: quantize::prepare,
    matmul_q8,
    matmul_f16: half_floats::matmul_f16,
    matmul_f32: floats::matmul_f32,
    attend_q8: attention::attend_q8,
    score_f16: half_floats::score_f16,
    score_f32: floats::score_f32,
    dot: floats::dot,
    add: floats::add,
    normalize: floats::normalize,
    gate,
    sqrt: silu::sqrt,
    ..portable::KERNELS
};

/// Words that one unrolled run of instructions takes from each of the four rows.
const RUN_WORDS: usize = 8;

fn gate(activation: Activation, gate: &[f32], up: &mut [f32]) {
    match activation {
        Activation::Silu => silu::gate_silu(gate, up),
        _ => portable::gate(activation, gate, up),
    }
}

fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    if matrix.layout != Layout::InterleavedBiased {
        return portable::compact::matmul_q8(matrix, input, out);
    }
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    let tokens = input.scales.len() / groups;
    let rows = matrix.rows;
    if tokens == 1 && rows.is_multiple_of(BLOCK_ROWS) {
        return blocks(matrix, input.values, input.scales, input.sums, out.token(0));
    }
    for first_row in (0..rows).step_by(RUN_ROWS) {
        let run = matrix.part(first_row..rows.min(first_row + RUN_ROWS));
        for token in 0..tokens {
            let values = &input.values[token * 2 * stride..][..2 * stride];
            let scales = &input.scales[token * groups..][..groups];
            let sums = &input.sums[token * groups..][..groups];
            let out = &mut out.token(token)[first_row..first_row + run.rows];
            // The last block may have rows of padding, whose outputs have no place in `out`.
            let (whole, rest) = out.split_at_mut(run.rows / BLOCK_ROWS * BLOCK_ROWS);
            if !whole.is_empty() {
                blocks(&run, values, scales, sums, whole);
            }
            if !rest.is_empty() {
                let mut rows = [0.0; BLOCK_ROWS];
                blocks(&run.part(whole.len()..run.rows), values, scales, sums, &mut rows);
                rest.iter_mut().zip(rows).for_each(|(out, row)| *out = row);
            }
        }
    }
}

/// Rows whose weights go through the cache, where there is one, for all tokens before the next ones follow.
const RUN_ROWS: usize = 32;

/// The products of whole blocks with one token's inputs: `out` has four places for each block, of which the matrix
/// may have more.
fn blocks(matrix: &Q8, values: &[i8], scales: &[f32], sums: &[i32], out: &mut [f32]) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = scales.len();
    match group {
        // SAFETY: the matrix has a block for every four places of `out` and `groups` groups in each row;
        // `values`, `scales` and `sums` have as many; everything is aligned to words.
        64 => unsafe { groups_of_64(matrix.values, matrix.scales, values, scales, sums, out) },
        // SAFETY: as above.
        32 => unsafe { groups_of_32(matrix.values, matrix.scales, values, scales, sums, out) },
        _ => {
            let weights = matrix.values.chunks_exact(stride * BLOCK_ROWS);
            let weights = weights.zip(matrix.scales.chunks_exact(groups * BLOCK_ROWS));
            for ((weights, weight_scales), out) in weights.zip(out.as_chunks_mut().0) {
                groups_of_any(weights, weight_scales, values, scales, sums, group, out);
            }
        }
    }
}

/// The products over groups of any length.
fn groups_of_any(
    weights: &[i8],
    weight_scales: &[f16],
    values: &[i8],
    scales: &[f32],
    sums: &[i32],
    group: usize,
    out: &mut [f32; BLOCK_ROWS],
) {
    let mut acc = [0.0; BLOCK_ROWS];
    let (weight_scales, _) = weight_scales.as_chunks::<BLOCK_ROWS>();
    // Both run over whole groups, so they end together: the pointers stay within what the slices hold.
    let (mut w, mut x) = (weights.as_ptr().cast::<u32>(), values.as_ptr().cast::<u32>());
    for ((weight_scales, scale), bias) in weight_scales.iter().zip(scales).zip(sums) {
        let mut dots = [0; BLOCK_ROWS];
        let mut words = group / WORD;
        while words >= RUN_WORDS {
            // SAFETY: at least so many words of the group are left, in both.
            unsafe { run(&mut dots, &mut w, &mut x) };
            words -= RUN_WORDS;
        }
        while words > 0 {
            // SAFETY: at least one word of the group is left, in both.
            unsafe { step(&mut dots, &mut w, &mut x) };
            words -= 1;
        }
        for row in 0..BLOCK_ROWS {
            let sum = (dots[row] >> 8) - bias;
            acc[row] += sum as f32 * (portable::to_f32(weight_scales[row]) * scale);
        }
    }
    *out = acc;
}

/// The instructions for one word of each row. Repeated as text and not by `.rept`: the compiler counts lines to
/// know how far its branches have to reach.
macro_rules! word {
    () => {
        "ldrd {odd}, {even}, [{x}], #8
        ldmia {w}!, {{r4, r5, r8, r9}}
        smlad {d0}, r4, {odd}, {d0}
        smlad {d1}, r5, {odd}, {d1}
        smlad {d2}, r8, {odd}, {d2}
        smlad {d3}, r9, {odd}, {d3}
        uxtb16 r4, r4
        uxtb16 r5, r5
        uxtb16 r8, r8
        uxtb16 r9, r9
        smlad {d0}, r4, {even}, {d0}
        smlad {d1}, r5, {even}, {d1}
        smlad {d2}, r8, {even}, {d2}
        smlad {d3}, r9, {even}, {d3}
        "
    };
}

/// As `word`, for the first word of a group: the sums start here.
macro_rules! first_word {
    () => {
        "ldrd {odd}, {even}, [{x}], #8
        ldmia {w}!, {{r4, r5, r8, r9}}
        smuad {d0}, r4, {odd}
        smuad {d1}, r5, {odd}
        smuad {d2}, r8, {odd}
        smuad {d3}, r9, {odd}
        uxtb16 r4, r4
        uxtb16 r5, r5
        uxtb16 r8, r8
        uxtb16 r9, r9
        smlad {d0}, r4, {even}, {d0}
        smlad {d1}, r5, {even}, {d1}
        smlad {d2}, r8, {even}, {d2}
        smlad {d3}, r9, {even}, {d3}
        "
    };
}

/// Defines a function that goes through blocks of four rows, all in groups of one length, in one block of
/// assembly. All core registers are taken by the products, so what a group or block needs only once waits in the
/// floating-point registers:
///
/// | register | holds |
/// | --- | --- |
/// | s0 to s11 | a group's sums and scales |
/// | s12 to s15 | the block's outputs |
/// | s16, s17 | scales of the weights and of the inputs |
/// | s18, s19 | sums of the inputs, groups left |
/// | s20, s21 | outputs, blocks left |
/// | s22 to s25 | inputs, their scales, their sums, groups: where a block starts |
/// | s26 | 0 |
///
/// `VMLA` rounds the product before it adds, as the portable kernel does.
macro_rules! groups {
    ($(#[$doc:meta])* $name:ident, $($word:tt)*) => {
        $(#[$doc])*
        #[inline(never)]
        unsafe fn $name(
            weights: &[i8],
            weight_scales: &[f16],
            values: &[i8],
            scales: &[f32],
            sums: &[i32],
            out: &mut [f32],
        ) {
            let zero = 0.0f32;
            // SAFETY: the caller's lengths are what the loops read; they write the floats of `out`.
            unsafe {
                asm!(
                    "vmov s16, {d0}",
                    "vmov s23, {d1}",
                    "vmov s24, {d2}",
                    "vmov s25, {d3}",
                    "vmov s20, {odd}",
                    "vmov s21, {even}",
                    "vmov s22, {x}",
                    "vldr s26, [r4]",
                    "3:",
                    "vmov {x}, s22",
                    "vmov.f32 s17, s23",
                    "vmov.f32 s18, s24",
                    "vmov.f32 s19, s25",
                    "vmov.f32 s12, s26",
                    "vmov.f32 s13, s26",
                    "vmov.f32 s14, s26",
                    "vmov.f32 s15, s26",
                    "2:",
                    concat!(first_word!(), $($word)*),
                    // the flags of the countdown stay until the end of the group
                    "vmov r8, r9, s18, s19",
                    "vmov r4, r5, s16, s17",
                    "ldr {even}, [r8], #4",
                    "vldmia r4!, {{s4, s5}}",
                    "vldmia r5!, {{s6}}",
                    "subs r9, #1",
                    "vmov s16, s17, r4, r5",
                    "vmov s18, s19, r8, r9",
                    // sums: shift out the factor of 256, take off the bias, to float in s0..s3
                    "rsb {d0}, {even}, {d0}, asr #8",
                    "rsb {d1}, {even}, {d1}, asr #8",
                    "rsb {d2}, {even}, {d2}, asr #8",
                    "rsb {d3}, {even}, {d3}, asr #8",
                    "vmov s0, s1, {d0}, {d1}",
                    "vmov s2, s3, {d2}, {d3}",
                    // scales of the four rows to s8..s11, times the inputs' scale
                    "vcvtb.f32.f16 s8, s4",
                    "vcvtt.f32.f16 s9, s4",
                    "vcvtb.f32.f16 s10, s5",
                    "vcvtt.f32.f16 s11, s5",
                    "vcvt.f32.s32 s0, s0",
                    "vcvt.f32.s32 s1, s1",
                    "vcvt.f32.s32 s2, s2",
                    "vcvt.f32.s32 s3, s3",
                    "vmul.f32 s8, s8, s6",
                    "vmul.f32 s9, s9, s6",
                    "vmul.f32 s10, s10, s6",
                    "vmul.f32 s11, s11, s6",
                    "vmla.f32 s12, s0, s8",
                    "vmla.f32 s13, s1, s9",
                    "vmla.f32 s14, s2, s10",
                    "vmla.f32 s15, s3, s11",
                    "bne 2b",
                    "vmov {odd}, {even}, s20, s21",
                    "vstmia {odd}!, {{s12-s15}}",
                    "subs {even}, #1",
                    "vmov s20, s21, {odd}, {even}",
                    "bne 3b",
                    d0 = inout(reg) weight_scales.as_ptr() => _,
                    d1 = inout(reg) scales.as_ptr() => _,
                    d2 = inout(reg) sums.as_ptr() => _,
                    d3 = inout(reg) scales.len() => _,
                    odd = inout(reg) out.as_mut_ptr() => _,
                    even = inout(reg) out.len() / BLOCK_ROWS => _,
                    x = inout(reg) values.as_ptr() => _,
                    w = inout(reg) weights.as_ptr() => _,
                    inout("r4") &raw const zero => _, out("r5") _, out("r8") _, out("r9") _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _,
                    out("s15") _, out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _,
                    out("s21") _, out("s22") _, out("s23") _, out("s24") _, out("s25") _, out("s26") _,
                    options(nostack),
                );
            }
        }
    };
}

groups!(
    /// The products of blocks in groups of 64 columns.
    ///
    /// # Safety
    /// `out` has 4 x b places, `scales` g floats, both at least 1; `weights` are b x g x 4 x 64 bytes,
    /// `weight_scales` b x g x 4, `values` g x 128 bytes, `sums` g; all are aligned to words.
    groups_of_64, word!(), word!(), word!(), word!(), word!(), word!(), word!(), word!(), word!(), word!(), word!(),
    word!(), word!(), word!(), word!()
);
groups!(
    /// The products of blocks in groups of 32 columns.
    ///
    /// # Safety
    /// `out` has 4 x b places, `scales` g floats, both at least 1; `weights` are b x g x 4 x 32 bytes,
    /// `weight_scales` b x g x 4, `values` g x 64 bytes, `sums` g; all are aligned to words.
    groups_of_32, word!(), word!(), word!(), word!(), word!(), word!(), word!()
);

/// Defines a function that multiplies a number of words of four rows, in one block of assembly: single
/// instructions would make the compiler spill registers between them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $($word:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        unsafe fn $name(dots: &mut [i32; BLOCK_ROWS], w: &mut *const u32, x: &mut *const u32) {
            let [d0, d1, d2, d3] = dots;
            // SAFETY: the caller has so many words behind both pointers, which are aligned to words; the
            // instructions write registers only.
            unsafe {
                asm!(
                    concat!($($word)*),
                    d0 = inout(reg) *d0, d1 = inout(reg) *d1, d2 = inout(reg) *d2, d3 = inout(reg) *d3,
                    odd = out(reg) _, even = out(reg) _, x = inout(reg) *x, w = inout(reg) *w,
                    out("r4") _, out("r5") _, out("r8") _, out("r9") _,
                    options(nostack, readonly),
                );
            }
        }
    };
}

words!(
    /// Adds the products of [`RUN_WORDS`] words of each row to the sums and moves both pointers behind them.
    ///
    /// # Safety
    /// Behind `w` are so many words of four rows, behind `x` twice so many; both are aligned to words.
    run, word!(), word!(), word!(), word!(), word!(), word!(), word!(), word!()
);
words!(
    /// Adds the products of one word of each row to the sums and moves both pointers behind it.
    ///
    /// # Safety
    /// Behind `w` is a word of four rows, behind `x` are two words; both are aligned to words.
    step, word!()
);
