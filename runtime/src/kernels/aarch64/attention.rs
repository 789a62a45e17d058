//! Attention over the q8 cache: four scores or weights at once, and values in strips of columns.

use core::arch::aarch64::*;
use core::arch::asm;

use super::products::Products;
use super::{floats, vector};
use crate::kernels::portable::LANES;
use crate::kernels::portable::attention::{self as portable, FARTHEST, POWER};
use crate::kernels::{Attention, AttentionWork, Q8Heads};

/// Attention with the scores by `P`.
///
/// # Safety
/// The instruction set of `P` is present.
#[inline(always)]
pub(super) unsafe fn attend_q8<P: Products>(
    attention: &Attention,
    work: &mut AttentionWork,
    out: &mut [f32],
) {
    let score = |query: &[i8], factor: f32, keys: &Q8Heads, scores: &mut [i32]| {
        // SAFETY: the caller has the instruction set.
        if !unsafe { score::<P>(query, factor, keys, scores) } {
            portable::score(query, factor, keys, scores);
        }
    };
    portable::attend_with(attention, work, out, score, weigh, mix);
}

/// Components in a vector.
const VECTOR: usize = 16;
/// Positions that are scored together.
const POSITIONS: usize = 4;

/// Scores, or `false` where there is no fast path: heads of other sizes than 8 and multiples of 16, or data that is
/// not aligned to vectors.
///
/// # Safety
/// The instruction set of `P` is present.
#[inline(always)]
unsafe fn score<P: Products>(query: &[i8], factor: f32, keys: &Q8Heads, out: &mut [i32]) -> bool {
    let Q8Heads { values, scales, stride } = *keys;
    let whole = out.len() / POSITIONS * POSITIONS;
    // SAFETY: vectors are bytes of any value.
    let parts = unsafe { (values[..whole * stride].align_to(), scales[..whole].align_to()) };
    let (([], vectors, []), ([], quads, [])) = parts else { return false };
    let (first, rest) = out.split_at_mut(whole);
    let (out, _) = first.as_chunks_mut::<POSITIONS>();
    if stride == VECTOR / 2 {
        // SAFETY: the caller has the instruction set.
        unsafe { two_in_a_vector::<P>(query, factor, vectors, quads, out) };
    } else {
        // SAFETY: a vector is 16 bytes of any value.
        let ([], query, []) = (unsafe { query.align_to() }) else { return false };
        // SAFETY: the caller has the instruction set.
        unsafe {
            match query.len() {
                2 => scores::<P, 2>(query, factor, vectors, quads, out),
                4 => scores::<P, 4>(query, factor, vectors, quads, out),
                _ => scores::<P, 0>(query, factor, vectors, quads, out),
            }
        }
    }
    let keys = Q8Heads { values: &values[whole * stride..], scales: &scales[whole..], stride };
    portable::score(query, factor, &keys, rest);
    true
}

/// Four scores from the sums of the products.
///
/// # Safety
/// NEON is present.
#[inline(always)]
unsafe fn store(out: &mut [i32; POSITIONS], sums: int32x4_t, scales: uint16x4_t, factor: f32) {
    // SAFETY: the caller has NEON.
    unsafe {
        let scores = vmulq_f32(vcvtq_f32_s32(sums), vcvt_f32_f16(vreinterpret_f16_u16(scales)));
        // The conversion goes towards zero and to the nearest end.
        *out = integers(vcvtq_s32_f32(vmulq_n_f32(scores, factor)));
    }
}

/// Scores of keys of V vectors, or of as many as the query has if V is 0.
///
/// # Safety
/// The instruction set of `P` is present.
#[inline(always)]
unsafe fn scores<P: Products, const V: usize>(
    query: &[int8x16_t],
    factor: f32,
    keys: &[int8x16_t],
    scales: &[uint16x4_t],
    out: &mut [[i32; POSITIONS]],
) {
    let vectors = if V == 0 { query.len() } else { V };
    let query = &query[..vectors];
    for ((keys, scales), out) in keys.chunks_exact(POSITIONS * vectors).zip(scales).zip(out) {
        // SAFETY: the caller has the instruction set.
        unsafe {
            let mut sums = [vdupq_n_s32(0); POSITIONS];
            for v in 0..vectors {
                for (position, sum) in sums.iter_mut().enumerate() {
                    *sum = P::add(*sum, keys[position * vectors + v], query[v]);
                }
            }
            let [a, b, c, d] = sums;
            store(out, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), *scales, factor);
        }
    }
}

/// Scores of keys of 8 components.
///
/// # Safety
/// The instruction set of `P` is present and the query has 8 components.
#[inline(always)]
unsafe fn two_in_a_vector<P: Products>(
    query: &[i8],
    factor: f32,
    keys: &[int8x16_t],
    scales: &[uint16x4_t],
    out: &mut [[i32; POSITIONS]],
) {
    let query = &query[..VECTOR / 2];
    // SAFETY: the caller has the instruction set; 8 bytes are read from a slice of that length.
    unsafe {
        let query = vld1_s8(query.as_ptr());
        let query = vcombine_s8(query, query);
        for (([a, b], scales), out) in keys.as_chunks::<2>().0.iter().zip(scales).zip(out) {
            let (a, b) = (P::halves(*a, query), P::halves(*b, query));
            store(out, vpaddq_s32(a, b), *scales, factor);
        }
    }
}

/// A vector as four integers.
#[inline(always)]
fn integers(vector: int32x4_t) -> [i32; 4] {
    // SAFETY: both are four integers.
    unsafe { core::mem::transmute(vector) }
}

/// What [`portable::weigh`] does.
fn weigh(scores: &mut [i32], top: i32, multipliers: &[i32]) -> i32 {
    // SAFETY: vectors are integers of any value.
    let parts = unsafe { (scores.align_to_mut(), multipliers.align_to()) };
    let (([], quads, rest), ([], quad_multipliers, rest_multipliers)) = parts else {
        return portable::weigh(scores, top, multipliers);
    };
    // SAFETY: NEON is present.
    let sum = unsafe {
        let mut sums = vdupq_n_s32(0);
        for (score, multiplier) in quads.iter_mut().zip(quad_multipliers) {
            let distance = vreinterpretq_u32_s32(vsubq_s32(vdupq_n_s32(top), *score));
            let distance = vminq_u32(distance, vdupq_n_u32(FARTHEST));
            let whole = vreinterpretq_s32_u32(vrshrq_n_u32::<16>(distance));
            let part = vshrq_n_s32::<16>(vshlq_n_s32::<16>(vreinterpretq_s32_u32(distance)));
            let mut power = vdupq_n_s32(POWER[3]);
            for coefficient in [POWER[2], POWER[1], POWER[0]] {
                power = vsraq_n_s32::<16>(vdupq_n_s32(coefficient), vmulq_s32(power, part));
            }
            let weight = vrshlq_s32(power, vnegq_s32(whole));
            sums = vaddq_s32(sums, weight);
            *score = vrshrq_n_s32::<16>(vmulq_s32(weight, *multiplier));
        }
        vaddvq_s32(sums)
    };
    sum + portable::weigh(rest, top, rest_multipliers)
}

/// What [`portable::mix`] does.
fn mix(weights: &[i32], values: &Q8Heads, unit: f32, out: &mut [f32]) {
    let stride = values.stride;
    // SAFETY: vectors are bytes of any value.
    let parts = unsafe { values.values.align_to() };
    let ([], _, []): (_, &[int8x8_t], _) = parts else { return portable::mix(weights, values, unit, out) };
    if !stride.is_multiple_of(LANES) || !out.len().is_multiple_of(LANES) {
        return portable::mix(weights, values, unit, out);
    }
    let values = &values.values[..weights.len() * stride];
    let mut col = 0;
    while col < out.len() {
        // SAFETY: NEON is present; every position has so many columns from `col` on, at multiples of 8 bytes.
        unsafe {
            match out.len() - col {
                32.. => col += mix_columns::<4>(weights, values, stride, unit, &mut out[col..], col),
                16.. => col += mix_columns::<2>(weights, values, stride, unit, &mut out[col..], col),
                _ => col += mix_columns::<1>(weights, values, stride, unit, &mut out[col..], col),
            }
        }
    }
}

/// Adds the products of V times eight columns, from `col` on, to the first places of `out`, and returns how many
/// columns these are.
///
/// # Safety
/// NEON is present; `values` has a row of `stride` components, a multiple of 8, for each weight, aligned to 8 bytes;
/// `col` is a multiple of 8, and so many columns begin there.
#[inline(always)]
unsafe fn mix_columns<const V: usize>(
    weights: &[i32],
    values: &[i8],
    stride: usize,
    unit: f32,
    out: &mut [f32],
    col: usize,
) -> usize {
    let (quads, rest) = weights.as_chunks::<4>();
    // SAFETY: as the caller says; `at` moves by a position for each weight.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); 2]; V];
        let mut at = values.as_ptr().add(col);
        for quad in quads {
            let mut weights = vreinterpretq_s16_f32(vector(bytemuck::cast_ref(quad)));
            // No instruction, but a compiler that does not know it loads a vector once, not four lanes one by one.
            asm!("/* {:v} */", inout(vreg) weights, options(pure, nomem, nostack, preserves_flags));
            add_position::<V, 0>(&mut sums, weights, at);
            add_position::<V, 2>(&mut sums, weights, at.add(stride));
            add_position::<V, 4>(&mut sums, weights, at.add(2 * stride));
            add_position::<V, 6>(&mut sums, weights, at.add(3 * stride));
            at = at.add(4 * stride);
        }
        for weight in rest {
            add_position::<V, 0>(&mut sums, vdupq_n_s16(*weight as i16), at);
            at = at.add(stride);
        }
        for (out, sums) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums.as_flattened()) {
            let sum = vmulq_n_f32(vcvtq_f32_s32(*sums), unit);
            *out = floats(vaddq_f32(vector(out), sum));
        }
    }
    V * LANES
}

/// Adds one position's components, times the weight in lane L.
///
/// # Safety
/// NEON is present; V times eight components are there, aligned to 8 bytes.
#[inline(always)]
unsafe fn add_position<const V: usize, const L: i32>(
    sums: &mut [[int32x4_t; 2]; V],
    weights: int16x8_t,
    at: *const i8,
) {
    // SAFETY: as the caller says.
    unsafe {
        for (v, [low, high]) in sums.iter_mut().enumerate() {
            let value = vmovl_s8(*at.cast::<int8x8_t>().add(v));
            *low = vmlal_laneq_s16::<L>(*low, vget_low_s16(value), weights);
            *high = vmlal_high_laneq_s16::<L>(*high, value, weights);
        }
    }
}
