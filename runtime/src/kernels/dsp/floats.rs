//! Products of `f32`: eight lanes in eight registers, `VMLA` multiplies, rounds and adds.
//!
//! One function for a pair of rows, which everything else calls: norms are short, and matrices of floats are for
//! reference.

use core::arch::asm;

use crate::kernels::portable::{self, LANES};
use crate::team::Tile;

/// The sum of the products of two rows, in the lane order.
#[inline(never)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_chunks, a_tail), (b_chunks, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    let chunks = a_chunks.len().min(b_chunks.len());
    if chunks > 0 {
        // SAFETY: both rows hold so many chunks; the loop writes the eight lanes.
        unsafe {
            asm!(
                "vldmia {lanes}, {{s0-s7}}",
                "2:",
                "vldmia {a}!, {{s8-s15}}",
                "vldmia {b}!, {{s16-s23}}",
                "vmla.f32 s0, s8, s16",
                "vmla.f32 s1, s9, s17",
                "vmla.f32 s2, s10, s18",
                "vmla.f32 s3, s11, s19",
                "vmla.f32 s4, s12, s20",
                "vmla.f32 s5, s13, s21",
                "vmla.f32 s6, s14, s22",
                "vmla.f32 s7, s15, s23",
                "subs {chunks}, #1",
                "bne 2b",
                "vstmia {lanes}, {{s0-s7}}",
                a = inout(reg) a_chunks.as_ptr() => _,
                b = inout(reg) b_chunks.as_ptr() => _,
                chunks = inout(reg) chunks => _,
                lanes = in(reg) lanes.as_mut_ptr(),
                out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _,
                out("s7") _, out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _,
                out("s14") _, out("s15") _, out("s16") _, out("s17") _, out("s18") _, out("s19") _,
                out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                options(nostack),
            );
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_tail.iter().zip(b_tail)) {
        *lane += a * b;
    }
    portable::add_lanes(lanes)
}

/// Products of a matrix with T rows of C values.
pub(super) fn matmul_f32(matrix: &[f32], cols: usize, x: &[f32], out: &mut Tile) {
    for (row, weights) in matrix.chunks_exact(cols).enumerate() {
        for (token, x) in x.chunks_exact(cols).enumerate() {
            out.token(token)[row] = dot(weights, x);
        }
    }
}

/// Scores of one query against P keys.
pub(super) fn score_f32(query: &[f32], keys: &[f32], out: &mut [f32]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len())) {
        *out = dot(key, query);
    }
}

/// What [`portable::add`] does.
pub(super) fn add(x: &[f32], sum: &mut [f32]) {
    let ((sums, sum_rest), (xs, x_rest)) = (sum.as_chunks_mut::<4>(), x.as_chunks::<4>());
    let count = sums.len().min(xs.len());
    if count > 0 {
        // SAFETY: so many times four floats are in both.
        unsafe {
            asm!(
                "2:",
                "vldmia {x}!, {{s0-s3}}",
                "vldmia {sum}, {{s4-s7}}",
                "subs {count}, #1",
                "vadd.f32 s4, s4, s0",
                "vadd.f32 s5, s5, s1",
                "vadd.f32 s6, s6, s2",
                "vadd.f32 s7, s7, s3",
                "vstmia {sum}!, {{s4-s7}}",
                "bne 2b",
                x = inout(reg) xs.as_ptr() => _,
                sum = inout(reg) sums.as_mut_ptr() => _,
                count = inout(reg) count => _,
                out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                options(nostack),
            );
        }
    }
    portable::add(x_rest, sum_rest);
}

/// What [`portable::normalize`] does.
pub(super) fn normalize(x: &[f32], mean: f32, scale: f32, weight: &[f32], out: &mut [f32]) {
    let ((outs, out_rest), (xs, x_rest)) = (out.as_chunks_mut::<4>(), x.as_chunks::<4>());
    let (weights, weight_rest) = weight.as_chunks::<4>();
    let count = outs.len().min(xs.len()).min(weights.len());
    if count > 0 {
        // SAFETY: so many times four floats are in all three.
        unsafe {
            asm!(
                "vmov s8, {mean}",
                "vmov s9, {scale}",
                "2:",
                "vldmia {x}!, {{s0-s3}}",
                "vldmia {weight}!, {{s4-s7}}",
                "subs {count}, #1",
                "vsub.f32 s0, s0, s8",
                "vsub.f32 s1, s1, s8",
                "vsub.f32 s2, s2, s8",
                "vsub.f32 s3, s3, s8",
                "vmul.f32 s0, s0, s9",
                "vmul.f32 s1, s1, s9",
                "vmul.f32 s2, s2, s9",
                "vmul.f32 s3, s3, s9",
                "vmul.f32 s0, s0, s4",
                "vmul.f32 s1, s1, s5",
                "vmul.f32 s2, s2, s6",
                "vmul.f32 s3, s3, s7",
                "vstmia {out}!, {{s0-s3}}",
                "bne 2b",
                x = inout(reg) xs.as_ptr() => _,
                weight = inout(reg) weights.as_ptr() => _,
                out = inout(reg) outs.as_mut_ptr() => _,
                count = inout(reg) count => _,
                mean = in(reg) mean.to_bits(),
                scale = in(reg) scale.to_bits(),
                out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _,
                out("s5") _, out("s6") _, out("s7") _, out("s8") _, out("s9") _,
                options(nostack),
            );
        }
    }
    portable::normalize(x_rest, mean, scale, weight_rest, out_rest);
}
