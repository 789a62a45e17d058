//! The specification of attention over a q8 cache.
//!
//! Scores, weights and sums are integers, so that their order does not matter and a core without fast floats, or
//! with wide vectors, computes them as it likes.
//!
//! A score counts 2^-16 of a power of two: e^x = 2^(x log2 e). Weights are powers of two of the scores' distance to
//! the whole power above the largest, as 16-bit fractions; the scales of the values are 15-bit fractions of the
//! largest among [`MIX_BLOCK`] positions, and so are their products with the weights. A score errs by 2^-16, a weight
//! by 1.1e-4 of itself (see the test below) and half of 2^-16 of the largest: far less than what bytes in the cache
//! cost.

use half::f16;

use super::{LANES, dot_i8, quantize_group, to_f32};
use crate::kernels::{Adjust, Attention, AttentionWork, MIX_BLOCK, Q8Heads, SCORE_ONE};
use crate::math;

/// Coefficients of 2^-x for |x| <= 1/2, as fractions of [`SCORE_ONE`]: minimax of the relative error, with the constant 1.
pub(in crate::kernels) const POWER: [i32; 4] = [SCORE_ONE, -45435, 15877, -3603];

/// Weights of scores that are farther than this from the largest are 0. Its last bit is that of 32 whole powers.
pub(in crate::kernels) const FARTHEST: u32 = (1 << 21) - 1;

/// From here up, the least score is farther than [`FARTHEST`].
pub(in crate::kernels) const LEAST_TOP: i32 = i32::MIN + FARTHEST as i32;

/// The largest weight times the largest scale.
pub(in crate::kernels) const MOST: f32 = 32767.0;

#[inline(always)]
pub(in crate::kernels) fn attend_q8(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    attend_with(attention, work, out, score, weigh, mix);
}

/// One head after the other, by `score(query, factor, keys, scores)`, `weigh(scores, top, multipliers)` and
/// `mix(weights, values, unit, out)`, which do what the functions of those names here do.
#[inline(always)]
pub(in crate::kernels) fn attend_with(
    attention: &Attention,
    work: &mut AttentionWork,
    out: &mut [f32],
    score: impl Fn(&[i8], f32, &Q8Heads, &mut [i32]),
    weigh: impl Fn(&mut [i32], i32, &[i32]) -> i32,
    mix: impl Fn(&[i32], &Q8Heads, f32, &mut [f32]),
) {
    let Attention { head_dim, scale, keys, values, .. } = *attention;
    let positions = keys.scales.len();
    let scores = &mut work.scores[..positions];
    let quantized = &mut work.query[..keys.stride];
    let heads = attention.query.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
    for (head, (query, out)) in heads.enumerate() {
        let factor = quantize_group(query, quantized) * scale;
        score(quantized, factor, &keys, scores);
        let largest = match attention.adjust() {
            Some(how) => adjust(how, how.slopes[head], scores, 1),
            None => scores.iter().fold(i32::MIN, |most, score| most.max(*score)),
        };
        let top = top(largest);
        out.fill(0.0);
        let mut total = 0.0;
        for (run, scores) in scores.chunks_mut(MIX_BLOCK).enumerate() {
            let values = values.part(run * MIX_BLOCK, scores.len());
            let multipliers = &mut work.multipliers[..scores.len()];
            let unit = multiply(values.scales, multipliers);
            total += weigh(scores, top, multipliers) as f32;
            mix(scores, &values, unit, out);
        }
        let inverse = SCORE_ONE as f32 / total;
        out.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// Scores of one query against keys.
#[inline(always)]
pub(in crate::kernels) fn score(query: &[i8], factor: f32, keys: &Q8Heads, scores: &mut [i32]) {
    for ((score, key), scale) in scores.iter_mut().zip(keys.values.chunks_exact(keys.stride)).zip(keys.scales)
    {
        // The conversion goes towards zero and to the nearest end for what is beyond it.
        *score = (dot_i8(key, query) as f32 * to_f32(*scale) * factor) as i32;
    }
}

/// Adjusts the scores of one head, `stride` apart, and returns the largest. A score that counts is never so low that
/// one that does not has a weight beside it.
#[inline(never)]
pub(in crate::kernels) fn adjust(how: &Adjust, slope: f32, scores: &mut [i32], stride: usize) -> i32 {
    let positions = scores.len().div_ceil(stride);
    let mut largest = i32::MIN;
    for (position, score) in scores.iter_mut().step_by(stride).enumerate() {
        if position < how.skip {
            *score = i32::MIN;
            continue;
        }
        if how.soft_cap != 0.0 {
            // Conversions go towards zero and to the nearest end.
            *score = (how.soft_cap * math::tanh(*score as f32 / how.soft_cap)) as i32;
        }
        let distance = (positions - 1 - position) as f32;
        *score = score.saturating_sub((slope * distance) as i32).max(LEAST_TOP);
        largest = largest.max(*score);
    }
    largest
}

/// The whole power above the largest score, from which distances are measured.
#[inline(always)]
pub(in crate::kernels) fn top(largest: i32) -> i32 {
    (largest & !(SCORE_ONE - 1)).saturating_add(SCORE_ONE)
}

/// The scales of values as multipliers of weights, 0..=32767 of the largest, and what one of the products stands for.
#[inline(always)]
pub(in crate::kernels) fn multiply(scales: &[f16], multipliers: &mut [i32]) -> f32 {
    // Scales are not negative: they are ordered as their bits are.
    let largest = f16::from_bits(scales.iter().fold(0, |most, scale| most.max(scale.to_bits())));
    let (inverse, unit) = inverse_and_unit(largest);
    for (multiplier, scale) in multipliers.iter_mut().zip(scales) {
        *multiplier = (to_f32(*scale) * inverse) as i32;
    }
    unit
}

/// What scales are multiplied with to become multipliers, and what one of their products with weights stands for.
#[inline(always)]
pub(in crate::kernels) fn inverse_and_unit(largest: f16) -> (f32, f32) {
    let largest = to_f32(largest);
    (if largest > 0.0 { MOST / largest } else { 0.0 }, largest / MOST)
}

/// Turns scores into weights times multipliers, of 0..=32767, and returns the sum of the weights alone.
#[inline(always)]
pub(in crate::kernels) fn weigh(scores: &mut [i32], top: i32, multipliers: &[i32]) -> i32 {
    let mut sum = 0;
    for (score, multiplier) in scores.iter_mut().zip(multipliers) {
        let weight = power(top.wrapping_sub(*score) as u32);
        sum += weight;
        *score = (weight * multiplier + SCORE_ONE / 2) >> 16;
    }
    sum
}

/// 2^-`distance`, rounded. For a distance of at least 1 it is less than [`SCORE_ONE`].
#[inline(always)]
pub(in crate::kernels) fn power(distance: u32) -> i32 {
    let distance = distance.min(FARTHEST);
    let whole = (distance + SCORE_ONE as u32 / 2) >> 16;
    let part = i32::from(distance as i16);
    let mut weight = POWER[3];
    for coefficient in [POWER[2], POWER[1], POWER[0]] {
        weight = ((weight * part) >> 16) + coefficient;
    }
    // Two times the weight fits 18 bits, and a shift of 32 leaves 0.
    ((((weight as u32) << 1).checked_shr(whole).unwrap_or(0) + 1) >> 1) as i32
}

/// Adds the values, each times its weight of 0..=32767, times `unit`, to `out`. At most [`MIX_BLOCK`] positions.
#[inline(always)]
pub(in crate::kernels) fn mix(weights: &[i32], values: &Q8Heads, unit: f32, out: &mut [f32]) {
    for (part, out) in out.chunks_mut(LANES).enumerate() {
        let mut sums = [0i32; LANES];
        for (weight, value) in weights.iter().zip(values.values.chunks_exact(values.stride)) {
            for (sum, v) in sums.iter_mut().zip(&value[part * LANES..]) {
                *sum += weight * i32::from(*v);
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum as f32 * unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn a_power_errs_by_at_most_the_stated_bound() {
        let mut worst = 0.0f64;
        for distance in 0..=FARTHEST {
            let exact = f64::from(SCORE_ONE) * (-f64::from(distance) / f64::from(SCORE_ONE)).exp2();
            let weight = f64::from(power(distance));
            assert!(distance == 0 || weight < f64::from(SCORE_ONE));
            // Half a unit is the rounding to the unit, the rest is the polynomial.
            worst = worst.max(((weight - exact).abs() - 0.5) / exact);
        }
        assert!((1.0e-4..1.1e-4).contains(&worst), "{worst}");
        assert_eq!([power(FARTHEST + 1), power(u32::MAX)], [0, 0]);
    }

    #[test]
    fn the_top_is_the_whole_power_above() {
        for (largest, above) in [
            (0, SCORE_ONE),
            (-1, 0),
            (SCORE_ONE - 1, SCORE_ONE),
            (SCORE_ONE, 2 * SCORE_ONE),
            (i32::MAX, i32::MAX),
        ] {
            assert_eq!(top(largest), above);
        }
    }

    #[test]
    fn attention_comes_close_to_that_of_double_precision() {
        for positions in [1usize, 2, 3, 511, 512, 513, 1500] {
            let (head_dim, stride) = (7, 8);
            let bytes = |seed: usize| -> Vec<i8> {
                let byte = |i: usize| ((i * seed + i * i / 7) % 255) as i32 - 127;
                let rows = positions.next_multiple_of(2);
                (0..rows * stride).map(|i| if i % stride < head_dim { byte(i) as i8 } else { 0 }).collect()
            };
            let (keys, values) = (bytes(37), bytes(91));
            let scales: Vec<f16> =
                (0..positions).map(|i| f16::from_f32(0.01 + (i % 13) as f32 * 0.001)).collect();
            // The largest component is 127 steps, so that quantizing the query changes nothing.
            let query = [127.0, -3.0, 20.0, 0.0, -90.0, 55.0, 1.0].map(|q: f32| q / 256.0);
            let head = |values| Q8Heads { values, scales: &scales, stride };
            let scale = core::f32::consts::LOG2_E * 65536.0 / (head_dim as f32).sqrt();
            let (keys_of, values_of) = (head(&keys), head(&values));
            let attention =
                Attention { query: &query, head_dim, scale, keys: keys_of, values: values_of, adjust: None };
            let mut out = [9.0; 7];
            let work = &mut AttentionWork {
                scores: &mut vec![0; positions],
                multipliers: &mut vec![0; positions.min(MIX_BLOCK)],
                query: &mut [0; 16],
            };
            attend_q8(&attention, work, &mut out);

            let row =
                |bytes: &[i8], p: usize, c: usize| f64::from(bytes[p * stride + c]) * scales[p].to_f64();
            let weights = (0..positions).map(|p| {
                let dot: f64 = (0..head_dim).map(|c| f64::from(query[c]) * row(&keys, p, c)).sum();
                (dot / (head_dim as f64).sqrt()).exp()
            });
            let weights: Vec<f64> = weights.collect();
            let total: f64 = weights.iter().sum();
            for (c, out) in out.iter().enumerate() {
                let expected = (0..positions).map(|p| weights[p] * row(&values, p, c)).sum::<f64>() / total;
                // 2e-4 of the largest value that there could be.
                assert!(
                    (f64::from(*out) - expected).abs() < 2e-4 * 127.0 * 0.022,
                    "{positions}: {out} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_largest_sum_of_a_block_does_not_overflow() {
        let mut out = [0.0; 8];
        let (values, scales) = ([-127i8; MIX_BLOCK * 8], [f16::ONE; MIX_BLOCK]);
        let values = Q8Heads { values: &values, scales: &scales, stride: 8 };
        mix(&[32767; MIX_BLOCK], &values, 1.0 / 32767.0, &mut out);
        assert_eq!(out, [-127.0 * MIX_BLOCK as f32; 8]);
    }
}
