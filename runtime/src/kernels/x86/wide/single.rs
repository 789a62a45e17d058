//! One token: every weight is read once, so the memory sets the pace.

use super::*;

/// The outputs of a panel for the only token.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn panel(panel: &Panel, input: &Prepared, out: &mut Tile) {
    let mut sums = _mm512_setzero_ps();
    for group in 0..panel.groups {
        let q = &input.values[group * panel.group..][..panel.group];
        // What unsigned weights add is taken away once a row.
        let start = _mm512_zextsi128_si512(_mm_set1_epi32(input.sums[group]));
        let mut acc = [start; BLOCKS];
        for (i, q) in q.as_chunks::<COLUMNS>().0.iter().enumerate() {
            let q = spread(q);
            let col = group * panel.group + i * COLUMNS;
            for b in 0..BLOCKS {
                panel.prefetch(b, col, panel.stride * PANEL_ROWS);
                // SAFETY: the columns are those of a group.
                let w = unsafe { panel.load(b, col) };
                acc[b] = _mm512_dpbusd_epi32(acc[b], w, q);
            }
        }
        // SAFETY: there is such a group.
        let scales = unsafe { panel.scales(group) };
        let scales = _mm512_mul_ps(scales, _mm512_set1_ps(input.scales[group]));
        let product = _mm512_mul_ps(_mm512_cvtepi32_ps(quarters(acc)), scales);
        sums = _mm512_add_ps(sums, product);
    }
    panel.store(sums, 0, out);
}

/// Each of the 4 words of 16 inputs, four times.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn spread(q: &[i8; COLUMNS]) -> __m512i {
    // SAFETY: 16 bytes are read from an array of that length.
    let q = unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(q.as_ptr().cast())) };
    let control = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    _mm512_permutexvar_epi32(control, q)
}

/// The sums of the four quarters of each accumulator, the first accumulator's in the first quarter, and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters([a, b, c, d]: [__m512i; 4]) -> __m512i {
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
