//! Attention over the q8 cache on DSP cores.
//!
//! Two heads that share keys and values share their loading and unpacking too: `SXTB16` makes two halfwords of a
//! word's bytes, `SMLAD` multiplies two pairs. Values are summed over positions, so words of two positions are first
//! packed into pairs of one component. The loops take every core register, which inline assembly cannot give: they
//! are functions of nothing but assembly, for which the assembler has to be told what the core has.

use sprat_format::WORD;

use super::quantize::quantize_pairs;
use crate::kernels::portable::attention::{LEAST_TOP, adjust, top};
use crate::kernels::{Attention, AttentionWork, HEAD_UNIT, MIX_BLOCK, PAIR, SCORE_ONE, portable};

mod mix;
mod score;
mod weigh;

use mix::mix;
use score::score;
use weigh::{multiply, weigh};

pub(super) fn attend_q8(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    let Attention { head_dim, scale, keys, values, .. } = *attention;
    let heads = attention.query.len() / head_dim;
    let positions = keys.scales.len();
    let padded = positions.next_multiple_of(2);
    let Ok(query) = bytemuck::try_cast_slice_mut(work.query) else {
        return attend_any(attention, work, out);
    };
    let scales_are_words = keys.scales.as_ptr().cast::<u32>().is_aligned();
    if positions == 0 || heads > PAIR || !keys.stride.is_multiple_of(HEAD_UNIT) || !scales_are_words {
        return attend_any(attention, work, out);
    }
    let query = &mut query[..heads * keys.stride / 2];
    // Positions are weighed and mixed in pairs: one that is not there is so far from the others that it has no weight.
    let scores = &mut work.scores[..heads * padded];
    scores[heads * positions..].fill(i32::MIN);
    let mut factors = [0.0; PAIR];
    for (head, (x, factor)) in attention.query.chunks_exact(head_dim).zip(&mut factors).enumerate() {
        *factor = quantize_pairs(x, &mut query[2 * head..], 2 * heads) * scale;
    }
    let mut largest = score(query, factors, &keys, &mut scores[..heads * positions]);
    if let Some(how) = attention.adjust() {
        for (head, largest) in largest[..heads].iter_mut().enumerate() {
            *largest = adjust(how, how.slopes[head], &mut scores[head..heads * positions], heads);
        }
    }
    if padded > positions && largest[..heads].iter().any(|&largest| top(largest) < LEAST_TOP) {
        return attend_any(attention, work, out);
    }
    out.fill(0.0);
    let mut totals = [0.0; PAIR];
    for (run, scores) in scores.chunks_mut(heads * MIX_BLOCK).enumerate() {
        let padded = scores.len() / heads;
        let values = values.part(run * MIX_BLOCK, padded.min(positions - run * MIX_BLOCK));
        let multipliers = &mut work.multipliers[..padded];
        let unit = multiply(values.scales, multipliers);
        for head in 0..heads {
            totals[head] += weigh(scores, head, heads, top(largest[head]), multipliers) as f32;
        }
        mix(scores, &values, unit, heads, out);
    }
    for (out, total) in out.chunks_exact_mut(head_dim).zip(totals) {
        let inverse = SCORE_ONE as f32 / total;
        let (words, rest) = out.as_chunks_mut::<WORD>();
        words.iter_mut().for_each(|word| *word = word.map(|out| out * inverse));
        rest.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// For what the loops do not take, and for scores so low that nothing is farther.
#[cold]
#[inline(never)]
fn attend_any(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    portable::attend_q8(attention, work, out);
}
