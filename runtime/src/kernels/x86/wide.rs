//! The q8 product with AVX-512 VNNI: 64 bytes at once, four blocks of four rows, one or four tokens.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes. Weights become unsigned by adding 128; what that adds to a
//! group's sum, 128 times the sum of the inputs, is what the accumulators start from, negated.

use core::arch::x86_64::*;

use sprat_format::{BLOCK_ROWS, Layout};

use crate::kernels::{Prepared, Q8};
use crate::team::Tile;

/// Blocks that are computed together.
const BLOCKS: usize = 4;

/// The product of a matrix in an interleaved layout, or `false` for one that has no fast path: rows, or groups
/// that are no multiple of 16.
///
/// # Safety
/// AVX-512 F, BW, DQ, VL and VNNI are present.
#[inline(always)]
pub(super) unsafe fn blocks_of_64(matrix: &Q8, input: &Prepared, out: &mut Tile) -> bool {
    if matrix.layout == Layout::Rows || !matrix.group.is_multiple_of(16) {
        return false;
    }
    let tokens = input.scales.len() / (matrix.stride / matrix.group);
    let blocks = matrix.values.len() / (matrix.stride * BLOCK_ROWS);
    let mut block = 0;
    while block < blocks {
        let mut token = 0;
        while token < tokens {
            // SAFETY: the caller has the instruction sets.
            unsafe {
                match tokens - token {
                    1 => one_token(matrix, input, out, block, blocks, token),
                    _ => four_tokens(matrix, input, out, block, blocks, token, tokens),
                }
            }
            token += 4;
        }
        block += BLOCKS;
    }
    true
}

/// Each of the 4 words of 16 inputs, four times.
///
/// # Safety
/// AVX-512 BW is present.
#[inline(always)]
unsafe fn spread(q: &[i8]) -> __m512i {
    let q = &q[..16];
    // SAFETY: the caller has the instruction set; 16 bytes are read from a slice of that length.
    unsafe {
        let q = _mm512_broadcast_i32x4(_mm_loadu_si128(q.as_ptr().cast()));
        let control = _mm512_set_epi32(
            0x0f0e_0d0c,
            0x0f0e_0d0c,
            0x0f0e_0d0c,
            0x0f0e_0d0c,
            0x0b0a_0908,
            0x0b0a_0908,
            0x0b0a_0908,
            0x0b0a_0908,
            0x0706_0504,
            0x0706_0504,
            0x0706_0504,
            0x0706_0504,
            0x0302_0100,
            0x0302_0100,
            0x0302_0100,
            0x0302_0100,
        );
        _mm512_shuffle_epi8(q, control)
    }
}

/// What turns the stored bytes of a layout into weight + 128.
///
/// # Safety
/// AVX-512 F is present.
#[inline(always)]
unsafe fn to_unsigned(layout: Layout) -> __m512i {
    let bias = layout.bias().map(|bias| bias ^ 0x80);
    // SAFETY: the caller has the instruction set.
    unsafe { _mm512_set1_epi32(i32::from_le_bytes(bias)) }
}

/// The sums of the four quarters of each accumulator, the first accumulator's in the first quarter, and so on.
///
/// # Safety
/// AVX-512 F is present.
#[inline(always)]
unsafe fn quarters([a, b, c, d]: [__m512i; 4]) -> __m512i {
    // SAFETY: the caller has the instruction set.
    unsafe {
        // a0+a2, a1+a3, b0+b2, b1+b3 and the same of c and d.
        let ab = _mm512_add_epi32(
            _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b),
            _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b),
        );
        let cd = _mm512_add_epi32(
            _mm512_shuffle_i64x2::<0b01_00_01_00>(c, d),
            _mm512_shuffle_i64x2::<0b11_10_11_10>(c, d),
        );
        _mm512_add_epi32(
            _mm512_shuffle_i64x2::<0b10_00_10_00>(ab, cd),
            _mm512_shuffle_i64x2::<0b11_01_11_01>(ab, cd),
        )
    }
}

/// A start for an accumulator that takes away what unsigned weights add.
///
/// # Safety
/// AVX-512 F is present.
#[inline(always)]
unsafe fn start(sum: i32) -> __m512i {
    // SAFETY: the caller has the instruction set.
    unsafe { _mm512_zextsi128_si512(_mm_set1_epi32(-128 * sum)) }
}

/// Four scales of a block's group.
///
/// # Safety
/// F16C is present.
#[inline(always)]
unsafe fn block_scales(matrix: &Q8, groups: usize, block: usize, group: usize) -> __m128 {
    let scales = &matrix.scales[(block * groups + group) * BLOCK_ROWS..][..BLOCK_ROWS];
    // SAFETY: the caller has the instruction set; 8 bytes are read from a slice of that length.
    unsafe { _mm_cvtph_ps(_mm_loadl_epi64(scales.as_ptr().cast())) }
}

/// Writes four rows of a block for one token; the last block may have rows of padding.
///
/// # Safety
/// AVX-512 F is present.
#[inline(always)]
unsafe fn store(out: &mut Tile, token: usize, block: usize, rows: __m128) {
    let mut values = [0.0; BLOCK_ROWS];
    // SAFETY: the caller has the instruction set; 16 bytes are written to an array of that length.
    unsafe { _mm_storeu_ps(values.as_mut_ptr(), rows) };
    let out = &mut out.token(token)[block * BLOCK_ROWS..];
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
}

/// The four blocks from `block` on, as far as there are so many, for one token.
///
/// # Safety
/// AVX-512 F, BW, DQ, VL and VNNI are present.
#[inline(always)]
unsafe fn one_token(
    matrix: &Q8,
    input: &Prepared,
    out: &mut Tile,
    block: usize,
    blocks: usize,
    token: usize,
) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    // Blocks that are not there are computed as the last one again, and not stored.
    let numbers: [usize; BLOCKS] = core::array::from_fn(|b| (block + b).min(blocks - 1));
    let weights = numbers.map(|b| &matrix.values[b * stride * BLOCK_ROWS..][..stride * BLOCK_ROWS]);
    // SAFETY: the caller has the instruction sets. Loads read 64 bytes of slices cut to that length.
    unsafe {
        let unsigned = to_unsigned(matrix.layout);
        let mut sums = _mm512_setzero_ps();
        for number in 0..groups {
            let q = &input.values[token * 2 * stride + number * group..][..group];
            let weights = weights.map(|w| &w[number * group * BLOCK_ROWS..][..group * BLOCK_ROWS]);
            let mut acc = [start(input.sums[token * groups + number]); BLOCKS];
            for (i, q) in q.chunks_exact(16).enumerate() {
                let q = spread(q);
                for b in 0..BLOCKS {
                    let w = _mm512_loadu_si512(weights[b][64 * i..][..64].as_ptr().cast());
                    acc[b] = _mm512_dpbusd_epi32(acc[b], _mm512_xor_si512(w, unsigned), q);
                }
            }
            let [s0, s1, s2, s3] = numbers.map(|b| block_scales(matrix, groups, b, number));
            let low = _mm256_set_m128(s1, s0);
            let high = _mm256_set_m128(s3, s2);
            let scales = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high);
            let scale = _mm512_set1_ps(input.scales[token * groups + number]);
            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(quarters(acc)), _mm512_mul_ps(scales, scale));
            sums = _mm512_add_ps(sums, product);
        }
        let rows = [
            _mm512_extractf32x4_ps::<0>(sums),
            _mm512_extractf32x4_ps::<1>(sums),
            _mm512_extractf32x4_ps::<2>(sums),
            _mm512_extractf32x4_ps::<3>(sums),
        ];
        for (b, rows) in rows.into_iter().enumerate().take(blocks - block) {
            store(out, token, block + b, rows);
        }
    }
}

/// The four blocks from `block` on for the four tokens from `token` on, as far as there are so many.
///
/// # Safety
/// AVX-512 F, BW, DQ, VL and VNNI are present.
#[inline(always)]
unsafe fn four_tokens(
    matrix: &Q8,
    input: &Prepared,
    out: &mut Tile,
    block: usize,
    blocks: usize,
    token: usize,
    tokens: usize,
) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    // What is not there is computed as the last one again, and not stored.
    let numbers: [usize; BLOCKS] = core::array::from_fn(|b| (block + b).min(blocks - 1));
    let places: [usize; 4] = core::array::from_fn(|t| (token + t).min(tokens - 1));
    let weights = numbers.map(|b| &matrix.values[b * stride * BLOCK_ROWS..][..stride * BLOCK_ROWS]);
    let inputs = places.map(|t| &input.values[t * 2 * stride..][..stride]);
    // SAFETY: the caller has the instruction sets. Loads read 64 bytes of slices cut to that length.
    unsafe {
        let unsigned = to_unsigned(matrix.layout);
        let mut sums = [_mm512_setzero_ps(); BLOCKS];
        for number in 0..groups {
            let weights = weights.map(|w| &w[number * group * BLOCK_ROWS..][..group * BLOCK_ROWS]);
            let inputs = inputs.map(|q| &q[number * group..][..group]);
            let starts = places.map(|t| start(input.sums[t * groups + number]));
            let mut acc = [starts; BLOCKS];
            for i in 0..group / 16 {
                let q = inputs.map(|q| spread(&q[16 * i..][..16]));
                for b in 0..BLOCKS {
                    let w = _mm512_loadu_si512(weights[b][64 * i..][..64].as_ptr().cast());
                    let w = _mm512_xor_si512(w, unsigned);
                    for t in 0..4 {
                        acc[b][t] = _mm512_dpbusd_epi32(acc[b][t], w, q[t]);
                    }
                }
            }
            let [x0, x1, x2, x3] = places.map(|t| input.scales[t * groups + number]);
            let x = _mm512_set_ps(x3, x3, x3, x3, x2, x2, x2, x2, x1, x1, x1, x1, x0, x0, x0, x0);
            for b in 0..BLOCKS {
                let scales = _mm512_broadcast_f32x4(block_scales(matrix, groups, numbers[b], number));
                let product = _mm512_mul_ps(_mm512_cvtepi32_ps(quarters(acc[b])), _mm512_mul_ps(scales, x));
                sums[b] = _mm512_add_ps(sums[b], product);
            }
        }
        for (b, sums) in sums.into_iter().enumerate().take(blocks - block) {
            let rows = [
                _mm512_extractf32x4_ps::<0>(sums),
                _mm512_extractf32x4_ps::<1>(sums),
                _mm512_extractf32x4_ps::<2>(sums),
                _mm512_extractf32x4_ps::<3>(sums),
            ];
            for (t, rows) in rows.into_iter().enumerate().take(tokens - token) {
                store(out, token + t, block + b, rows);
            }
        }
    }
}
