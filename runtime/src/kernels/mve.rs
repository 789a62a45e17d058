//! Cortex-M cores with Helium (MVE): M55, M85.
//!
//! One deinterleaving load of 64 bytes brings 16 columns of each of a block's four rows; `VMLADAV` multiplies
//! 16 bytes and adds them all up. A block's whole row of groups is one block of assembly, because stable Rust
//! has neither the intrinsics nor vector operands.
//!
//! Helium flushes subnormal floats to zero, which the portable kernels do not. None occur here: a scale of inputs
//! is at least 2^-74 (see `LEAST_AMPLITUDE`), a weight's at least 2^-24, and sums of their products are multiples
//! of ordinary numbers.
#![allow(unsafe_code)]

use core::arch::asm;

use half::f16;
use sprat_format::{BLOCK_ROWS, Layout};

use super::{Kernels, Prepared, Q8, portable};
use crate::team::Tile;

pub(super) static KERNELS: Kernels = Kernels { name: "mve", matmul_q8, ..portable::KERNELS };

/// Columns that one load takes of each row.
const COLUMNS: usize = 16;

fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    if matrix.layout != Layout::Interleaved || !matrix.group.is_multiple_of(COLUMNS) {
        return portable::matmul_q8(matrix, input, out);
    }
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    let tokens = input.scales.len() / groups;
    let rows = matrix.rows;
    for first_row in (0..rows).step_by(RUN_ROWS) {
        let run = matrix.part(first_row..rows.min(first_row + RUN_ROWS));
        for token in 0..tokens {
            let values = &input.values[token * 2 * stride..][..stride];
            let scales = &input.scales[token * groups..][..groups];
            let out = &mut out.token(token)[first_row..first_row + run.rows];
            // The last block may have rows of padding, whose outputs have no place in `out`.
            let (whole, rest) = out.split_at_mut(run.rows / BLOCK_ROWS * BLOCK_ROWS);
            if !whole.is_empty() {
                blocks(&run.part(0..whole.len()), values, scales, whole);
            }
            if !rest.is_empty() {
                let mut rows = [0.0; BLOCK_ROWS];
                blocks(&run.part(whole.len()..run.rows), values, scales, &mut rows);
                rest.iter_mut().zip(rows).for_each(|(out, row)| *out = row);
            }
        }
    }
}

/// Rows whose weights go through the cache, where there is one, for all tokens before the next ones follow.
const RUN_ROWS: usize = 32;

/// The products of whole blocks with one token's inputs: `out` has four places for each block.
fn blocks(matrix: &Q8, values: &[i8], scales: &[f32], out: &mut [f32]) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = scales.len();
    if group == 64 {
        // SAFETY: the matrix has a block for every four places of `out` and `groups` groups in each row;
        // `values` and `scales` have as many.
        unsafe { groups_of_64(matrix.values, matrix.scales, values, scales, out) };
        return;
    }
    let weights = matrix.values.chunks_exact(stride * BLOCK_ROWS);
    let weights = weights.zip(matrix.scales.chunks_exact(groups * BLOCK_ROWS));
    for ((weights, weight_scales), out) in weights.zip(out.as_chunks_mut().0) {
        groups_of_16(weights, weight_scales, values, scales, group / COLUMNS, out);
    }
}

/// Loads 16 columns of four rows to q0..q3, and of the inputs to q4.
macro_rules! load {
    () => {
        "vld40.32 {{q0, q1, q2, q3}}, [{w}]
        vld41.32 {{q0, q1, q2, q3}}, [{w}]
        vld42.32 {{q0, q1, q2, q3}}, [{w}]
        vld43.32 {{q0, q1, q2, q3}}, [{w}]!
        vldrb.u8 q4, [{x}], #16
        "
    };
}

/// Adds the products of 16 columns to r0, r2, r4 and r8. Repeated as text and not by `.rept`: the compiler counts
/// lines to know how far its branches have to reach.
macro_rules! columns {
    () => {
        concat!(
            load!(),
            "vmladava.s8 r0, q0, q4
            vmladava.s8 r2, q1, q4
            vmladava.s8 r4, q2, q4
            vmladava.s8 r8, q3, q4
            "
        )
    };
}

/// The products of blocks in groups of 64 columns. What a block needs only once waits in floating-point registers.
///
/// # Safety
/// `out` has 4 x b places, `scales` g floats, both at least 1; `weights` are b x g x 4 x 64 bytes,
/// `weight_scales` b x g x 4, `values` g x 64.
#[inline(never)]
unsafe fn groups_of_64(
    weights: &[i8],
    weight_scales: &[f16],
    values: &[i8],
    scales: &[f32],
    out: &mut [f32],
) {
    // SAFETY: the caller's lengths are what the loops read; they write the floats of `out`.
    unsafe {
        asm!(
            "vmov s24, {x}",
            "vmov s25, {xs}",
            "3:",
            "vmov {x}, s24",
            "vmov {xs}, s25",
            "dls lr, {groups}",
            "vmov.i32 q5, #0",
            "2:",
            load!(),
            "vmladav.s8 r0, q0, q4",
            "vmladav.s8 r2, q1, q4",
            "vmladav.s8 r4, q2, q4",
            "vmladav.s8 r8, q3, q4",
            concat!(columns!(), columns!(), columns!()),
            "vmov q0[2], q0[0], r0, r4",
            "vmov q0[3], q0[1], r2, r8",
            "ldr r0, [{xs}], #4",
            "vldrh.u32 q1, [r3], #8",
            "vcvt.f32.s32 q0, q0",
            "vcvtb.f32.f16 q1, q1",
            "vmul.f32 q1, q1, r0",
            "vmul.f32 q0, q0, q1",
            "vadd.f32 q5, q5, q0",
            "le lr, 2b",
            "vstrw.32 q5, [{out}], #16",
            "subs {blocks}, {blocks}, #1",
            "bne 3b",
            w = inout(reg) weights.as_ptr() => _,
            x = inout(reg) values.as_ptr() => _,
            inout("r3") weight_scales.as_ptr() => _,
            xs = inout(reg) scales.as_ptr() => _,
            groups = in(reg) scales.len(),
            out = inout(reg) out.as_mut_ptr() => _,
            blocks = inout(reg) out.len() / BLOCK_ROWS => _,
            out("r0") _, out("r2") _, out("r4") _, out("r8") _, out("lr") _,
            out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _, out("q5") _, out("q6") _,
            options(nostack),
        );
    }
}

/// The products of one block in groups of `loads` x 16 columns, `loads` at least 1.
fn groups_of_16(
    weights: &[i8],
    weight_scales: &[f16],
    values: &[i8],
    scales: &[f32],
    loads: usize,
    rows: &mut [f32; BLOCK_ROWS],
) {
    rows.fill(0.0);
    let group = loads * COLUMNS;
    let groups = weights.chunks_exact(group * BLOCK_ROWS).zip(weight_scales.as_chunks::<BLOCK_ROWS>().0);
    for ((weights, weight_scales), (values, scale)) in groups.zip(values.chunks_exact(group).zip(scales)) {
        let [mut d0, mut d1, mut d2, mut d3] = [0i32; BLOCK_ROWS];
        // SAFETY: a group holds `loads` x 64 bytes of weights and `loads` x 16 inputs; nothing is written.
        unsafe {
            asm!(
                "2:",
                columns!(),
                "subs {loads}, {loads}, #1",
                "bne 2b",
                w = inout(reg) weights.as_ptr() => _,
                x = inout(reg) values.as_ptr() => _,
                loads = inout(reg) loads => _,
                inout("r0") d0, inout("r2") d1, inout("r4") d2, inout("r8") d3,
                out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _,
                options(nostack, readonly),
            );
        }
        for (row, dot) in [d0, d1, d2, d3].into_iter().enumerate() {
            rows[row] += dot as f32 * (portable::to_f32(weight_scales[row]) * scale);
        }
    }
}
