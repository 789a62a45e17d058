//! Quantized products: one deinterleaving load of 64 bytes brings 16 columns of each of a block's four rows, and
//! `VMLADAV` multiplies 16 bytes and adds them all up.
//!
//! A group of 64 columns costs 46 instructions for 256 products: 16 loads of weights, 4 of inputs, 16 products, and
//! 10 to scale and add the sums of the four rows. Biased weights cost one instruction more for each load.

use core::arch::asm;
use core::ops::Range;

use half::f16;
use sprat_format::{BLOCK_ROWS, Layout};

use crate::kernels::{Prepared, Q8, portable};
use crate::team::Tile;

/// Columns that one load takes of each row.
const COLUMNS: usize = 16;

/// Bytes of weights that go through the cache, where there is one, for all tokens before the next ones follow: half
/// of a common one's.
const RUN_BYTES: usize = 16 * 1024;

pub(super) fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    let Q8 { rows, group, stride, layout, .. } = *matrix;
    if layout == Layout::Rows || !group.is_multiple_of(COLUMNS) {
        return other_forms(matrix, input, out);
    }
    let groups = stride / group;
    let tokens = input.scales.len() / groups;
    if tokens == 1 {
        return rows_of_token(matrix, input, 0, 0..rows, out);
    }
    let run = (RUN_BYTES / stride).max(1).next_multiple_of(BLOCK_ROWS);
    for first in (0..rows).step_by(run) {
        for token in 0..tokens {
            rows_of_token(matrix, input, token, first..rows.min(first + run), out);
        }
    }
}

/// The products of some rows, beginning with a whole block, with one token's inputs.
#[inline]
fn rows_of_token(matrix: &Q8, input: &Prepared, token: usize, rows: Range<usize>, out: &mut Tile) {
    let Q8 { group, stride, layout, .. } = *matrix;
    let groups = stride / group;
    let blocks = blocks_for(group, layout);
    let loads = group / COLUMNS;
    let (values, scales) = (&matrix.values[rows.start * stride..], &matrix.scales[rows.start * groups..]);
    let x = &input.values[token * 2 * stride..][..stride];
    let x_scales = &input.scales[token * groups..][..groups];
    // The last block may have rows of padding, whose outputs have no place in `out`.
    let (whole, rest) = out.token(token)[rows].as_chunks_mut::<BLOCK_ROWS>();
    if !whole.is_empty() {
        // SAFETY: the matrix has a block of four rows for each place of `out`, with `groups` groups in each row; `x`
        // and `x_scales` have as many groups, and the function is the one for such groups.
        unsafe { blocks(values, scales, x, x_scales, loads, whole) };
    }
    if !rest.is_empty() {
        let at = whole.len() * BLOCK_ROWS;
        let mut rows = [[0.0; BLOCK_ROWS]];
        // SAFETY: as above, for the one block that is left.
        unsafe { blocks(&values[at * stride..], &scales[at * groups..], x, x_scales, loads, &mut rows) };
        rest.iter_mut().zip(rows[0]).for_each(|(out, row)| *out = row);
    }
}

/// A function of its own: inlined, it would take stack and registers from the other path.
#[inline(never)]
fn other_forms(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    portable::matmul_q8(matrix, input, out);
}

/// The products of blocks of four rows with one token's inputs.
///
/// # Safety
/// For b >= 1 places in `out` and g >= 1 floats in `x_scales`, groups have `loads` x 16 columns; there are b x g
/// groups of four rows in `weights` and of four scales in `scales`, and g groups in `x`.
type Blocks = unsafe fn(
    weights: &[i8],
    scales: &[f16],
    x: &[i8],
    x_scales: &[f32],
    loads: usize,
    out: &mut [[f32; BLOCK_ROWS]],
);

/// The function for groups of that many columns, a multiple of 16.
fn blocks_for(group: usize, layout: Layout) -> Blocks {
    match (group, layout) {
        (32, Layout::InterleavedBiased) => biased_groups_of_32,
        (64, Layout::InterleavedBiased) => biased_groups_of_64,
        (_, Layout::InterleavedBiased) => biased_groups,
        (32, _) => groups_of_32,
        (64, _) => groups_of_64,
        _ => groups,
    }
}

/// Loads 16 columns of four rows to q0..q3, and of the inputs to q4.
macro_rules! load {
    ($unbias:expr) => {
        concat!(
            "vld40.32 {{q0, q1, q2, q3}}, [{w}]
            vld41.32 {{q0, q1, q2, q3}}, [{w}]
            vld42.32 {{q0, q1, q2, q3}}, [{w}]
            vld43.32 {{q0, q1, q2, q3}}, [{w}]!
            vldrb.u8 q4, [{x}], #16
            ",
            $unbias
        )
    };
}

/// The products of the first 16 columns of a group, to r0, r2, r4 and r8. Repeated as text and not by `.rept`: the
/// compiler counts lines to know how far its branches have to reach.
macro_rules! first {
    ($unbias:expr) => {
        concat!(
            load!($unbias),
            "vmladav.s8 r0, q0, q4
            vmladav.s8 r2, q1, q4
            vmladav.s8 r4, q2, q4
            vmladav.s8 r8, q3, q4
            "
        )
    };
}

/// Adds the products of the next 16 columns.
macro_rules! next {
    ($unbias:expr) => {
        concat!(
            load!($unbias),
            "vmladava.s8 r0, q0, q4
            vmladava.s8 r2, q1, q4
            vmladava.s8 r4, q2, q4
            vmladava.s8 r8, q3, q4
            "
        )
    };
}

/// Defines a function for blocks. `group` adds up the products of a group; it may use s26, which holds `loads`.
/// `again` goes back to label 2 until all groups are done, of which `start` has counted none; s27 holds their
/// number. What a block needs only once waits in floating-point registers.
macro_rules! blocks {
    ($name:ident, $start:expr, $group:expr, $again:expr) => {
        #[inline(never)]
        unsafe fn $name(
            weights: &[i8],
            scales: &[f16],
            x: &[i8],
            x_scales: &[f32],
            loads: usize,
            out: &mut [[f32; BLOCK_ROWS]],
        ) {
            // SAFETY: the caller's lengths are what the loops read; they write the floats of `out`.
            unsafe {
                asm!(
                    ".cpu cortex-m55",
                    "vmov s24, {x}",
                    "vmov s25, {xs}",
                    "vmov s26, r0",
                    "vmov s27, {groups}",
                    // What is XORed with biased weights: 80 in the even columns.
                    "vmov.i16 q7, #0x80",
                    "3:",
                    "vmov {x}, s24",
                    "vmov {xs}, s25",
                    $start,
                    "vmov.i32 q5, #0",
                    "2:",
                    $group,
                    "vmov q0[2], q0[0], r0, r4",
                    "vmov q0[3], q0[1], r2, r8",
                    "ldr r0, [{xs}], #4",
                    "vldrh.u32 q1, [r3], #8",
                    "vcvt.f32.s32 q0, q0",
                    "vcvtb.f32.f16 q1, q1",
                    "vmul.f32 q1, q1, r0",
                    "vmul.f32 q0, q0, q1",
                    "vadd.f32 q5, q5, q0",
                    $again,
                    "vstrw.32 q5, [{out}], #16",
                    "subs {blocks}, {blocks}, #1",
                    "bne 3b",
                    w = inout(reg) weights.as_ptr() => _,
                    x = inout(reg) x.as_ptr() => _,
                    inout("r3") scales.as_ptr() => _,
                    xs = inout(reg) x_scales.as_ptr() => _,
                    groups = inout(reg) x_scales.len() => _,
                    out = inout(reg) out.as_mut_ptr() => _,
                    blocks = inout(reg) out.len() => _,
                    inout("r0") loads => _, out("r2") _, out("r4") _, out("r8") _, out("lr") _,
                    out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _, out("q5") _, out("q6") _,
                    out("q7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// Takes the bias off.
macro_rules! unbias {
    () => {
        "veor q0, q0, q7
        veor q1, q1, q7
        veor q2, q2, q7
        veor q3, q3, q7
        "
    };
}

/// The products of a group of any number of loads.
macro_rules! loop_over_loads {
    ($unbias:expr) => {
        concat!(
            "vmov r0, s26
            dls lr, r0
            mov r0, #0
            mov r2, #0
            mov r4, #0
            mov r8, #0
            4:
            ",
            next!($unbias),
            "le lr, 4b"
        )
    };
}

macro_rules! blocks_by_hardware_loop {
    ($name:ident, $group:expr) => {
        blocks!($name, "dls lr, {groups}", $group, "le lr, 2b");
    };
}

// The hardware's loop has one counter: with a loop inside, groups are counted by hand.
macro_rules! blocks_by_counter {
    ($name:ident, $group:expr) => {
        blocks!($name, "vmov {groups}, s27", $group, "subs {groups}, {groups}, #1\n bne 2b");
    };
}

blocks_by_hardware_loop!(groups_of_32, concat!(first!(""), next!("")));
blocks_by_hardware_loop!(groups_of_64, concat!(first!(""), next!(""), next!(""), next!("")));
blocks_by_counter!(groups, loop_over_loads!(""));
blocks_by_hardware_loop!(biased_groups_of_32, concat!(first!(unbias!()), next!(unbias!())));
blocks_by_hardware_loop!(
    biased_groups_of_64,
    concat!(first!(unbias!()), next!(unbias!()), next!(unbias!()), next!(unbias!()))
);
blocks_by_counter!(biased_groups, loop_over_loads!(unbias!()));
