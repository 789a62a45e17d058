//! Several tokens: products set the pace, so a group of two panels is turned once into the form that needs nothing
//! but multiplications, and then meets every token.
//!
//! Turned, a vector holds one word (four columns) of each of 16 rows, an input's word is broadcast while it is loaded,
//! and an accumulator is one token's 16 rows: no sums across a vector. Two panels and eight tokens are sixteen
//! accumulators for ten loads, so that loads do not hold up the multiplications.

use super::*;

/// Panels that are computed together.
const PANELS: usize = 2;
/// Tokens whose outputs are kept beside each other while the groups of the panels go by.
const TOKENS: usize = 64;
/// A word of every row of the panels.
type Words = [__m512i; PANELS];

/// The outputs of two panels for all tokens.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn panels(panels: &[Panel; PANELS], input: &Prepared, tokens: usize, out: &mut Tile) {
    for first in (0..tokens).step_by(TOKENS) {
        some_tokens(panels, input, first, (tokens - first).min(TOKENS), out);
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn some_tokens(panels: &[Panel; PANELS], input: &Prepared, first: usize, tokens: usize, out: &mut Tile) {
    let mut sums = [[_mm512_setzero_ps(); PANELS]; TOKENS];
    let mut words = [[_mm512_setzero_si512(); PANELS]; MOST_GROUP / WORD];
    let words = &mut words[..panels[0].group / WORD];
    for group in 0..panels[0].groups {
        let mut scales = [_mm512_setzero_ps(); PANELS];
        for (p, panel) in panels.iter().enumerate() {
            turn(panel, p, group, words);
            // SAFETY: there is such a group.
            scales[p] = unsafe { panel.scales(group) };
        }
        let mut token = 0;
        while token < tokens {
            let sums = &mut sums[token..tokens];
            let met = Meeting { panel: &panels[0], group, words, scales, input, first: first + token };
            token += match sums.len() {
                8.. => met.tokens::<8>(sums),
                4.. => met.tokens::<4>(sums),
                2.. => met.tokens::<2>(sums),
                _ => met.tokens::<1>(sums),
            };
        }
    }
    for (token, sums) in sums[..tokens].iter().enumerate() {
        for (panel, sums) in panels.iter().zip(sums) {
            panel.store(*sums, first + token, out);
        }
    }
}

/// Turns a group of panel `p`: four vectors, each with 16 columns of a block, become four with a word of each row.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn turn(panel: &Panel, p: usize, group: usize, words: &mut [Words]) {
    // The next group is fetched while this one meets the tokens; behind the last one comes that of the next panels.
    let ahead = match group + 1 < panel.groups {
        true => panel.group * BLOCK_ROWS,
        false => panel.stride * PANEL_ROWS * PANELS - group * panel.group * BLOCK_ROWS,
    };
    for (i, words) in words.as_chunks_mut::<{ COLUMNS / WORD }>().0.iter_mut().enumerate() {
        let col = group * panel.group + i * COLUMNS;
        for b in 0..BLOCKS {
            panel.prefetch(b, col, ahead);
        }
        // SAFETY: the columns are those of a group.
        let [a, b, c, d] =
            unsafe { [panel.load(0, col), panel.load(1, col), panel.load(2, col), panel.load(3, col)] };
        let ab_low = _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b);
        let ab_high = _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b);
        let cd_low = _mm512_shuffle_i64x2::<0b01_00_01_00>(c, d);
        let cd_high = _mm512_shuffle_i64x2::<0b11_10_11_10>(c, d);
        words[0][p] = _mm512_shuffle_i64x2::<0b10_00_10_00>(ab_low, cd_low);
        words[1][p] = _mm512_shuffle_i64x2::<0b11_01_11_01>(ab_low, cd_low);
        words[2][p] = _mm512_shuffle_i64x2::<0b10_00_10_00>(ab_high, cd_high);
        words[3][p] = _mm512_shuffle_i64x2::<0b11_01_11_01>(ab_high, cd_high);
    }
}

/// A turned group and the tokens from `first` on.
struct Meeting<'k, 'p> {
    panel: &'k Panel,
    group: usize,
    words: &'k [Words],
    scales: [__m512; PANELS],
    input: &'k Prepared<'p>,
    first: usize,
}

impl Meeting<'_, '_> {
    /// Adds the group's products with N tokens to their sums. Returns N.
    #[inline]
    #[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn tokens<const N: usize>(&self, sums: &mut [[__m512; PANELS]]) -> usize {
        let Self { panel, group, words, input, first, .. } = *self;
        let mut acc = [[_mm512_setzero_si512(); PANELS]; N];
        let stride = 2 * panel.stride;
        let values = &input.values[first * stride..][..(N - 1) * stride + panel.stride];
        let values = values[group * panel.group..].as_ptr();
        for n in 0..N {
            acc[n] = [_mm512_set1_epi32(input.sums[(first + n) * panel.groups + group]); PANELS];
        }
        for (k, word) in words.iter().enumerate() {
            for n in 0..N {
                // SAFETY: the slice holds the whole row of the last token, so the group's words of each.
                let q = unsafe { values.add(n * stride + k * WORD).cast::<i32>().read_unaligned() };
                let q = _mm512_set1_epi32(q);
                for p in 0..PANELS {
                    acc[n][p] = _mm512_dpbusd_epi32(acc[n][p], word[p], q);
                }
            }
        }
        for n in 0..N {
            let scale = _mm512_set1_ps(input.scales[(first + n) * panel.groups + group]);
            for p in 0..PANELS {
                let product =
                    _mm512_mul_ps(_mm512_cvtepi32_ps(acc[n][p]), _mm512_mul_ps(self.scales[p], scale));
                sums[n][p] = _mm512_add_ps(sums[n][p], product);
            }
        }
        N
    }
}
