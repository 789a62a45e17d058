//! Scales of values as multipliers, scores as weights.

use core::arch::naked_asm;

use half::f16;

use crate::kernels::portable;
use crate::kernels::portable::attention::{POWER, inverse_and_unit};

/// What [`portable::attention::multiply`] does, but with the multipliers in the upper halves.
pub(super) fn multiply(scales: &[f16], multipliers: &mut [i32]) -> f32 {
    let (pairs, rest) = scales.as_chunks::<2>();
    // SAFETY: so many pairs are there.
    let largest = unsafe { largest_halves(pairs.as_ptr(), pairs.len()) };
    let largest =
        (largest & 0xffff).max(largest >> 16).max(rest.iter().map(|s| s.to_bits().into()).max().unwrap_or(0));
    let (inverse, unit) = inverse_and_unit(f16::from_bits(largest as u16));
    let (doubles, last) = multipliers.split_at_mut(2 * pairs.len());
    // SAFETY: so many pairs are there, and as many places for two multipliers.
    unsafe { multiply_pairs(pairs.as_ptr(), doubles.as_mut_ptr(), pairs.len(), inverse.to_bits()) };
    for (multiplier, scale) in last.iter_mut().zip(rest) {
        *multiplier = ((portable::to_f32(*scale) * inverse) as i32) << 16;
    }
    unit
}

/// The largest of the lower and of the upper halfwords, as unsigned numbers, of so many words.
///
/// # Safety
/// So many are there.
#[unsafe(naked)]
unsafe extern "C" fn largest_halves(_: *const [f16; 2], _words: usize) -> u32 {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "mov r2, r0
        movs r0, #0
        lsrs r3, r1, #1
        beq 3f
        2:
        ldr r12, [r2], #4
        usub16 r3, r12, r0
        sel r0, r12, r0
        ldr r12, [r2], #4
        usub16 r3, r12, r0
        sel r0, r12, r0
        subs r1, #2
        cmp r1, #1
        bhi 2b
        3:
        lsls r1, #31
        beq 4f
        ldr r12, [r2]
        usub16 r3, r12, r0
        sel r0, r12, r0
        4:
        bx lr",
    )
}

/// Two multipliers, in the upper halves of words, for each pair of scales.
///
/// # Safety
/// So many pairs are there, and places for them.
#[unsafe(naked)]
unsafe extern "C" fn multiply_pairs(_: *const [f16; 2], _: *mut i32, _pairs: usize, _inverse: u32) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "cbz r2, 3f
        push {{r4, lr}}
        vmov s2, r3
        2:
        ldr r3, [r0], #4
        vmov s0, r3
        vcvtt.f32.f16 s1, s0
        vcvtb.f32.f16 s0, s0
        vmul.f32 s1, s1, s2
        vmul.f32 s0, s0, s2
        vcvt.s32.f32 s1, s1
        vcvt.s32.f32 s0, s0
        vmov r3, r4, s0, s1
        lsls r3, #16
        lsls r4, #16
        strd r3, r4, [r1], #8
        subs r2, #1
        bne 2b
        pop {{r4, lr}}
        3:
        bx lr",
    )
}

/// Turns the scores of one head among `heads` into weights times multipliers, as [`portable::attention::weigh`] does,
/// and leaves those of two positions in the word of the first. Returns the sum of the weights alone.
pub(super) fn weigh(scores: &mut [i32], head: usize, heads: usize, top: i32, multipliers: &[i32]) -> i32 {
    let (pairs, _) = multipliers.as_chunks::<2>();
    let scores = scores[head..].as_mut_ptr();
    // SAFETY: there are two scores of this head for every pair of multipliers, of which there is at least one.
    unsafe {
        match heads {
            1 => weigh_pairs::<4>(scores, pairs.as_ptr(), pairs.len(), top, &POWER),
            _ => weigh_pairs::<8>(scores, pairs.as_ptr(), pairs.len(), top, &POWER),
        }
    }
}

/// One score in `r9` becomes a weight in `r11`, added to the sum in `r8`. The polynomial's coefficients are in `r4` to
/// `r7`; the last bit that the shift drops rounds.
macro_rules! weigh_one {
    () => {
        "qsub r9, r3, r9
        usat r9, #21, r9
        adds r10, r9, #0x8000
        lsr r10, r10, #16
        smlawb r11, r7, r9, r6
        smlawb r11, r11, r9, r5
        smlawb r11, r11, r9, r4
        lsrs r11, r11, r10
        adc r11, r11, #0
        add r8, r11
        "
    };
}

/// Two scores, at `r0` and STEP bytes behind it, become one word of weights times multipliers.
macro_rules! weigh_pair {
    () => {
        concat!(
            "ldr r9, [r0]
            ldrd r12, lr, [r1], #8\n",
            weigh_one!(),
            "smmulr r12, r11, r12
            ldr r9, [r0, #{step}]\n",
            weigh_one!(),
            "smmulr r11, r11, lr
            pkhbt r12, r12, r11, lsl #16
            str r12, [r0], #2 * {step}
            "
        )
    };
}

/// Weighs pairs of scores that lie STEP bytes apart.
///
/// # Safety
/// So many pairs are there, at least one.
#[unsafe(naked)]
unsafe extern "C" fn weigh_pairs<const STEP: usize>(
    _scores: *mut i32,
    _multipliers: *const [i32; 2],
    _pairs: usize,
    _top: i32,
    _power: &[i32; 4],
) -> i32 {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        ldr r12, [sp, #36]
        ldmia r12, {{r4-r7}}
        movs r8, #0
        lsrs r2, r2, #1
        bcc 2f",
        weigh_pair!(),
        "cmp r2, #0
        beq 3f
        2:",
        weigh_pair!(),
        weigh_pair!(),
        "subs r2, #1
        bne 2b
        3:
        mov r0, r8
        pop {{r4-r11, pc}}",
        step = const STEP,
    )
}
