//! The gate of a gated feed-forward block, and the square root of the core.
//!
//! The loop does what [`math::silu`] does, in the same order of operations. What lies beyond the range in which `exp`
//! is neither 0 nor infinite is left to that function.

use core::arch::asm;

use crate::math::{self, EXP, LN2_HIGH, LN2_LOW, ROUNDER};

/// Bits of the largest magnitude that the loop takes.
const FARTHEST: u32 = 87.3f32.to_bits();

/// What the loop holds in `s16` to `s26`.
static CONSTANTS: [f32; 11] = [
    -core::f32::consts::LOG2_E,
    ROUNDER,
    LN2_HIGH,
    LN2_LOW,
    EXP[0],
    EXP[1],
    EXP[2],
    EXP[3],
    EXP[4],
    EXP[5],
    1.0,
];

/// `up` *= gate * sigmoid(gate).
pub(super) fn gate_silu(gate: &[f32], up: &mut [f32]) {
    let (mut gate, mut up) = (gate, up);
    loop {
        let count = gate.len().min(up.len());
        if count == 0 {
            return;
        }
        // SAFETY: so many elements are there.
        let done = count - unsafe { gate_near(gate.as_ptr(), up.as_mut_ptr(), count) };
        (gate, up) = (&gate[done..], &mut up[done..]);
        if let ([x, gates @ ..], [out, outs @ ..]) = (gate, up) {
            *out *= *x / (1.0 + math::exp_apart(-*x));
            (gate, up) = (gates, outs);
        } else {
            return;
        }
    }
}

/// Goes on until a gate's magnitude is larger than [`FARTHEST`]; returns how many are left.
///
/// # Safety
/// There are `count` elements, at least one.
unsafe fn gate_near(gate: *const f32, up: *mut f32, count: usize) -> usize {
    let mut left = count;
    // SAFETY: the loop reads and writes so many elements.
    unsafe {
        asm!(
            "vldmia {constants}, {{s16-s26}}",
            "2:",
            "vldmia {gate}!, {{s0}}",
            "vmov {bits}, s0",
            "bic {other}, {bits}, #0x80000000",
            "cmp {other}, {farthest}",
            "bhi 3f",
            // n = -x log2 e, to the nearest integer, in the low bits of s2 and as a float in s3
            "vmul.f32 s2, s0, s16",
            "vadd.f32 s2, s2, s17",
            "vneg.f32 s4, s0",
            "vsub.f32 s3, s2, s17",
            // r = -x - n ln 2
            "vmls.f32 s4, s3, s18",
            "vmls.f32 s4, s3, s19",
            // e^r
            "vmul.f32 s5, s20, s4",
            "vadd.f32 s5, s5, s21",
            "vmul.f32 s5, s5, s4",
            "vadd.f32 s5, s5, s22",
            "vmul.f32 s5, s5, s4",
            "vadd.f32 s5, s5, s23",
            "vmul.f32 s5, s5, s4",
            "vadd.f32 s5, s5, s24",
            "vmul.f32 s5, s5, s4",
            "vadd.f32 s5, s5, s25",
            "vmul.f32 s6, s4, s4",
            "vmul.f32 s5, s5, s6",
            "vadd.f32 s5, s5, s4",
            "vadd.f32 s5, s5, s26",
            // times 2^n
            "vmov {bits}, s5",
            "vmov {other}, s2",
            "add {bits}, {bits}, {other}, lsl #23",
            "vmov s5, {bits}",
            // x / (1 + e^-x)
            "vadd.f32 s5, s5, s26",
            "vldr s6, [{up}]",
            "vdiv.f32 s5, s0, s5",
            "vmul.f32 s6, s6, s5",
            "vstmia {up}!, {{s6}}",
            "subs {left}, #1",
            "bne 2b",
            "3:",
            constants = in(reg) CONSTANTS.as_ptr(),
            gate = inout(reg) gate => _,
            up = inout(reg) up => _,
            left = inout(reg) left,
            farthest = in(reg) FARTHEST,
            bits = out(reg) _,
            other = out(reg) _,
            out("s0") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s16") _,
            out("s17") _, out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _, out("s23") _,
            out("s24") _, out("s25") _, out("s26") _,
            options(nostack),
        );
    }
    left
}

/// The square root, correctly rounded.
pub(super) fn sqrt(x: f32) -> f32 {
    let mut bits = x.to_bits();
    // SAFETY: registers only.
    unsafe {
        asm!(
            "vmov s0, {bits}",
            "vsqrt.f32 s0, s0",
            "vmov {bits}, s0",
            bits = inout(reg) bits,
            out("s0") _,
            options(nomem, nostack, pure),
        );
    }
    f32::from_bits(bits)
}
