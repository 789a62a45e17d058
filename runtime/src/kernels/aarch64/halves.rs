//! Half floats: converted by the core, eight at a time, and multiplied in the lane order.

use core::arch::aarch64::*;
use core::mem::transmute;

use half::f16;

use super::{floats, vector};
use crate::kernels::portable::{self, LANES};
use crate::team::Tile;

/// Rows that go together for one token: their inputs are loaded once, and their sums do not wait for each other.
const ROWS: usize = 4;

/// Eight half floats as two vectors of floats. Only targets with strict alignment differ in `ALIGNED`.
///
/// # Safety
/// NEON is present and eight numbers are there, aligned to 16 bytes if `ALIGNED`.
#[inline(always)]
unsafe fn load_halves<const ALIGNED: bool>(place: *const f16) -> [float32x4_t; 2] {
    // SAFETY: as the caller says; a vector and an array of eight are the same bytes.
    unsafe {
        let halves: uint16x8_t = if ALIGNED {
            place.cast::<uint16x8_t>().read()
        } else {
            transmute::<[u16; 8], uint16x8_t>(place.cast::<[u16; 8]>().read())
        };
        let halves = vreinterpretq_f16_u16(halves);
        [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
    }
}

/// Four floats.
///
/// # Safety
/// Four numbers are there, aligned to 16 bytes if `ALIGNED`.
#[inline(always)]
unsafe fn load<const ALIGNED: bool>(place: *const f32) -> float32x4_t {
    // SAFETY: as the caller says.
    unsafe { if ALIGNED { place.cast::<float32x4_t>().read() } else { vector(&*place.cast()) } }
}

pub(super) fn matmul_f16(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile) {
    let aligned =
        cols.is_multiple_of(LANES) && matrix.as_ptr().cast::<uint16x8_t>().is_aligned() && is_aligned(x);
    // SAFETY: NEON is present; rows begin at multiples of a vector if the first does and their length is one.
    unsafe {
        match aligned {
            true => products::<true>(matrix, cols, x, out),
            false => products::<false>(matrix, cols, x, out),
        }
    }
}

fn is_aligned(x: &[f32]) -> bool {
    x.as_ptr().cast::<float32x4_t>().is_aligned()
}

/// # Safety
/// NEON is present, and every row of both begins at a multiple of 16 bytes if `ALIGNED`.
#[inline(always)]
unsafe fn products<const ALIGNED: bool>(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile) {
    for (number, rows) in matrix.chunks(ROWS * cols).enumerate() {
        for (token, x) in x.chunks_exact(cols).enumerate() {
            let out = &mut out.token(token)[number * ROWS..];
            // SAFETY: the caller has NEON and the alignment.
            unsafe {
                match out.first_chunk_mut::<ROWS>() {
                    Some(out) if rows.len() == ROWS * cols => {
                        let sums = dots::<ROWS, ALIGNED>(rows, x);
                        *out = floats(add_lanes_of_four(sums));
                    }
                    _ => {
                        for (out, row) in out.iter_mut().zip(rows.chunks_exact(cols)) {
                            let [[low, high]] = dots::<1, ALIGNED>(row, x);
                            let sums = add_lanes_of_four([[low, high]; ROWS]);
                            *out = vgetq_lane_f32::<0>(sums);
                        }
                    }
                }
            }
        }
    }
}

/// For each of four rows the sum of its lanes, in the order of `portable::add_lanes`.
///
/// # Safety
/// NEON is present.
#[inline(always)]
unsafe fn add_lanes_of_four(lanes: [[float32x4_t; 2]; ROWS]) -> float32x4_t {
    // SAFETY: the caller has NEON.
    unsafe {
        let [a, b, c, d] = lanes.map(|[low, high]| vaddq_f32(low, high));
        vpaddq_f32(add_halves(a, b), add_halves(c, d))
    }
}

/// The sums of lanes 0 and 2 and of lanes 1 and 3, of one vector and then of the other.
///
/// # Safety
/// NEON is present.
#[inline(always)]
unsafe fn add_halves(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller has NEON.
    unsafe {
        let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
        vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)))
    }
}

/// The eight lanes of the products of R rows with one.
///
/// # Safety
/// NEON is present; `rows` is R times as long as `x`; every row begins at a multiple of 16 bytes if `ALIGNED`.
#[inline(always)]
unsafe fn dots<const R: usize, const ALIGNED: bool>(rows: &[f16], x: &[f32]) -> [[float32x4_t; 2]; R] {
    let cols = x.len();
    let whole = cols / LANES * LANES;
    // SAFETY: the caller has NEON and the alignment; loads are of 8 elements from `col` on, which are there.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); 2]; R];
        for col in (0..whole).step_by(LANES) {
            let at = x.as_ptr().add(col);
            let [x_low, x_high] = [load::<ALIGNED>(at), load::<ALIGNED>(at.add(LANES / 2))];
            for (r, [low, high]) in sums.iter_mut().enumerate() {
                let [w_low, w_high] = load_halves::<ALIGNED>(rows.as_ptr().add(r * cols + col));
                *low = vaddq_f32(*low, vmulq_f32(w_low, x_low));
                *high = vaddq_f32(*high, vmulq_f32(w_high, x_high));
            }
        }
        if whole < cols {
            for (row, sums) in rows.chunks_exact(cols).zip(&mut sums) {
                add_rest(sums, &row[whole..], &x[whole..]);
            }
        }
        sums
    }
}

/// Adds the products of fewer than eight elements to the first lanes.
#[inline(never)]
fn add_rest(sums: &mut [float32x4_t; 2], row: &[f16], x: &[f32]) {
    let [mut low, mut high] = sums.map(floats);
    for (lane, (w, x)) in low.iter_mut().chain(&mut high).zip(row.iter().zip(x)) {
        *lane += portable::to_f32(*w) * x;
    }
    *sums = [vector(&low), vector(&high)];
}

/// Scores are the product of the keys, as a matrix, with the query.
pub(super) fn score_f16(query: &[f32], keys: &[f16], out: &mut [f32]) {
    let positions = out.len();
    matmul_f16(&keys[..positions * query.len()], query.len(), query, &mut Tile::new(out, positions));
}

pub(super) fn mix_f16(weights: &[f32], values: &[f16], out: &mut [f32]) {
    let cols = out.len();
    let values = &values[..weights.len() * cols];
    let aligned = cols.is_multiple_of(LANES) && values.as_ptr().cast::<uint16x8_t>().is_aligned();
    let mut col = 0;
    while cols - col >= LANES {
        let wide = cols - col >= 4 * LANES;
        // SAFETY: NEON is present; every position has so many columns from `col` on, at multiples of a vector if
        // the first position's are.
        unsafe {
            match (wide, aligned) {
                (true, true) => mix_columns::<4, true>(weights, values, out, col),
                (true, false) => mix_columns::<4, false>(weights, values, out, col),
                (false, true) => mix_columns::<1, true>(weights, values, out, col),
                (false, false) => mix_columns::<1, false>(weights, values, out, col),
            }
        }
        col += if wide { 4 * LANES } else { LANES };
    }
    for (weight, value) in weights.iter().zip(values.chunks_exact(cols)) {
        for (out, value) in out[col..].iter_mut().zip(&value[col..]) {
            *out += weight * portable::to_f32(*value);
        }
    }
}

/// Adds V times eight columns, from `col` on, of every position to `out`.
///
/// # Safety
/// NEON is present; `values` has as many rows as there are weights, as long as `out`, which ends behind these columns;
/// the columns of every row begin at a multiple of 16 bytes if `ALIGNED`.
#[inline(always)]
unsafe fn mix_columns<const V: usize, const ALIGNED: bool>(
    weights: &[f32],
    values: &[f16],
    out: &mut [f32],
    col: usize,
) {
    let cols = out.len();
    let out = &mut out[col..][..V * LANES];
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); 2]; V];
        for (sum, out) in sums.as_flattened_mut().iter_mut().zip(out.as_chunks().0) {
            *sum = vector(out);
        }
        for (position, weight) in weights.iter().enumerate() {
            let value = values.as_ptr().add(position * cols + col);
            for v in 0..V {
                let [low, high] = load_halves::<ALIGNED>(value.add(v * LANES));
                sums[v][0] = vaddq_f32(sums[v][0], vmulq_n_f32(low, *weight));
                sums[v][1] = vaddq_f32(sums[v][1], vmulq_n_f32(high, *weight));
            }
        }
        for (out, sum) in out.as_chunks_mut().0.iter_mut().zip(sums.as_flattened()) {
            *out = floats(*sum);
        }
    }
}
