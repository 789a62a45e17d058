//! The specification of every kernel, in plain Rust.
//!
//! Written for the reader first, but with fixed-size chunks and independent lanes, so that a compiler
//! vectorizes it where the target has vectors. Slices are cut to exact length before a loop.

use half::f16;

use sprat_format::{BLOCK_ROWS, Layout, WORD};

pub(super) use super::elementwise::{activate, add, gate, normalize};
use super::{Kernels, Prepared, Q8};
use crate::math;
use crate::team::Tile;

pub(super) mod attention;
#[cfg(any(sprat_isa = "dsp", test))]
pub(super) mod compact;

pub(super) use attention::attend_q8;

pub(super) static KERNELS: Kernels = Kernels {
    name: "portable",
    quantize,
    prepare,
    matmul_q8,
    matmul_f16,
    matmul_f32,
    attend_q8,
    score_f16,
    score_f32,
    softmax,
    mix_f16,
    mix_f32,
    dot,
    sum,
    sqrt: math::sqrt,
    add,
    gate,
    normalize,
    activate,
};

/// Lanes of a sum of `f32`.
pub(super) const LANES: usize = 8;

/// The largest magnitude of a quantized value: symmetric, so that -128 never occurs.
const Q_MAX: f32 = 127.0;

/// Below this, a group is taken as zero. Its scale, times the least scale of a weight, is then an ordinary
/// number, so that a vector unit that flushes subnormal numbers computes the same bits.
const LEAST_AMPLITUDE: f32 = 1e-20;

#[inline(always)]
pub(super) fn prepare(x: &[f32], cols: usize, group: usize, _: Layout, input: &mut Prepared) {
    let stride = cols.next_multiple_of(group);
    let groups = stride / group;
    let scales = input.scales.chunks_exact_mut(groups).zip(input.sums.chunks_exact_mut(groups));
    for ((x, q), (scales, sums)) in
        x.chunks_exact(cols).zip(input.values.chunks_exact_mut(2 * stride)).zip(scales)
    {
        let parts = x.chunks(group).zip(q.chunks_exact_mut(group));
        for ((x, q), (scale, sum)) in parts.zip(scales.iter_mut().zip(sums)) {
            *scale = quantize_group(x, q);
            *sum = q.iter().map(|q| i32::from(*q)).sum();
        }
    }
}

/// A scale beyond the largest half float would be infinite, which not every core widens alike.
pub(super) const MOST_SCALE: f32 = 65504.0;

/// Quantizes one head for the cache.
#[inline(always)]
pub(super) fn quantize(x: &[f32], q: &mut [i8]) -> f16 {
    let scale = quantize_group(x, q);
    f16::from_f32(if scale > MOST_SCALE { MOST_SCALE } else { scale })
}

/// Quantizes one group, with zeros behind `x` up to the length of `q`, and returns its scale.
#[inline(always)]
pub(super) fn quantize_group(x: &[f32], q: &mut [i8]) -> f32 {
    let (inverse, scale) = inverse_and_scale(amplitude(x));
    let (used, padding) = q.split_at_mut(x.len());
    for (q, x) in used.iter_mut().zip(x) {
        *q = round_to_i8(x * inverse);
    }
    padding.fill(0);
    scale
}

/// The largest magnitude.
#[inline(always)]
pub(super) fn amplitude(x: &[f32]) -> f32 {
    // Magnitudes are ordered as their bits are, and integers can be compared in any order.
    f32::from_bits(x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0))
}

/// What a group of this amplitude is multiplied with to become bytes, and what one of these stands for.
#[inline(always)]
pub(super) fn inverse_and_scale(amplitude: f32) -> (f32, f32) {
    if amplitude < LEAST_AMPLITUDE { (0.0, 0.0) } else { (Q_MAX / amplitude, amplitude / Q_MAX) }
}

/// To the nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub(super) fn round_to_i8(x: f32) -> i8 {
    // What is left of x in the sum is its integer part, in the low bits.
    (x + math::ROUNDER).to_bits() as i8
}

#[inline(always)]
pub(super) fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    match matrix.layout {
        Layout::Rows => matmul_q8_rows(matrix, input, out),
        Layout::Interleaved => matmul_q8_blocks::<false>(matrix, input, out),
        Layout::InterleavedBiased => matmul_q8_blocks::<true>(matrix, input, out),
    }
}

#[inline(always)]
pub(super) fn matmul_q8_rows(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    let weight_rows = matrix.values.chunks_exact(stride).zip(matrix.scales.chunks_exact(groups));
    for (row, (weights, weight_scales)) in weight_rows.enumerate() {
        for (token, (q, scales)) in
            input.values.chunks_exact(2 * stride).zip(input.scales.chunks_exact(groups)).enumerate()
        {
            let mut acc = 0.0;
            let parts = weights.chunks_exact(group).zip(q.chunks_exact(group));
            for ((w, q), (w_scale, scale)) in parts.zip(weight_scales.iter().zip(scales)) {
                acc += dot_i8(w, q) as f32 * (to_f32(*w_scale) * scale);
            }
            out.token(token)[row] = acc;
        }
    }
}

#[inline(always)]
pub(super) fn matmul_q8_blocks<const BIASED: bool>(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    let blocks =
        matrix.values.chunks_exact(stride * BLOCK_ROWS).zip(matrix.scales.chunks_exact(groups * BLOCK_ROWS));
    for (block, (weights, weight_scales)) in blocks.enumerate() {
        for (token, (q, scales)) in
            input.values.chunks_exact(2 * stride).zip(input.scales.chunks_exact(groups)).enumerate()
        {
            let mut acc = [0.0; BLOCK_ROWS];
            let parts = weights.chunks_exact(group * BLOCK_ROWS).zip(q.chunks_exact(group));
            for ((w, q), (w_scales, scale)) in parts.zip(weight_scales.chunks_exact(BLOCK_ROWS).zip(scales)) {
                let sums = dot_block::<BIASED>(w, q);
                for lane in 0..BLOCK_ROWS {
                    acc[lane] += sums[lane] as f32 * (to_f32(w_scales[lane]) * scale);
                }
            }
            // The last block may have rows of padding.
            let out = &mut out.token(token)[block * BLOCK_ROWS..];
            out.iter_mut().zip(acc).for_each(|(out, acc)| *out = acc);
        }
    }
}

/// The exact sums of the products of one group of four interleaved rows.
#[inline(always)]
fn dot_block<const BIASED: bool>(weights: &[i8], q: &[i8]) -> [i32; BLOCK_ROWS] {
    let mut sums = [0; BLOCK_ROWS];
    let (words, _) = weights.as_chunks::<{ BLOCK_ROWS * WORD }>();
    let (q_words, _) = q.as_chunks::<WORD>();
    for (word, q) in words.iter().zip(q_words) {
        for lane in 0..BLOCK_ROWS {
            for col in 0..WORD {
                let w = word[lane * WORD + col];
                let w = if BIASED && col % 2 == 0 { w ^ i8::MIN } else { w };
                sums[lane] += i32::from(w) * i32::from(q[col]);
            }
        }
    }
    sums
}

/// The exact sum of the products of signed bytes.
#[inline(always)]
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

#[inline(always)]
pub(super) fn matmul_f16(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile) {
    matmul(matrix, cols, x, out, dot_f16);
}

#[inline(always)]
pub(super) fn matmul_f32(matrix: &[f32], cols: usize, x: &[f32], out: &mut Tile) {
    matmul(matrix, cols, x, out, dot);
}

#[inline(always)]
fn matmul<W>(matrix: &[W], cols: usize, x: &[f32], out: &mut Tile, dot: impl Fn(&[W], &[f32]) -> f32) {
    for (row, weights) in matrix.chunks_exact(cols).enumerate() {
        for (token, x) in x.chunks_exact(cols).enumerate() {
            out.token(token)[row] = dot(weights, x);
        }
    }
}

/// The value of a finite half-precision number, without a branch and without a subnormal float, which some
/// vector units would flush. A number with exponent field 0 is put on top of 2^-14, which is then taken off.
#[inline(always)]
pub(super) fn to_f32(x: f16) -> f32 {
    const REBIAS: u32 = (127 - 15) << 23;
    const STEP: u32 = 1 << 23;
    let bits = u32::from(x.to_bits());
    let magnitude = (bits & 0x7fff) << 13;
    let ordinary = f32::from_bits(magnitude + REBIAS);
    let small = f32::from_bits(magnitude + REBIAS + STEP) - f32::from_bits(REBIAS + STEP);
    let value = if magnitude < STEP { small } else { ordinary };
    f32::from_bits(value.to_bits() | (bits & 0x8000) << 16)
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |&a, &b| a * b)
}

#[inline(always)]
pub(super) fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
    lanes(a, b, |&a, &b| to_f32(a) * b)
}

#[inline(always)]
pub(super) fn sum(a: &[f32]) -> f32 {
    lanes(a, a, |&a, _| a)
}

/// The sum of `term` over two rows of one length, in the order that every backend follows.
#[inline(always)]
fn lanes<A, B>(a: &[A], b: &[B], term: impl Fn(&A, &B) -> f32) -> f32 {
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    let mut acc = [0.0f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            acc[lane] += term(&a[lane], &b[lane]);
        }
    }
    for (acc, (a, b)) in acc.iter_mut().zip(a_tail.iter().zip(b_tail)) {
        *acc += term(a, b);
    }
    add_lanes(acc)
}

/// The sum of the lanes.
#[inline(always)]
pub(super) fn add_lanes([l0, l1, l2, l3, l4, l5, l6, l7]: [f32; LANES]) -> f32 {
    ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
}

#[inline(always)]
pub(super) fn score_f16(query: &[f32], keys: &[f16], out: &mut [f32]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len())) {
        *out = dot_f16(key, query);
    }
}

#[inline(always)]
pub(super) fn score_f32(query: &[f32], keys: &[f32], out: &mut [f32]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len())) {
        *out = dot(key, query);
    }
}

#[inline(always)]
pub(super) fn softmax(scores: &mut [f32]) -> f32 {
    // Floats are ordered as these integers are, which can be compared in any order.
    let key = |bits: u32| bits as i32 ^ ((bits as i32 >> 31) as u32 >> 1) as i32;
    let most = scores.iter().map(|score| key(score.to_bits())).max().unwrap_or(0);
    let most = f32::from_bits(key(most as u32) as u32);
    scores.iter_mut().for_each(|score| *score = math::exp(*score - most));
    sum(scores)
}

#[inline(always)]
pub(super) fn mix_f16(weights: &[f32], values: &[f16], out: &mut [f32]) {
    for (weight, value) in weights.iter().zip(values.chunks_exact(out.len())) {
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * to_f32(*value);
        }
    }
}

#[inline(always)]
pub(super) fn mix_f32(weights: &[f32], values: &[f32], out: &mut [f32]) {
    for (weight, value) in weights.iter().zip(values.chunks_exact(out.len())) {
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn half_conversion_equals_the_half_crate_for_every_finite_number() {
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits);
            if x.is_finite() {
                assert_eq!(to_f32(x).to_bits(), x.to_f32().to_bits(), "{bits:04x}");
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_with_ties_to_even() {
        for (x, rounded) in
            [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (126.49, 126), (-127.0, -127)]
        {
            assert_eq!(round_to_i8(x), rounded, "{x}");
        }
    }

    #[test]
    fn lanes_are_added_in_the_stated_order() {
        // Each lane holds one power of two far enough apart that another order rounds differently.
        let x: Vec<f32> = (0..19).map(|i| 1.0 + (i as f32) * 1e-7 * 3f32.powi(i % 5)).collect();
        let mut lane = [0.0f32; 8];
        for (i, x) in x.iter().enumerate() {
            lane[i % 8] += x * x;
        }
        let expected =
            ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
        assert_eq!(dot(&x, &x).to_bits(), expected.to_bits());
    }

    #[test]
    fn a_group_of_zeros_or_of_nearly_zeros_is_zero() {
        let mut q = [1i8; 8];
        assert_eq!(quantize_group(&[0.0; 8], &mut q), 0.0);
        assert_eq!(q, [0; 8]);
        assert_eq!(quantize_group(&[1e-38; 5], &mut q), 0.0);
    }

    proptest! {
        #[test]
        fn quantizing_errs_by_at_most_half_a_step(
            x in proptest::collection::vec(-1e4f32..1e4, 1..70),
            group in (1usize..9).prop_map(|n| 4 * n),
        ) {
            let stride = x.len().next_multiple_of(group);
            let (mut q, mut scales, mut sums) = (vec![99i8; 2 * stride], vec![0.0; stride / group], vec![0; stride / group]);
            let mut input = Prepared { values: &mut q, scales: &mut scales, sums: &mut sums };
            prepare(&x, x.len(), group, Layout::Rows, &mut input);
            for (i, x) in x.iter().enumerate() {
                let scale = scales[i / group];
                prop_assert!((f32::from(q[i]) * scale - x).abs() <= scale * 0.5001);
            }
            prop_assert!(q[x.len()..stride].iter().all(|&q| q == 0));
            prop_assert_eq!(sums.iter().sum::<i32>(), q[..stride].iter().map(|q| i32::from(*q)).sum::<i32>());
        }

        #[test]
        fn a_matrix_product_for_several_tokens_equals_one_at_a_time(
            seed in any::<u64>(), rows in 1usize..9, cols in 1usize..50, tokens in 1usize..5,
        ) {
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u32
            };
            let group = 8;
            let stride = cols.next_multiple_of(group);
            let values: Vec<i8> = (0..rows * stride).map(|_| (random() % 255) as i8).collect();
            let scales: Vec<f16> =
                (0..rows * stride / group).map(|_| f16::from_f32(random() as f32 / 4e9)).collect();
            let x: Vec<f32> = (0..tokens * cols).map(|_| random() as f32 / 1e9 - 1.0).collect();
            let groups = stride / group;
            let (mut q, mut q_scales) = (vec![0; tokens * 2 * stride], vec![0.0; tokens * groups]);
            let mut sums = vec![0; tokens * groups];
            let mut input = Prepared { values: &mut q, scales: &mut q_scales, sums: &mut sums };
            prepare(&x, cols, group, Layout::Rows, &mut input);
            let matrix = Q8 { values: &values, scales: &scales, rows, group, stride, layout: Layout::Rows };
            let mut together = vec![0.0; tokens * rows];
            matmul_q8(&matrix, &input, &mut Tile::new(&mut together, rows));
            let mut small = vec![0.0; tokens * rows];
            compact::matmul_q8(&matrix, &input, &mut Tile::new(&mut small, rows));
            prop_assert_eq!(&small, &together);
            for token in 0..tokens {
                let mut alone = vec![0.0; rows];
                let input = Prepared {
                    values: &mut input.values[2 * token * stride..][..2 * stride],
                    scales: &mut input.scales[token * groups..][..groups],
                    sums: &mut input.sums[token * groups..][..groups],
                };
                matmul_q8(&matrix, &input, &mut Tile::new(&mut alone, rows));
                prop_assert_eq!(&together[token * rows..][..rows], &alone[..]);
            }
            // Every layout of the same matrix gives the same bits.
            for layout in [Layout::Interleaved, Layout::InterleavedBiased] {
                let padded = layout.padded_rows(rows as u32) as usize;
                let mut bytes = vec![0; padded * stride];
                let mut arranged_scales = vec![f16::ZERO; padded * stride / group];
                layout.arrange(rows, &values, &scales, &mut bytes, &mut arranged_scales);
                let values: Vec<i8> = bytes.iter().map(|&b| b as i8).collect();
                let matrix = Q8 { values: &values, scales: &arranged_scales, layout, ..matrix };
                let mut arranged = vec![0.0; tokens * rows];
                matmul_q8(&matrix, &input, &mut Tile::new(&mut arranged, rows));
                prop_assert_eq!(&arranged, &together);
                arranged.fill(9.0);
                compact::matmul_q8(&matrix, &input, &mut Tile::new(&mut arranged, rows));
                prop_assert_eq!(&arranged, &together);
            }
        }
    }
}
