//! Half-precision matrices: `VCVTB` and `VCVTT` widen the two halves of a register, `VMLA` multiplies, rounds and
//! adds. Two rows share the loads of the inputs.
//!
//! A weight costs at least two instructions, one to widen it and one to multiply: the core has no arithmetic on
//! half floats. The loop takes 37 for 16 products; starting and adding up the lanes of a row comes on top.

use core::arch::asm;

use half::f16;

use crate::kernels::portable::{self, LANES};
use crate::team::Tile;

pub(super) fn matmul_f16(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile) {
    // Pairs of half floats are loaded as words, so every row must begin at one.
    let chunks = if cols.is_multiple_of(2) { cols / LANES } else { 0 };
    for (pair, rows) in matrix.chunks(2 * cols).enumerate() {
        let (first, second) = rows.split_at(cols);
        // A last row without a partner is its own; the second result is dropped.
        let second = if second.is_empty() { first } else { second };
        for (token, x) in x.chunks_exact(cols).enumerate() {
            let mut lanes = [[0.0; LANES]; 2];
            if chunks > 0 {
                // SAFETY: both rows and the inputs hold `chunks` x 8 elements, rows begin at words.
                unsafe { two_rows(first.as_ptr(), second.as_ptr(), x.as_ptr(), chunks, &mut lanes) };
            }
            let tail = chunks * LANES..cols;
            for (lanes, row) in lanes.iter_mut().zip([first, second]) {
                for (i, (w, x)) in row[tail.clone()].iter().zip(&x[tail.clone()]).enumerate() {
                    lanes[i % LANES] += portable::to_f32(*w) * x;
                }
            }
            let sums = lanes.map(portable::add_lanes);
            out.token(token)[2 * pair..].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
        }
    }
}

/// Keys are a matrix with a row for each position.
pub(super) fn score_f16(query: &[f32], keys: &[f16], out: &mut [f32]) {
    let rows = out.len();
    matmul_f16(&keys[..rows * query.len()], query.len(), query, &mut Tile::new(out, rows));
}

/// Adds the products of four pairs of weights in s24 to s27 with the inputs in s16 to s23 to eight lanes.
macro_rules! row {
    ($l0:literal, $l1:literal, $l2:literal, $l3:literal, $l4:literal, $l5:literal, $l6:literal, $l7:literal) => {
        concat!(
            "vcvtb.f32.f16 s28, s24
            vcvtt.f32.f16 s29, s24
            vcvtb.f32.f16 s30, s25
            vcvtt.f32.f16 s31, s25
            ",
            concat!("vmla.f32 ", $l0, ", s28, s16\n vmla.f32 ", $l1, ", s29, s17\n"),
            concat!("vmla.f32 ", $l2, ", s30, s18\n vmla.f32 ", $l3, ", s31, s19\n"),
            "vcvtb.f32.f16 s28, s26
            vcvtt.f32.f16 s29, s26
            vcvtb.f32.f16 s30, s27
            vcvtt.f32.f16 s31, s27
            ",
            concat!("vmla.f32 ", $l4, ", s28, s20\n vmla.f32 ", $l5, ", s29, s21\n"),
            concat!("vmla.f32 ", $l6, ", s30, s22\n vmla.f32 ", $l7, ", s31, s23\n"),
        )
    };
}

/// The eight lanes of two rows over `chunks` x 8 columns.
///
/// # Safety
/// `first`, `second` and `x` hold so many elements, `chunks` is at least 1, and all begin at words.
#[inline(never)]
unsafe fn two_rows(
    first: *const f16,
    second: *const f16,
    x: *const f32,
    chunks: usize,
    lanes: &mut [[f32; LANES]; 2],
) {
    // SAFETY: the caller's lengths are what the loop reads; it reads and writes the sixteen lanes.
    unsafe {
        asm!(
            "vldmia {lanes}, {{s0-s15}}",
            "2:",
            "vldmia {x}!, {{s16-s23}}",
            "vldmia {first}!, {{s24-s27}}",
            row!("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"),
            "vldmia {second}!, {{s24-s27}}",
            row!("s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15"),
            "subs {chunks}, #1",
            "bne 2b",
            "vstmia {lanes}, {{s0-s15}}",
            first = inout(reg) first => _,
            second = inout(reg) second => _,
            x = inout(reg) x => _,
            chunks = inout(reg) chunks => _,
            lanes = in(reg) lanes.as_mut_ptr(),
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _,
            out("s15") _, out("s16") _, out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _,
            out("s22") _, out("s23") _, out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _,
            out("s29") _, out("s30") _, out("s31") _,
            options(nostack),
        );
    }
}
