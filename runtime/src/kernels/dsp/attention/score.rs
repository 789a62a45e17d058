//! Scores of one head, or of two that share keys.

use core::arch::naked_asm;

use half::f16;

use crate::kernels::{HEAD_UNIT, PAIR, Q8Heads};

/// What the loops over keys read and write; they know the places of the fields.
#[repr(C)]
struct Scoring {
    keys: *const i8,
    scales: *const f16,
    /// positions x heads.
    scores: *mut i32,
    /// words x heads x 2.
    query: *const u32,
    /// Pairs of words in a head.
    double_words: usize,
    positions: usize,
    factors: [f32; PAIR],
}

/// Scores of one head or two, position by position, and for each head one that has the largest upper half.
pub(super) fn score(query: &[u32], factors: [f32; PAIR], keys: &Q8Heads, scores: &mut [i32]) -> [i32; PAIR] {
    let positions = keys.scales.len();
    let heads = scores.len() / positions;
    let scoring = Scoring {
        keys: keys.values[..positions * keys.stride].as_ptr(),
        scales: keys.scales.as_ptr(),
        scores: scores.as_mut_ptr(),
        query: query.as_ptr(),
        double_words: keys.stride / HEAD_UNIT,
        positions,
        factors,
    };
    // SAFETY: all lengths are as the fields say: `keys` holds so many positions of so many words, aligned as heads of
    // the cache are, `query` the words of so many heads. There is at least one position.
    let halves = unsafe {
        match (heads, scoring.double_words) {
            (1, _) => return [score_one(&scoring), 0],
            (_, 1) => score_two_of_8(&scoring),
            _ => score_two(&scoring),
        }
    };
    [halves << 16, halves & !0xffff]
}

/// One word of keys in `r6`, times the pairs of two heads in `r8` to `r11`, with the first or later products.
macro_rules! two_heads {
    ($first:literal) => {
        concat!(
            "sxtb16 r7, r6, ror #8
            sxtb16 r6, r6\n",
            $first,
            "smlad r4, r7, r9, r4
            smlad r5, r7, r11, r5
            "
        )
    };
    () => {
        two_heads!(
            "smlad r4, r6, r8, r4
            smlad r5, r6, r10, r5
            "
        )
    };
}

/// Makes scores of the sums in `r4` and `r5`, stores them at `r3`, and keeps the larger upper halves in `r0`.
macro_rules! two_scores {
    ($scale:literal) => {
        concat!(
            "vmov s0, s1, r4, r5\n",
            $scale,
            "
        vcvt.f32.s32 s0, s0
        vcvt.f32.s32 s1, s1
        vmul.f32 s0, s0, s2
        vmul.f32 s1, s1, s2
        vmul.f32 s0, s0, s4
        vmul.f32 s1, s1, s5
        vcvt.s32.f32 s0, s0
        vcvt.s32.f32 s1, s1
        vmov r4, r5, s0, s1
        strd r4, r5, [r3], #8
        pkhtb r5, r5, r4, asr #16
        ssub16 r6, r5, r0
        sel r0, r5, r0
        "
        )
    };
}

/// The sums of two heads of 8 components for one position.
macro_rules! two_heads_of_8 {
    () => {
        concat!(
            "ldr r6, [r1], #4
            ldmdb r12, {{r8-r11}}\n",
            two_heads!(
                "smuad r4, r6, r8
                smuad r5, r6, r10
                "
            ),
            "ldr r6, [r1], #4
            ldmia r12, {{r8-r11}}\n",
            two_heads!(),
        )
    };
}

/// Reads the fields that both loops for two heads use, and starts with the least upper halves.
macro_rules! two_heads_begin {
    () => {
        "push {{r4-r11, lr}}
        ldrd r1, r2, [r0]
        ldrd r3, r12, [r0, #8]
        vldr s4, [r0, #24]
        vldr s5, [r0, #28]
        "
    };
}

/// Scores of two heads of 8 components; returns the largest upper halves of both.
///
/// # Safety
/// The fields are as they say, there is at least one position, keys and scales are aligned to words.
#[unsafe(naked)]
unsafe extern "C" fn score_two_of_8(_: &Scoring) -> i32 {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        two_heads_begin!(),
        "ldr r6, [r0, #20]
        mov r0, #0x80008000
        add r12, #16
        vmov s6, r6
        lsrs lr, r6, #1
        beq 3f
        2:
        vldmia r2!, {{s3}}",
        two_heads_of_8!(),
        two_scores!("vcvtb.f32.f16 s2, s3"),
        two_heads_of_8!(),
        two_scores!("vcvtt.f32.f16 s2, s3"),
        "subs lr, #1
        bne 2b
        3:
        vmov r6, s6
        lsls r6, #31
        beq 4f",
        two_heads_of_8!(),
        "ldrh r6, [r2]
        vmov s3, r6",
        two_scores!("vcvtb.f32.f16 s2, s3"),
        "4:
        pop {{r4-r11, pc}}",
    )
}

/// Scores of two heads; returns the largest upper halves of both.
///
/// # Safety
/// As of [`score_two_of_8`].
#[unsafe(naked)]
unsafe extern "C" fn score_two(_: &Scoring) -> i32 {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        two_heads_begin!(),
        "vmov s7, r12
        vldr s8, [r0, #16]
        vldr s6, [r0, #20]
        mov r0, #0x80008000
        3:
        vmov r12, s7
        vmov lr, s8
        movs r4, #0
        movs r5, #0
        2:
        ldr r6, [r1], #4
        ldmia r12!, {{r8-r11}}",
        two_heads!(),
        "ldr r6, [r1], #4
        ldmia r12!, {{r8-r11}}",
        two_heads!(),
        "subs lr, #1
        bne 2b
        ldrh r6, [r2], #2
        vmov s3, r6",
        two_scores!("vcvtb.f32.f16 s2, s3"),
        "vmov r6, s6
        subs r6, #1
        vmov s6, r6
        bne 3b
        pop {{r4-r11, pc}}",
    )
}

/// Scores of one head; returns one that has the largest upper half.
///
/// # Safety
/// As of [`score_two_of_8`].
#[unsafe(naked)]
unsafe extern "C" fn score_one(_: &Scoring) -> i32 {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        ldrd r1, r2, [r0]
        ldrd r3, r12, [r0, #8]
        ldrd r10, r11, [r0, #16]
        vldr s4, [r0, #24]
        vmov s7, r12
        mov r0, #0x80000000
        3:
        vmov r12, s7
        mov lr, r10
        movs r4, #0
        2:
        ldr r6, [r1], #4
        ldrd r8, r9, [r12], #8
        sxtb16 r7, r6, ror #8
        sxtb16 r6, r6
        smlad r4, r7, r9, r4
        smlad r4, r6, r8, r4
        ldr r6, [r1], #4
        ldrd r8, r9, [r12], #8
        sxtb16 r7, r6, ror #8
        sxtb16 r6, r6
        smlad r4, r7, r9, r4
        smlad r4, r6, r8, r4
        subs lr, #1
        bne 2b
        ldrh r6, [r2], #2
        vmov s0, r4
        vmov s2, r6
        vcvt.f32.s32 s0, s0
        vcvtb.f32.f16 s2, s2
        vmul.f32 s0, s0, s2
        vmul.f32 s0, s0, s4
        vcvt.s32.f32 s0, s0
        vmov r4, s0
        str r4, [r3], #4
        ssub16 r6, r4, r0
        sel r0, r4, r0
        subs r11, #1
        bne 3b
        pop {{r4-r11, pc}}",
    )
}
