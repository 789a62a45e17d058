//! x86-64: AVX2, AVX-VNNI and AVX-512 VNNI, chosen at run time.
//!
//! Most kernels are the portable ones compiled for wider vectors: their lane order is that of one vector of eight
//! floats. What a compiler does not find is the dot product of bytes, so the q8 product of interleaved blocks is
//! written out, in [`avx2`](self) form for vectors of 32 bytes and in AVX-512 form for 64.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use half::f16;
use sprat_format::{BLOCK_ROWS, Layout};

use super::{Attention, AttentionWork, Kernels, Prepared, Q8, portable};
use crate::team::Tile;

mod wide;

/// Whether this machine has all of some instruction sets.
macro_rules! detected {
    ($($feature:tt),*) => {{
        #[cfg(any(test, feature = "std"))]
        let present = true $(&& std::is_x86_feature_detected!($feature))*;
        #[cfg(not(any(test, feature = "std")))]
        let present = true $(&& cfg!(target_feature = $feature))*;
        present
    }};
}

/// The portable kernels, compiled for some instruction sets.
macro_rules! compiled_for {
    ($features:literal, $($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        fn $name($($arg: $type),*) $(-> $result)? {
            #[target_feature(enable = $features)]
            fn compiled($($arg: $type),*) $(-> $result)? {
                portable::$name($($arg),*)
            }
            // SAFETY: the table with this function is handed out only where the features were found.
            unsafe { compiled($($arg),*) }
        }
    )*};
}

/// A table of kernels in a module of its own: everything from the portable ones but the q8 product.
macro_rules! table {
    ($module:ident, $name:literal, $features:literal, $blocks:path) => {
        pub(super) mod $module {
            use super::*;

            compiled_for!($features,
                quantize_group(x: &[f32], q: &mut [i8]) -> f32;
                prepare(x: &[f32], cols: usize, group: usize, layout: Layout, input: &mut Prepared);
                matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile);
                matmul_f16(matrix: &[f16], cols: usize, x: &[f32], out: &mut Tile);
                matmul_f32(matrix: &[f32], cols: usize, x: &[f32], out: &mut Tile);
                attend_q8(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]);
                score_f16(query: &[f32], keys: &[f16], out: &mut [f32]);
                score_f32(query: &[f32], keys: &[f32], out: &mut [f32]);
                softmax(scores: &mut [f32]) -> f32;
                mix_f16(weights: &[f32], values: &[f16], out: &mut [f32]);
                mix_f32(weights: &[f32], values: &[f32], out: &mut [f32]);
                dot(a: &[f32], b: &[f32]) -> f32;
                sum(a: &[f32]) -> f32;
                gate_silu(gate: &[f32], up: &mut [f32]);
            );

            fn matmul_q8_best(matrix: &Q8, input: &Prepared, out: &mut Tile) {
                #[target_feature(enable = $features)]
                fn compiled(matrix: &Q8, input: &Prepared, out: &mut Tile) -> bool {
                    // SAFETY: the features that the product needs are among those of this function.
                    unsafe { $blocks(matrix, input, out) }
                }
                // SAFETY: the table with this function is handed out only where the features were found.
                if !unsafe { compiled(matrix, input, out) } {
                    matmul_q8(matrix, input, out);
                }
            }

            pub(in super::super) static KERNELS: Kernels = Kernels {
                name: $name,
                quantize: quantize_group,
                prepare,
                matmul_q8: matmul_q8_best,
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
                gate_silu,
                ..portable::KERNELS
            };
        }
    };
}

table!(with_avx2, "avx2", "avx2,f16c", blocks_of_32::<Avx2>);
table!(with_avxvnni, "avxvnni", "avx2,f16c,avxvnni", blocks_of_32::<AvxVnni>);
table!(
    with_avx512vnni,
    "avx512vnni",
    "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    wide::blocks_of_64
);

/// The table for AVX2.
pub(super) fn avx2() -> Option<&'static Kernels> {
    detected!("avx2", "f16c").then_some(&with_avx2::KERNELS)
}

/// The table for AVX-VNNI (Alder Lake, Zen 5).
pub(super) fn avxvnni() -> Option<&'static Kernels> {
    detected!("avx2", "f16c", "avxvnni").then_some(&with_avxvnni::KERNELS)
}

/// The table for AVX-512 VNNI (Ice Lake, Zen 4).
pub(super) fn avx512vnni() -> Option<&'static Kernels> {
    detected!("avx2", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni")
        .then_some(&with_avx512vnni::KERNELS)
}

/// How products of bytes are added up in vectors of 32 bytes.
trait Products {
    /// `acc` plus, in each of the eight lanes, the products of four neighbouring bytes, all of -127..=127.
    ///
    /// # Safety
    /// The instruction set is present.
    unsafe fn add(acc: __m256i, w: __m256i, q: __m256i) -> __m256i;
}

/// Pairs are added in 16 bits: |w| as unsigned times q with w's sign, at most 2 * 127 * 127.
struct Avx2;

impl Products for Avx2 {
    #[inline(always)]
    unsafe fn add(acc: __m256i, w: __m256i, q: __m256i) -> __m256i {
        // SAFETY: the caller has AVX2.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

struct AvxVnni;

impl Products for AvxVnni {
    #[inline(always)]
    unsafe fn add(acc: __m256i, w: __m256i, q: __m256i) -> __m256i {
        // SAFETY: the caller has AVX-VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(q, w)) }
    }
}

/// The product of a matrix in an interleaved layout, or `false` for one that has no fast path: rows, or groups
/// that are no multiple of 8.
///
/// # Safety
/// The instruction set of `P`, AVX2 and F16C are present.
#[inline(always)]
unsafe fn blocks_of_32<P: Products>(matrix: &Q8, input: &Prepared, out: &mut Tile) -> bool {
    let Q8 { group, stride, .. } = *matrix;
    if matrix.layout == Layout::Rows || !group.is_multiple_of(8) {
        return false;
    }
    let groups = stride / group;
    let tokens = input.scales.len() / groups;
    let weights = matrix.values.chunks_exact(stride * BLOCK_ROWS);
    for (block, (weights, scales)) in weights.zip(matrix.scales.chunks_exact(groups * BLOCK_ROWS)).enumerate()
    {
        let mut token = 0;
        while token < tokens {
            // SAFETY: the caller has the instruction sets.
            unsafe {
                match tokens - token {
                    1 => block_32::<P, 1>(matrix, weights, scales, input, out, block, token),
                    _ => block_32::<P, 2>(matrix, weights, scales, input, out, block, token),
                }
            }
            token += 2;
        }
    }
    true
}

/// One block of four rows for T tokens from `token` on.
///
/// # Safety
/// The instruction set of `P`, AVX2 and F16C are present.
#[inline(always)]
unsafe fn block_32<P: Products, const T: usize>(
    matrix: &Q8,
    weights: &[i8],
    scales: &[f16],
    input: &Prepared,
    out: &mut Tile,
    block: usize,
    token: usize,
) {
    let Q8 { group, stride, .. } = *matrix;
    let groups = stride / group;
    let bias = i32::from_le_bytes(matrix.layout.bias());
    // SAFETY: the caller has the instruction sets. Loads stay within chunks of the length that they read: 32
    // bytes of weights, 8 of inputs, 4 scales of 2 bytes.
    unsafe {
        let bias = _mm256_set1_epi32(bias);
        // Of 8 inputs, the first four to each lane of the lower half, the other four to the upper.
        let spread = _mm256_set_epi32(
            0x0706_0504,
            0x0706_0504,
            0x0706_0504,
            0x0706_0504,
            0x0302_0100,
            0x0302_0100,
            0x0302_0100,
            0x0302_0100,
        );
        let mut sums = [_mm_setzero_ps(); T];
        for number in 0..groups {
            let weights = &weights[number * group * BLOCK_ROWS..][..group * BLOCK_ROWS];
            let q: [&[i8]; T] =
                core::array::from_fn(|t| &input.values[(token + t) * 2 * stride + number * group..][..group]);
            let mut acc = [_mm256_setzero_si256(); T];
            for (i, weights) in weights.chunks_exact(32).enumerate() {
                let w = _mm256_xor_si256(_mm256_loadu_si256(weights.as_ptr().cast()), bias);
                for t in 0..T {
                    let q = q[t][8 * i..][..8].as_ptr().cast::<i64>().read_unaligned();
                    acc[t] = P::add(acc[t], w, _mm256_shuffle_epi8(_mm256_set1_epi64x(q), spread));
                }
            }
            let scales = &scales[number * BLOCK_ROWS..][..BLOCK_ROWS];
            let scales = _mm_cvtph_ps(_mm_loadl_epi64(scales.as_ptr().cast()));
            for t in 0..T {
                let sum =
                    _mm_add_epi32(_mm256_castsi256_si128(acc[t]), _mm256_extracti128_si256::<1>(acc[t]));
                let scale = _mm_set1_ps(input.scales[(token + t) * groups + number]);
                let product = _mm_mul_ps(_mm_cvtepi32_ps(sum), _mm_mul_ps(scales, scale));
                sums[t] = _mm_add_ps(sums[t], product);
            }
        }
        for (t, sum) in sums.into_iter().enumerate() {
            let mut rows = [0.0; BLOCK_ROWS];
            _mm_storeu_ps(rows.as_mut_ptr(), sum);
            // The last block may have rows of padding.
            let out = &mut out.token(token + t)[block * BLOCK_ROWS..];
            out.iter_mut().zip(rows).for_each(|(out, row)| *out = row);
        }
    }
}
