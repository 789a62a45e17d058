//! Attention over the q8 cache on DSP cores.
//!
//! Two heads that share keys and values share their loading and unpacking too: `SXTB16` makes two halfwords of a
//! word's bytes, `SMLAD` multiplies two pairs. Values are summed over positions, so words of two positions are first
//! packed into pairs of one component. The loops take every core register, which inline assembly cannot give: they
//! are functions of nothing but assembly, for which the assembler has to be told what the core has.

use core::arch::naked_asm;

use half::f16;
use sprat_format::WORD;

use super::quantize::quantize_pairs;
use crate::kernels::portable::attention::{FARTHEST, POWER, inverse_and_unit, top};
use crate::kernels::portable::{self, attention::ONE};
use crate::kernels::{Attention, AttentionWork, HEAD_UNIT, MIX_BLOCK, PAIR, Q8Heads};

/// From here up, the least score is farther than [`FARTHEST`].
const LEAST_TOP: i32 = i32::MIN + FARTHEST as i32;

pub(super) fn attend_q8(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    let Attention { head_dim, scale, keys, values, .. } = *attention;
    let heads = attention.query.len() / head_dim;
    let positions = keys.scales.len();
    let padded = positions.next_multiple_of(2);
    let Ok(query) = bytemuck::try_cast_slice_mut(work.query) else {
        return attend_any(attention, work, out);
    };
    let scales_are_words = keys.scales.as_ptr().cast::<u32>().is_aligned();
    if positions == 0 || heads > PAIR || !keys.stride.is_multiple_of(HEAD_UNIT) || !scales_are_words {
        return attend_any(attention, work, out);
    }
    let query = &mut query[..heads * keys.stride / 2];
    // Positions are weighed and mixed in pairs: one that is not there is so far from the others that it has no weight.
    let scores = &mut work.scores[..heads * padded];
    scores[heads * positions..].fill(i32::MIN);
    let mut factors = [0.0; PAIR];
    for (head, (x, factor)) in attention.query.chunks_exact(head_dim).zip(&mut factors).enumerate() {
        *factor = quantize_pairs(x, &mut query[2 * head..], 2 * heads) * scale;
    }
    let largest = score(query, factors, &keys, &mut scores[..heads * positions]);
    if padded > positions && largest[..heads].iter().any(|&largest| top(largest) < LEAST_TOP) {
        return attend_any(attention, work, out);
    }
    out.fill(0.0);
    let mut totals = [0.0; PAIR];
    for (run, scores) in scores.chunks_mut(heads * MIX_BLOCK).enumerate() {
        let padded = scores.len() / heads;
        let values = values.part(run * MIX_BLOCK, padded.min(positions - run * MIX_BLOCK));
        let multipliers = &mut work.multipliers[..padded];
        let unit = multiply(values.scales, multipliers);
        for head in 0..heads {
            totals[head] += weigh(scores, head, heads, top(largest[head]), multipliers) as f32;
        }
        mix(scores, &values, unit, heads, out);
    }
    for (out, total) in out.chunks_exact_mut(head_dim).zip(totals) {
        let inverse = ONE as f32 / total;
        let (words, rest) = out.as_chunks_mut::<WORD>();
        words.iter_mut().for_each(|word| *word = word.map(|out| out * inverse));
        rest.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// For what the loops do not take, and for scores so low that nothing is farther.
#[cold]
#[inline(never)]
fn attend_any(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    portable::attend_q8(attention, work, out);
}

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
fn score(query: &[u32], factors: [f32; PAIR], keys: &Q8Heads, scores: &mut [i32]) -> [i32; PAIR] {
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

/// What [`portable::attention::multiply`] does, but with the multipliers in the upper halves.
fn multiply(scales: &[f16], multipliers: &mut [i32]) -> f32 {
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
fn weigh(scores: &mut [i32], head: usize, heads: usize, top: i32, multipliers: &[i32]) -> i32 {
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

/// Adds the values, each times its head's weight, times `unit`, to `out`, head by head.
fn mix(weights: &[i32], values: &Q8Heads, unit: f32, heads: usize, out: &mut [f32]) {
    let stride = values.stride;
    let head_dim = out.len() / heads;
    let pairs = weights.len() / (2 * heads);
    for col in (0..head_dim).step_by(WORD) {
        let columns = &values.values[col..];
        let mut mixing = Mixing {
            weights: weights.as_ptr(),
            values: columns.as_ptr(),
            stride,
            pairs,
            out: [out.as_mut_ptr(); 2],
            unit,
        };
        let width = WORD.min(head_dim - col);
        let mut words = [[0.0; WORD]; PAIR];
        if width == WORD {
            for (pointer, out) in mixing.out.iter_mut().zip(out.chunks_exact_mut(head_dim)) {
                *pointer = out[col..].as_mut_ptr();
            }
        } else {
            mixing.out = words.each_mut().map(|word| word.as_mut_ptr());
        }
        // SAFETY: every position has a whole word from `col` on, aligned, as the stride is a multiple of words; there
        // is at least one pair of positions, and of weights of each head. Each head has four places for outputs.
        unsafe {
            match (heads, stride) {
                (1, _) => mix_one(&mixing),
                (_, 8) => mix_two::<8>(&mixing),
                (_, 16) => mix_two::<16>(&mixing),
                (_, 32) => mix_two::<32>(&mixing),
                (_, 64) => mix_two::<64>(&mixing),
                _ => mix_halves(&mixing),
            }
        }
        if width < WORD {
            for (word, out) in words.iter().zip(out.chunks_exact_mut(head_dim)) {
                out[col..].iter_mut().zip(word).for_each(|(out, mixed)| *out += mixed);
            }
        }
    }
}

/// What the loops over values read; they know the places of the fields.
#[repr(C)]
struct Mixing {
    /// For every two positions, a word for each head and as many words that do not count.
    weights: *const i32,
    /// A word at every multiple of `stride` bytes.
    values: *const i8,
    stride: usize,
    pairs: usize,
    /// Four places for each head.
    out: [*mut f32; PAIR],
    unit: f32,
}

/// Adds four sums times the unit in `s4` to the four outputs at a pointer.
macro_rules! add_mixed {
    ($out:literal, $s0:literal, $s1:literal, $s2:literal, $s3:literal) => {
        concat!(
            "vmov s8, s9, ",
            $s0,
            ", ",
            $s1,
            "
            vmov s10, s11, ",
            $s2,
            ", ",
            $s3,
            "
            vldmia ",
            $out,
            ", {{s12-s15}}
            vcvt.f32.s32 s8, s8
            vcvt.f32.s32 s9, s9
            vcvt.f32.s32 s10, s10
            vcvt.f32.s32 s11, s11
            vmla.f32 s12, s8, s4
            vmla.f32 s13, s9, s4
            vmla.f32 s14, s10, s4
            vmla.f32 s15, s11, s4
            vstmia ",
            $out,
            ", {{s12-s15}}
            "
        )
    };
}

/// Four components of one head.
///
/// # Safety
/// The fields are as they say; there is at least one pair.
#[unsafe(naked)]
unsafe extern "C" fn mix_one(_: &Mixing) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        ldr lr, [r0, #16]
        vldr s4, [r0, #24]
        ldm r0, {{r0-r3}}
        movs r4, #0
        movs r5, #0
        movs r6, #0
        movs r7, #0
        2:
        ldr r8, [r1]
        ldr r9, [r1, r2]
        ldr r12, [r0], #8
        add r1, r1, r2, lsl #1
        pkhbt r10, r8, r9, lsl #16
        pkhtb r11, r9, r8, asr #16
        sxtb16 r8, r10
        sxtb16 r9, r10, ror #8
        smlad r4, r8, r12, r4
        smlad r5, r9, r12, r5
        sxtb16 r8, r11
        sxtb16 r9, r11, ror #8
        smlad r6, r8, r12, r6
        smlad r7, r9, r12, r7
        subs r3, #1
        bne 2b",
        add_mixed!("lr", "r4", "r5", "r6", "r7"),
        "pop {{r4-r11, pc}}",
    )
}

/// Two positions' words, at `r1` and STRIDE behind it, times the weights of two heads in `r2` and `r3`.
macro_rules! mix_pair {
    ($first:literal, $second:literal) => {
        concat!(
            "ldrd r2, r3, [r0], #16
            ldr r12, [r1, #",
            $first,
            "]
            ldr lr, [r1, #",
            $second,
            "]
            pkhbt r12, r12, lr, lsl #16
            sxtb16 lr, r12
            sxtb16 r12, r12, ror #8
            smlad r4, lr, r2, r4
            smlad r8, lr, r3, r8
            smlad r5, r12, r2, r5
            smlad r9, r12, r3, r9
            ldr r12, [r1, #",
            $first,
            "]
            ldr lr, [r1, #",
            $second,
            "]
            pkhtb r12, lr, r12, asr #16
            sxtb16 lr, r12
            sxtb16 r12, r12, ror #8
            smlad r6, lr, r2, r6
            smlad r10, lr, r3, r10
            smlad r7, r12, r2, r7
            smlad r11, r12, r3, r11
            "
        )
    };
}

/// Four components of each of two heads.
///
/// # Safety
/// The fields are as they say, the stride is STRIDE; there is at least one pair.
#[unsafe(naked)]
unsafe extern "C" fn mix_two<const STRIDE: usize>(_: &Mixing) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        ldrd r2, r3, [r0, #16]
        vmov s2, s3, r2, r3
        vldr s4, [r0, #24]
        ldr r12, [r0, #12]
        ldrd r0, r1, [r0]
        movs r4, #0
        movs r5, #0
        movs r6, #0
        movs r7, #0
        mov r8, r4
        mov r9, r4
        mov r10, r4
        mov r11, r4
        lsrs r2, r12, #1
        vmov s1, r2
        bcc 3f",
        mix_pair!("0", "{stride}"),
        "add r1, #2 * {stride}
        3:
        vmov r2, s1
        cmp r2, #0
        beq 4f
        2:",
        mix_pair!("0", "{stride}"),
        mix_pair!("2 * {stride}", "3 * {stride}"),
        "vmov r2, s1
        add r1, #4 * {stride}
        subs r2, #1
        vmov s1, r2
        bne 2b
        4:
        vmov r2, r3, s2, s3",
        add_mixed!("r2", "r4", "r5", "r6", "r7"),
        add_mixed!("r3", "r8", "r9", "r10", "r11"),
        "pop {{r4-r11, pc}}",
        stride = const STRIDE,
    )
}

/// Two components of each of two heads over all pairs, into `r4` and `r5`, `r6` and `r7`.
macro_rules! mix_half {
    ($label:literal, $pack:literal) => {
        concat!(
            "ldm lr, {{r0-r3}}
            movs r4, #0
            movs r5, #0
            movs r6, #0
            movs r7, #0
            ",
            $label,
            ":
            ldr r8, [r1]
            ldr r9, [r1, r2]
            ldrd r10, r11, [r0], #16
            add r1, r1, r2, lsl #1
            ",
            $pack,
            "
            sxtb16 r9, r8
            sxtb16 r8, r8, ror #8
            smlad r4, r9, r10, r4
            smlad r5, r8, r10, r5
            smlad r6, r9, r11, r6
            smlad r7, r8, r11, r7
            subs r3, #1
            bne ",
            $label,
            "b
            "
        )
    };
}

/// Four components of each of two heads, two at a time.
///
/// # Safety
/// The fields are as they say; there is at least one pair.
#[unsafe(naked)]
unsafe extern "C" fn mix_halves(_: &Mixing) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        mov lr, r0
        vldr s4, [r0, #24]",
        mix_half!("2", "pkhbt r8, r8, r9, lsl #16"),
        "vmov s0, s1, r4, r5
        vmov s2, s3, r6, r7",
        mix_half!("3", "pkhtb r8, r9, r8, asr #16"),
        "ldrd r0, r1, [lr, #16]
        vmov r2, r3, s0, s1",
        add_mixed!("r0", "r2", "r3", "r4", "r5"),
        "vmov r2, r3, s2, s3",
        add_mixed!("r1", "r2", "r3", "r6", "r7"),
        "pop {{r4-r11, pc}}",
    )
}
