//! Attention over the q8 cache: `SMLAD` for scores, `SMLABB` and `SMLATB` for values.

use core::arch::asm;

use half::f16;
use sprat_format::WORD;

use crate::kernels::portable;
use crate::kernels::{MIX_BLOCK, Q8Heads};

/// Words of a query that are unpacked at once; a longer query goes in several passes.
const QUERY_WORDS: usize = 16;

pub(super) fn score_q8(query: &[i8], query_scale: f32, keys: &Q8Heads, out: &mut [f32]) {
    let words = keys.stride / WORD;
    if words > QUERY_WORDS || out.is_empty() {
        return portable::score_q8(query, query_scale, keys, out);
    }
    // A word of four components as the two pairs that SXTB16 makes of a word of the cache.
    let mut pairs = [0u32; 2 * QUERY_WORDS];
    for (pair, q) in pairs.chunks_exact_mut(2).zip(query.as_chunks::<WORD>().0) {
        let halves =
            |low: i8, high: i8| u32::from(i16::from(low) as u16) | u32::from(i16::from(high) as u16) << 16;
        pair.copy_from_slice(&[halves(q[0], q[2]), halves(q[1], q[3])]);
    }
    let positions = out.len();
    let (values, scales) = (&keys.values[..positions * keys.stride], &keys.scales[..positions]);
    // SAFETY: `values` holds positions x words words and begins at one, as every head does, `scales` holds
    // `positions`, `pairs` twice `words`; the loop writes `positions` floats to `out`.
    unsafe {
        asm!(
            "vmov s4, {q}",
            "vmov s5, {words}",
            "vmov s2, {query_scale}",
            "3:",
            "vmov {q}, s4",
            "vmov {words}, s5",
            "movs {sum}, #0",
            "2:",
            "ldr {even}, [{k}], #4",
            "ldrd {q_even}, {q_odd}, [{q}], #8",
            "sxtb16 {odd}, {even}, ror #8",
            "sxtb16 {even}, {even}",
            "subs {words}, #1",
            "smlad {sum}, {odd}, {q_odd}, {sum}",
            "smlad {sum}, {even}, {q_even}, {sum}",
            "bne 2b",
            "ldrh {odd}, [{s}], #2",
            "vmov s0, {sum}",
            "vmov s1, {odd}",
            "vcvtb.f32.f16 s1, s1",
            "vcvt.f32.s32 s0, s0",
            "vmul.f32 s1, s1, s2",
            "subs {positions}, #1",
            "vmul.f32 s0, s0, s1",
            "vstmia {out}!, {{s0}}",
            "bne 3b",
            k = inout(reg) values.as_ptr() => _,
            s = inout(reg) scales.as_ptr() => _,
            out = inout(reg) out.as_mut_ptr() => _,
            q = inout(reg) pairs.as_ptr() => _,
            words = inout(reg) words => _,
            positions = inout(reg) positions => _,
            query_scale = in(reg) query_scale.to_bits(),
            sum = out(reg) _, even = out(reg) _, odd = out(reg) _, q_even = out(reg) _, q_odd = out(reg) _,
            out("s0") _, out("s1") _, out("s2") _, out("s4") _, out("s5") _,
            options(nostack),
        );
    }
}

pub(super) fn mix_q8(weights: &mut [f32], values: &Q8Heads, out: &mut [f32]) {
    let stride = values.stride;
    let runs = values.values.chunks(MIX_BLOCK * stride).zip(values.scales.chunks(MIX_BLOCK));
    for (weights, (values, scales)) in weights.chunks_mut(MIX_BLOCK).zip(runs) {
        let unit = mix_weights(weights, scales);
        let values = &values[..weights.len() * stride];
        for (word, out) in out.chunks_mut(WORD).enumerate() {
            // SAFETY: from the word on, every position's values have a whole word, as the stride is one or more.
            let sums = unsafe { word_sums(weights, values[word * WORD..].as_ptr(), stride) };
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum as f32 * unit);
        }
    }
}

/// As [`portable::mix_weights`]: weights times scales, rounded to integers of the largest.
fn mix_weights(weights: &mut [f32], scales: &[f16]) -> f32 {
    let scales = &scales[..weights.len()];
    if weights.is_empty() {
        return 0.0;
    }
    let mut largest = 0u32;
    // SAFETY: both slices have as many elements as the loop counts; it writes to `weights`.
    unsafe {
        asm!(
            "2:",
            "ldrh {t}, [{s}], #2",
            "vldr s0, [{w}]",
            "vmov s1, {t}",
            "vcvtb.f32.f16 s1, s1",
            "subs {n}, #1",
            "vmul.f32 s0, s0, s1",
            "vmov {t}, s0",
            "vstmia {w}!, {{s0}}",
            // Floats that are not negative are ordered as their bits are. The flags of `subs` are kept.
            "sub {d}, {t}, {largest}",
            "bic {d}, {d}, {d}, asr #31",
            "add {largest}, {d}",
            "bne 2b",
            w = inout(reg) weights.as_mut_ptr() => _,
            s = inout(reg) scales.as_ptr() => _,
            n = inout(reg) weights.len() => _,
            largest = inout(reg) largest,
            t = out(reg) _, d = out(reg) _,
            out("s0") _, out("s1") _,
            options(nostack),
        );
    }
    let (inverse, unit) = portable::mix_unit(f32::from_bits(largest));
    for weight in weights {
        *weight = *weight * inverse + portable::ROUNDER;
    }
    unit
}

/// The sums over positions of weights, in the low halves of their bits, times four components.
///
/// # Safety
/// There are weights, and behind `values` a word at every multiple of `stride` for each; words are aligned.
#[inline(always)]
unsafe fn word_sums(weights: &[f32], values: *const i8, stride: usize) -> [i32; WORD] {
    let [mut v0, mut v1, mut v2, mut v3] = [0i32; WORD];
    // SAFETY: the caller's lengths are what the loop reads; nothing is written.
    unsafe {
        asm!(
            "2:",
            "ldr {even}, [{v}]",
            "ldr {c}, [{w}], #4",
            "add {v}, {stride}",
            "sxtb16 {odd}, {even}, ror #8",
            "sxtb16 {even}, {even}",
            "subs {positions}, #1",
            "smlabb {v0}, {even}, {c}, {v0}",
            "smlatb {v2}, {even}, {c}, {v2}",
            "smlabb {v1}, {odd}, {c}, {v1}",
            "smlatb {v3}, {odd}, {c}, {v3}",
            "bne 2b",
            v = inout(reg) values => _,
            w = inout(reg) weights.as_ptr() => _,
            stride = in(reg) stride,
            positions = inout(reg) weights.len() => _,
            even = out(reg) _, odd = out(reg) _, c = out(reg) _,
            v0 = inout(reg) v0, v1 = inout(reg) v1, v2 = inout(reg) v2, v3 = inout(reg) v3,
            options(nostack, readonly),
        );
    }
    [v0, v1, v2, v3]
}
