//! Half-precision matrices: `VCVTB` and `VCVTT` widen the even and the odd columns of eight weights, and the inputs
//! are loaded apart in the same way. Two rows share the loads of the inputs.
//!
//! Eight lanes of a row are two vectors, the even ones and the odd ones. A product is rounded before it is added, so
//! eight columns of a row take one load, two conversions, two multiplications and two additions: 0.88 instructions
//! a product, and 1.06 with the inputs and the loop.

use core::arch::asm;

use half::f16;

use crate::kernels::portable::{self, LANES};
use crate::team::Tile;

pub(super) fn matmul_f16(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile) {
    let chunks = cols / LANES;
    let whole = chunks * LANES == cols;
    let rows = matrix.len() / cols;
    for (token, x) in x.chunks_exact(cols).enumerate() {
        let out = out.token(token);
        let mut first = 0;
        if whole && chunks > 0 && rows > 1 {
            let (pairs, _) = out.as_chunks_mut();
            first = 2 * pairs.len();
            // SAFETY: the matrix has two rows of `chunks` x 8 columns for each pair of outputs, `x` has as many
            // columns, and there is at least one pair.
            unsafe { pairs_of_rows(matrix.as_ptr(), x.as_ptr(), chunks, pairs) };
        }
        let rest = matrix[first * cols..].chunks_exact(cols);
        out[first..].iter_mut().zip(rest).for_each(|(out, row)| *out = row_with_tail(row, x));
    }
}

/// A row alone, or with columns that do not fill a vector.
#[inline(never)]
fn row_with_tail(row: &[f16], x: &[f32]) -> f32 {
    let ((chunks, tail), (_, x_tail)) = (row.as_chunks::<LANES>(), x.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    if !chunks.is_empty() {
        // SAFETY: the row and the inputs hold so many chunks, at least one.
        unsafe { one_row(row.as_ptr(), x.as_ptr(), chunks.len(), &mut lanes) };
    }
    for (lane, (w, x)) in lanes.iter_mut().zip(tail.iter().zip(x_tail)) {
        *lane += portable::to_f32(*w) * x;
    }
    portable::add_lanes(lanes)
}

/// Adds the products of eight weights with the inputs in q4 (even) and q5 (odd) to two vectors of lanes.
macro_rules! row {
    ($weights:literal, $even:literal, $odd:literal) => {
        concat!(
            concat!("vldrh.u16 q6, [", $weights, "], #16\n"),
            "vcvtb.f32.f16 q7, q6
            vmul.f32 q7, q7, q4
            ",
            concat!("vadd.f32 ", $even, ", ", $even, ", q7\n"),
            "vcvtt.f32.f16 q7, q6
            vmul.f32 q7, q7, q5
            ",
            concat!("vadd.f32 ", $odd, ", ", $odd, ", q7"),
        )
    };
}

/// Adds two vectors of lanes, given as their floats, in the portable order, to the first float.
macro_rules! sum {
    ($e0:literal, $e1:literal, $e2:literal, $e3:literal, $o0:literal, $o1:literal, $o2:literal, $o3:literal) => {
        concat!(
            concat!("vadd.f32 ", $e0, ", ", $e0, ", ", $e2, "\n vadd.f32 ", $e1, ", ", $e1, ", ", $e3, "\n"),
            concat!("vadd.f32 ", $o0, ", ", $o0, ", ", $o2, "\n vadd.f32 ", $o1, ", ", $o1, ", ", $o3, "\n"),
            concat!("vadd.f32 ", $e0, ", ", $e0, ", ", $e1, "\n vadd.f32 ", $o0, ", ", $o0, ", ", $o1, "\n"),
            concat!("vadd.f32 ", $e0, ", ", $e0, ", ", $o0),
        )
    };
}

/// The products of pairs of rows of `chunks` x 8 columns.
///
/// # Safety
/// `matrix` holds two rows for each pair of `out`, `x` one row, `chunks` and the pairs are at least 1.
#[inline(never)]
unsafe fn pairs_of_rows(matrix: *const f16, x: *const f32, chunks: usize, out: &mut [[f32; 2]]) {
    // SAFETY: the caller's lengths are what the loops read; they write the floats of `out`.
    unsafe {
        asm!(
            ".cpu cortex-m55",
            "3:",
            "add {second}, {first}, {chunks}, lsl #4",
            "mov {x}, {start}",
            "vmov.i32 q0, #0",
            "vmov.i32 q1, #0",
            "vmov.i32 q2, #0",
            "vmov.i32 q3, #0",
            "dls lr, {chunks}",
            "2:",
            "vld20.32 {{q4, q5}}, [{x}]",
            "vld21.32 {{q4, q5}}, [{x}]!",
            row!("{first}", "q0", "q1"),
            row!("{second}", "q2", "q3"),
            "le lr, 2b",
            sum!("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"),
            sum!("s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15"),
            "vmov.f32 s1, s8",
            "vstmia {out}!, {{s0, s1}}",
            "mov {first}, {second}",
            "subs {pairs}, {pairs}, #1",
            "bne 3b",
            first = inout(reg) matrix => _,
            second = out(reg) _,
            start = in(reg) x,
            x = out(reg) _,
            chunks = in(reg) chunks,
            out = inout(reg) out.as_mut_ptr() => _,
            pairs = inout(reg) out.len() => _,
            out("lr") _,
            out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _, out("q5") _, out("q6") _, out("q7") _,
            options(nostack),
        );
    }
}

/// The eight lanes of a row over `chunks` x 8 columns.
///
/// # Safety
/// `row` and `x` hold so many elements, and `chunks` is at least 1.
unsafe fn one_row(row: *const f16, x: *const f32, chunks: usize, lanes: &mut [f32; LANES]) {
    // SAFETY: the caller's lengths are what the loop reads; it writes the lanes.
    unsafe {
        asm!(
            ".cpu cortex-m55",
            "vmov.i32 q0, #0",
            "vmov.i32 q1, #0",
            "dls lr, {chunks}",
            "2:",
            "vld20.32 {{q4, q5}}, [{x}]",
            "vld21.32 {{q4, q5}}, [{x}]!",
            row!("{row}", "q0", "q1"),
            "le lr, 2b",
            // Even and odd lanes go back to where they belong.
            "vst20.32 {{q0, q1}}, [{lanes}]",
            "vst21.32 {{q0, q1}}, [{lanes}]",
            row = inout(reg) row => _,
            x = inout(reg) x => _,
            chunks = in(reg) chunks,
            lanes = in(reg) lanes.as_mut_ptr(),
            out("lr") _,
            out("q0") _, out("q1") _, out("q4") _, out("q5") _, out("q6") _, out("q7") _,
            options(nostack),
        );
    }
}
