//! Quantizing on DSP cores: bytes for the cache, factors for the products, pairs of halfwords for queries.
//!
//! All do what [`portable::quantize_group`] does: `VCVTR` rounds as the unit is set, which is to nearest with ties to
//! even. Four values at a time go through the loops; what is left over goes one by one.

use core::arch::asm;

use half::f16;
use sprat_format::{Layout, WORD};

use crate::kernels::{Prepared, portable};

/// The largest magnitude.
#[inline(always)]
fn amplitude(x: &[f32]) -> f32 {
    let (words, rest) = x.as_chunks::<WORD>();
    let mut most = portable::amplitude(rest).to_bits();
    if words.is_empty() {
        return f32::from_bits(most);
    }
    // SAFETY: so many words are read; nothing is written.
    unsafe {
        asm!(
            "2:",
            "ldmia {x}!, {{r4, r5, r8, r9}}",
            "subs {n}, #1",
            // Magnitudes are ordered as their bits are, without the sign. The flags of `subs` are kept.
            "bic r4, r4, #0x80000000",
            "bic r5, r5, #0x80000000",
            "bic r8, r8, #0x80000000",
            "bic r9, r9, #0x80000000",
            "sub r4, r4, {most}",
            "bic r4, r4, r4, asr #31",
            "add {most}, r4",
            "sub r5, r5, {most}",
            "bic r5, r5, r5, asr #31",
            "add {most}, r5",
            "sub r8, r8, {most}",
            "bic r8, r8, r8, asr #31",
            "add {most}, r8",
            "sub r9, r9, {most}",
            "bic r9, r9, r9, asr #31",
            "add {most}, r9",
            "bne 2b",
            x = inout(reg) words.as_ptr() => _,
            n = inout(reg) words.len() => _,
            most = inout(reg) most,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            options(nostack, readonly),
        );
    }
    f32::from_bits(most)
}

/// Goes through words of four values: they are in `r4`, `r5`, `r8` and `r9`, quantized, when the instructions given
/// find them, which store them at `{out}` and may have operands of their own.
macro_rules! quantize_words {
    ($words:expr, $inverse:expr, $out:expr, [$($store:literal)*] $($operand:tt)*) => {
        asm!(
            "vmov s4, {inverse}",
            "2:",
            "vldmia {x}!, {{s0-s3}}",
            "vmul.f32 s0, s0, s4",
            "vmul.f32 s1, s1, s4",
            "vmul.f32 s2, s2, s4",
            "vmul.f32 s3, s3, s4",
            "vcvtr.s32.f32 s0, s0",
            "vcvtr.s32.f32 s1, s1",
            "vcvtr.s32.f32 s2, s2",
            "vcvtr.s32.f32 s3, s3",
            "vmov r4, r5, s0, s1",
            "vmov r8, r9, s2, s3",
            $($store,)*
            "subs {n}, #1",
            "bne 2b",
            x = inout(reg) $words.as_ptr() => _,
            n = inout(reg) $words.len() => _,
            inverse = in(reg) $inverse.to_bits(),
            out = inout(reg) $out => _,
            $($operand)*
            out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _,
            options(nostack),
        )
    };
}

/// Quantizes one head for the cache.
pub(super) fn quantize(x: &[f32], q: &mut [i8]) -> f16 {
    let scale = quantize_group(x, q).min(portable::MOST_SCALE);
    let half: u32;
    // SAFETY: the instructions work on registers only. They round to nearest with ties to even.
    unsafe {
        asm!("vmov s0, {x}", "vcvtb.f16.f32 s0, s0", "vmov {x}, s0", x = inout(reg) scale.to_bits() => half,
            out("s0") _, options(pure, nomem, nostack, preserves_flags));
    }
    f16::from_bits(half as u16)
}

/// Quantizes one group to bytes, with zeros behind `x`.
fn quantize_group(x: &[f32], q: &mut [i8]) -> f32 {
    let (inverse, scale) = portable::inverse_and_scale(amplitude(x));
    let (words, rest) = x.as_chunks::<WORD>();
    let (bytes, behind) = q.split_at_mut(x.len() - rest.len());
    if !words.is_empty() {
        // SAFETY: `bytes` has four bytes for each word; stores of words may be unaligned.
        unsafe {
            quantize_words!(
                words, inverse, bytes.as_mut_ptr(),
                ["bfi r4, r5, #8, #8"
                "bfi r4, r8, #16, #8"
                "bfi r4, r9, #24, #8"
                "str r4, [{out}], #4"]
            );
        }
    }
    if !behind.is_empty() {
        behind.fill(0);
        behind.iter_mut().zip(rest).for_each(|(q, x)| *q = portable::round_to_i8(x * inverse));
    }
    scale
}

/// Quantizes a query into pairs of halfwords: of each word, components 0 and 2, 1 and 3, at places `step` words apart.
/// The last word is filled up with zeros, and so are words behind it. Returns the scale.
pub(super) fn quantize_pairs(x: &[f32], pairs: &mut [u32], step: usize) -> f32 {
    let (inverse, scale) = portable::inverse_and_scale(amplitude(x));
    let (words, rest) = x.as_chunks::<WORD>();
    if !words.is_empty() {
        let places = &mut pairs[..(words.len() - 1) * step + 2];
        // SAFETY: `places` has two words at every multiple of the step.
        unsafe {
            quantize_words!(
                words, inverse, places.as_mut_ptr(),
                ["pkhbt r4, r4, r8, lsl #16"
                "pkhbt r5, r5, r9, lsl #16"
                "strd r4, r5, [{out}]"
                "add {out}, {step}"]
                step = in(reg) step * size_of::<u32>(),
            );
        }
    }
    let half = |i: usize| rest.get(i).map_or(0, |x| portable::round_to_i8(x * inverse) as i16 as u16);
    let word = |low: usize, high: usize| u32::from(half(low)) | u32::from(half(high)) << 16;
    let mut places = pairs.chunks_mut(step).skip(words.len());
    if let Some([first, second, ..]) = places.next() {
        (*first, *second) = (word(0, 2), word(1, 3));
    }
    places.for_each(|place| place[..2].fill(0));
    scale
}

/// For the biased layout, each word of inputs becomes the two words of the second factors of its products; for the
/// others, the portable form.
pub(super) fn prepare(x: &[f32], cols: usize, group: usize, layout: Layout, input: &mut Prepared) {
    let is_biased = layout == Layout::InterleavedBiased;
    let width = if is_biased { 2 * group } else { group };
    let stride = cols.next_multiple_of(group);
    let groups = stride / group;
    let scales = input.scales.chunks_exact_mut(groups).zip(input.sums.chunks_exact_mut(groups));
    for ((x, values), (scales, sums)) in
        x.chunks_exact(cols).zip(input.values.chunks_exact_mut(2 * stride)).zip(scales)
    {
        let parts = x.chunks(group).zip(values.chunks_exact_mut(width));
        for ((x, values), (scale, sum)) in parts.zip(scales.iter_mut().zip(sums)) {
            (*scale, *sum) = match is_biased {
                true => factors(x, values),
                false => (quantize_group(x, values), values.iter().map(|q| i32::from(*q)).sum()),
            };
        }
    }
}

/// Quantizes a group to factors, with zeros behind `x`: of each word x0..x3 the halfwords x1, x3, 256*x0 - x1 and
/// 256*x2 - x3. Returns its scale, and what the bias of the weights adds to its products.
fn factors(x: &[f32], values: &mut [i8]) -> (f32, i32) {
    let (inverse, scale) = portable::inverse_and_scale(amplitude(x));
    let (words, rest) = x.as_chunks::<WORD>();
    let (done, behind) = values.split_at_mut(2 * (x.len() - rest.len()));
    let mut even = 0i32;
    if !words.is_empty() {
        // SAFETY: `done` has eight bytes for each word, aligned to words as prepared inputs are.
        unsafe {
            quantize_words!(
                words, inverse, done.as_mut_ptr(),
                ["add {even}, r4"
                "add {even}, r8"
                "rsb r4, r5, r4, lsl #8"
                "rsb r8, r9, r8, lsl #8"
                "pkhbt r5, r5, r9, lsl #16"
                "pkhbt r8, r4, r8, lsl #16"
                "strd r5, r8, [{out}], #8"]
                even = inout(reg) even,
            );
        }
    }
    if !behind.is_empty() {
        behind.fill(0);
    }
    if !rest.is_empty() {
        let x: [i32; WORD] =
            core::array::from_fn(|i| rest.get(i).map_or(0, |x| portable::round_to_i8(x * inverse).into()));
        even += x[0] + x[2];
        let factors = [x[1], x[3], 256 * x[0] - x[1], 256 * x[2] - x[3]];
        for (place, factor) in behind.chunks_exact_mut(2).zip(factors) {
            let [low, high] = (factor as i16).to_le_bytes();
            (place[0], place[1]) = (low as i8, high as i8);
        }
    }
    (scale, 128 * even)
}
