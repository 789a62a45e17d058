//! Products of f16 and f32 matrices: several rows and tokens at once, each sum in the lane order.
//!
//! A sum has eight lanes whose additions wait for each other, so one row at a time would wait four cycles for every
//! eight products. A tile of rows and tokens has that many sums under way, converts each weight once for its tokens,
//! and loads each input once for its rows. With AVX-512 a vector holds the lanes of two rows.

use core::arch::x86_64::*;

use half::f16;

use crate::kernels::portable::LANES;
use crate::team::Tile;

/// Rows of a tile.
const ROWS: usize = 8;

/// An element of a matrix.
pub(super) trait Weight: Copy + Default {
    /// Eight elements, which begin at `from`, as floats.
    ///
    /// # Safety
    /// They can be read; AVX2 and F16C are present.
    unsafe fn eight(from: *const Self) -> __m256;
}

impl Weight for f16 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn eight(from: *const Self) -> __m256 {
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }
}

impl Weight for f32 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn eight(from: *const Self) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
}

/// Some rows of a matrix and of inputs, all of `cols` elements.
struct Rows<'r, W> {
    matrix: &'r [W],
    x: &'r [f32],
    cols: usize,
}

impl<'r, W: Weight> Rows<'r, W> {
    /// A row of the matrix, or the last one where there is no such.
    #[inline]
    fn weights(&self, row: usize) -> &'r [W] {
        let row = row.min(self.matrix.len() / self.cols - 1);
        &self.matrix[row * self.cols..][..self.cols]
    }

    #[inline]
    fn input(&self, token: usize) -> &'r [f32] {
        &self.x[token * self.cols..][..self.cols]
    }
}

/// The elements behind the last whole run of lanes, with zeros up to a whole one. What zeros add leaves a sum as it is,
/// since no sum is -0.
#[inline]
fn tail<T: Copy + Default>(row: &[T]) -> [T; LANES] {
    let mut tail = [T::default(); LANES];
    let rest = row.as_chunks::<LANES>().1;
    tail[..rest.len()].copy_from_slice(rest);
    tail
}

/// The product with AVX2 and F16C.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn matmul<W: Weight>(matrix: &[W], cols: usize, x: &[f32], out: &mut Tile) {
    let rows = Rows { matrix, x, cols };
    let (count, tokens) = (matrix.len() / cols, x.len() / cols);
    for first in (0..count).step_by(ROWS) {
        let mut token = 0;
        // Two tokens and four rows fill the sixteen registers as one token and eight rows do.
        while token + 1 < tokens {
            for half in [first, first + ROWS / 2] {
                let sums = narrow_tile::<W, { ROWS / 2 }, 2>(&rows, half, token);
                store(&sums, half, token, out);
            }
            token += 2;
        }
        if token < tokens {
            store(&narrow_tile::<W, ROWS, 1>(&rows, first, token), first, token, out);
        }
    }
}

/// The product with AVX-512.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512dq")]
pub(super) fn matmul_wide<W: Weight>(matrix: &[W], cols: usize, x: &[f32], out: &mut Tile) {
    let rows = Rows { matrix, x, cols };
    let (count, tokens) = (matrix.len() / cols, x.len() / cols);
    for first in (0..count).step_by(ROWS) {
        let mut token = 0;
        while token + 3 < tokens {
            store(&wide_tile::<W, 4>(&rows, first, token), first, token, out);
            token += 4;
        }
        while token < tokens {
            store(&narrow_tile::<W, ROWS, 1>(&rows, first, token), first, token, out);
            token += 1;
        }
    }
}

/// Writes the sums of a tile, as far as the matrix has rows.
#[inline]
fn store<const R: usize, const N: usize>(sums: &[[f32; R]; N], row: usize, token: usize, out: &mut Tile) {
    for (n, sums) in sums.iter().enumerate() {
        let out = out.token(token + n).get_mut(row..).unwrap_or_default();
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum);
    }
}

/// The sum of the lanes, in their order.
#[inline]
#[target_feature(enable = "avx2")]
fn add_lanes(lanes: __m256) -> f32 {
    let pairs = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let pairs = _mm_add_ps(pairs, _mm_movehl_ps(pairs, pairs));
    _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
}

/// The sums of R rows from `row` on with N tokens from `token` on.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn narrow_tile<W: Weight, const R: usize, const N: usize>(
    rows: &Rows<W>,
    row: usize,
    token: usize,
) -> [[f32; R]; N] {
    let weights: [&[W]; R] = core::array::from_fn(|r| rows.weights(row + r));
    let inputs: [&[f32]; N] = core::array::from_fn(|n| rows.input(token + n));
    let whole = rows.cols / LANES * LANES;
    let mut sums = [[_mm256_setzero_ps(); R]; N];
    for at in (0..whole).step_by(LANES) {
        let mut w = [_mm256_setzero_ps(); R];
        for r in 0..R {
            // SAFETY: a row has at least `whole` elements.
            w[r] = unsafe { W::eight(weights[r].as_ptr().add(at)) };
        }
        for n in 0..N {
            // SAFETY: so has an input.
            let x = unsafe { _mm256_loadu_ps(inputs[n].as_ptr().add(at)) };
            for r in 0..R {
                sums[n][r] = _mm256_add_ps(sums[n][r], _mm256_mul_ps(w[r], x));
            }
        }
    }
    let mut out = [[0.0; R]; N];
    for n in 0..N {
        for r in 0..R {
            if whole < rows.cols {
                // SAFETY: a tail has eight elements.
                let (w, x) = unsafe {
                    (W::eight(tail(weights[r]).as_ptr()), _mm256_loadu_ps(tail(inputs[n]).as_ptr()))
                };
                sums[n][r] = _mm256_add_ps(sums[n][r], _mm256_mul_ps(w, x));
            }
            out[n][r] = add_lanes(sums[n][r]);
        }
    }
    out
}

/// The sums of [`ROWS`] rows from `row` on with N tokens from `token` on, two rows a vector.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512dq")]
fn wide_tile<W: Weight, const N: usize>(rows: &Rows<W>, row: usize, token: usize) -> [[f32; ROWS]; N] {
    const PAIRS: usize = ROWS / 2;
    let weights: [&[W]; ROWS] = core::array::from_fn(|r| rows.weights(row + r));
    let inputs: [&[f32]; N] = core::array::from_fn(|n| rows.input(token + n));
    let whole = rows.cols / LANES * LANES;
    let mut sums = [[_mm512_setzero_ps(); PAIRS]; N];
    for at in (0..whole).step_by(LANES) {
        let mut w = [_mm512_setzero_ps(); PAIRS];
        for pair in 0..PAIRS {
            // SAFETY: a row has at least `whole` elements.
            w[pair] = unsafe {
                let [first, second] =
                    [weights[2 * pair].as_ptr().add(at), weights[2 * pair + 1].as_ptr().add(at)];
                _mm512_insertf32x8::<1>(_mm512_castps256_ps512(W::eight(first)), W::eight(second))
            };
        }
        for n in 0..N {
            // SAFETY: so has an input.
            let x = unsafe { _mm256_loadu_ps(inputs[n].as_ptr().add(at)) };
            let x = _mm512_broadcast_f32x8(x);
            for pair in 0..PAIRS {
                sums[n][pair] = _mm512_add_ps(sums[n][pair], _mm512_mul_ps(w[pair], x));
            }
        }
    }
    let mut out = [[0.0; ROWS]; N];
    for n in 0..N {
        for pair in 0..PAIRS {
            let halves = [_mm512_castps512_ps256(sums[n][pair]), _mm512_extractf32x8_ps::<1>(sums[n][pair])];
            for (half, mut lanes) in halves.into_iter().enumerate() {
                let r = 2 * pair + half;
                if whole < rows.cols {
                    // SAFETY: a tail has eight elements.
                    let (w, x) = unsafe {
                        (W::eight(tail(weights[r]).as_ptr()), _mm256_loadu_ps(tail(inputs[n]).as_ptr()))
                    };
                    lanes = _mm256_add_ps(lanes, _mm256_mul_ps(w, x));
                }
                out[n][r] = add_lanes(lanes);
            }
        }
    }
    out
}
