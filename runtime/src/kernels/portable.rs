//! The specification of every kernel, in plain Rust.
//!
//! Written for the reader first, but with fixed-size chunks and independent lanes, so that a compiler
//! vectorizes it where the target has vectors. Slices are cut to exact length before a loop.

use half::f16;

use super::{Kernels, Q8};

pub(super) static KERNELS: Kernels = Kernels {
    name: "portable",
    quantize,
    matmul_q8,
    matmul_f16,
    matmul_f32,
    score_q8,
    score_f16,
    score_f32,
    mix_q8,
    mix_f16,
    mix_f32,
    dot,
    sum,
};

/// Lanes of a sum of `f32`.
const LANES: usize = 8;

/// The largest magnitude of a quantized value: symmetric, so that -128 never occurs.
const Q_MAX: f32 = 127.0;

/// Adding and subtracting this rounds to an integer, to nearest with ties to even (IEEE 754's default), and
/// leaves the integer in the low bits of the sum.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

/// Below this, a group is taken as zero: its scale's inverse would not be finite.
const LEAST_AMPLITUDE: f32 = 1e-30;

fn quantize(x: &[f32], cols: usize, group: usize, q: &mut [i8], scales: &mut [f32]) {
    let stride = cols.next_multiple_of(group);
    let rows =
        x.chunks_exact(cols).zip(q.chunks_exact_mut(stride)).zip(scales.chunks_exact_mut(stride / group));
    for ((x, q), scales) in rows {
        for ((x, q), scale) in x.chunks(group).zip(q.chunks_exact_mut(group)).zip(scales) {
            *scale = quantize_group(x, q);
        }
    }
}

/// Quantizes one group, with zeros behind `x` up to the length of `q`, and returns its scale.
fn quantize_group(x: &[f32], q: &mut [i8]) -> f32 {
    let amplitude = x.iter().fold(0.0f32, |most, x| if x.abs() > most { x.abs() } else { most });
    if amplitude < LEAST_AMPLITUDE {
        q.fill(0);
        return 0.0;
    }
    let inverse = Q_MAX / amplitude;
    let (used, padding) = q.split_at_mut(x.len());
    for (q, x) in used.iter_mut().zip(x) {
        *q = round_to_i8(x * inverse);
    }
    padding.fill(0);
    amplitude / Q_MAX
}

/// To the nearest integer, ties to even, for |x| < 2^22.
fn round_to_i8(x: f32) -> i8 {
    (x + ROUNDER).to_bits() as i8
}

fn matmul_q8(matrix: &Q8, q: &[i8], scales: &[f32], out: &mut [f32]) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    let rows = matrix.values.len() / stride;
    let weight_rows = matrix.values.chunks_exact(stride).zip(matrix.scales.chunks_exact(groups));
    for (row, (weights, weight_scales)) in weight_rows.enumerate() {
        let tokens = q.chunks_exact(stride).zip(scales.chunks_exact(groups)).zip(out.chunks_exact_mut(rows));
        for ((q, scales), out) in tokens {
            let mut acc = 0.0;
            let parts = weights.chunks_exact(group).zip(q.chunks_exact(group));
            for ((w, q), (w_scale, scale)) in parts.zip(weight_scales.iter().zip(scales)) {
                acc += dot_i8(w, q) as f32 * (to_f32(*w_scale) * scale);
            }
            out[row] = acc;
        }
    }
}

/// The exact sum of the products of signed bytes.
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

fn matmul_f16(matrix: &[f16], cols: usize, x: &[f32], out: &mut [f32]) {
    matmul(matrix, cols, x, out, dot_f16);
}

fn matmul_f32(matrix: &[f32], cols: usize, x: &[f32], out: &mut [f32]) {
    matmul(matrix, cols, x, out, dot);
}

#[inline(always)]
fn matmul<W>(matrix: &[W], cols: usize, x: &[f32], out: &mut [f32], dot: impl Fn(&[W], &[f32]) -> f32) {
    let rows = matrix.len() / cols;
    for (row, weights) in matrix.chunks_exact(cols).enumerate() {
        for (x, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(rows)) {
            out[row] = dot(weights, x);
        }
    }
}

/// The value of a finite half-precision number, without a branch: the exponent is moved to its place and
/// corrected by a multiplication with 2^112, which is exact for subnormal numbers as well.
fn to_f32(x: f16) -> f32 {
    const TWO_POW_112: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(x.to_bits());
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * TWO_POW_112;
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |&a, &b| a * b)
}

fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
    lanes(a, b, |&a, &b| to_f32(a) * b)
}

fn sum(a: &[f32]) -> f32 {
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
    let [l0, l1, l2, l3, l4, l5, l6, l7] = acc;
    ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
}

fn score_q8(query: &[i8], query_scale: f32, keys: &[i8], key_scales: &[f16], out: &mut [f32]) {
    for ((out, key), scale) in out.iter_mut().zip(keys.chunks_exact(query.len())).zip(key_scales) {
        *out = dot_i8(key, query) as f32 * (to_f32(*scale) * query_scale);
    }
}

fn score_f16(query: &[f32], keys: &[f16], out: &mut [f32]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len())) {
        *out = dot_f16(key, query);
    }
}

fn score_f32(query: &[f32], keys: &[f32], out: &mut [f32]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len())) {
        *out = dot(key, query);
    }
}

fn mix_q8(weights: &[f32], values: &[i8], value_scales: &[f16], stride: usize, out: &mut [f32]) {
    for ((weight, value), scale) in weights.iter().zip(values.chunks_exact(stride)).zip(value_scales) {
        let weight = weight * to_f32(*scale);
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * f32::from(*value);
        }
    }
}

fn mix_f16(weights: &[f32], values: &[f16], out: &mut [f32]) {
    for (weight, value) in weights.iter().zip(values.chunks_exact(out.len())) {
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * to_f32(*value);
        }
    }
}

fn mix_f32(weights: &[f32], values: &[f32], out: &mut [f32]) {
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
            let (mut q, mut scales) = (vec![99i8; stride], vec![0.0; stride / group]);
            quantize(&x, x.len(), group, &mut q, &mut scales);
            for (i, x) in x.iter().enumerate() {
                let scale = scales[i / group];
                prop_assert!((f32::from(q[i]) * scale - x).abs() <= scale * 0.5001);
            }
            prop_assert!(q[x.len()..].iter().all(|&q| q == 0));
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
            let (mut q, mut q_scales) = (vec![0; tokens * stride], vec![0.0; tokens * stride / group]);
            quantize(&x, cols, group, &mut q, &mut q_scales);
            let matrix = Q8 { values: &values, scales: &scales, group, stride };
            let mut together = vec![0.0; tokens * rows];
            matmul_q8(&matrix, &q, &q_scales, &mut together);
            for token in 0..tokens {
                let mut alone = vec![0.0; rows];
                let scales = &q_scales[token * stride / group..][..stride / group];
                matmul_q8(&matrix, &q[token * stride..][..stride], scales, &mut alone);
                prop_assert_eq!(&together[token * rows..][..rows], &alone[..]);
            }
        }
    }
}
