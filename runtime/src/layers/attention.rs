//! Attention: what a token reads of the tokens before it, by the keys and values in the cache.

use sprat_format::Config;

use super::Compute;
use crate::cache::{Cache, Run};
use crate::family::EVERY_FAMILY;
use crate::kernels::{Adjust, Attention, AttentionWork, Kernels, MIX_BLOCK, PAIR, SCORE_ONE};
use crate::math;
use crate::team::{Workspace, share};

/// A q8 cache is read from a multiple of this position on, as far as kernels read positions together.
const FIRST_UNIT: usize = 4;

/// What a product of a query and a key becomes, before the softmax, besides what it is.
#[derive(Clone, Copy)]
struct Shape<'s> {
    /// For each head; empty without ALiBi.
    slopes: &'s [f32],
    /// 0 without one.
    soft_cap: f32,
}

impl Shape<'_> {
    /// Whether it stays what it is.
    fn is_plain(&self) -> bool {
        !EVERY_FAMILY || (self.slopes.is_empty() && self.soft_cap == 0.0)
    }

    /// The slope of a head.
    fn slope(&self, head: usize) -> f32 {
        self.slopes.get(head).copied().unwrap_or(0.0)
    }
}

/// Causal attention of a chunk's tokens, the first at position `start` (their own keys and values are in the
/// cache already): `out` (T x heads*head_dim) = for each head the mean of the values at the token's and all
/// earlier positions, or those in the layer's window, weighted by softmax(query . key * scale). `slopes` has ALiBi's
/// slope of each head, or is empty. `query` (T x heads*head_dim) may be scaled in place; each member of the team needs
/// work space as the plan says.
pub(crate) fn attend(
    config: &Config,
    compute: Compute,
    cache: &Cache,
    slopes: &[f32],
    layer: usize,
    start: usize,
    query: &mut [f32],
    work: Workspace,
    out: &mut [f32],
) {
    let head_dim = config.head_dim as usize;
    let width = config.query_size() as usize;
    let shared = (config.heads / config.kv_heads) as usize;
    let kernels = compute.kernels;
    let scale = match config.attention_scale {
        scale if EVERY_FAMILY && scale != 0.0 => scale,
        _ => 1.0 / (kernels.sqrt)(head_dim as f32),
    };
    let window = if EVERY_FAMILY { config.window_of(layer as u32) } else { None };
    let window = window.map_or(usize::MAX, |window| window as usize);
    let shape = Shape { slopes, soft_cap: config.attention_softcap };
    let is_q8 = matches!(cache.keys(layer, 0, 0..0), Run::Q8(_));
    if !is_q8 {
        query.iter_mut().for_each(|q| *q *= scale);
    }
    let query = &*query;
    let tokens = out.len() / width;
    let products: usize = (0..tokens).map(|token| 2 * width * (start + token + 1).min(window)).sum();
    compute.meter.count(products);
    share(compute.team, products, out, width, head_dim, work, &|own, out, work| {
        for (token, query) in query.chunks_exact(width).enumerate() {
            let positions = start + token + 1;
            let first = positions.saturating_sub(window);
            let (mut query, mut out) = (&query[own.clone()], out.token(token));
            let mut head = own.start / head_dim;
            while !query.is_empty() {
                let kv_head = head / shared;
                // Heads that share keys and values go together as far as the kernels take them.
                let count = match is_q8 {
                    true => (shared - head % shared).min(PAIR).min(query.len() / head_dim),
                    false => 1,
                };
                let (heads, others) = query.split_at(count * head_dim);
                let (heads_out, others_out) = out.split_at_mut(count * head_dim);
                // The kernels for bytes leave out what lies before the first position.
                let skip = if EVERY_FAMILY && is_q8 { first % FIRST_UNIT } else { 0 };
                let seen = first - skip..positions;
                match (cache.keys(layer, kv_head, seen.clone()), cache.values(layer, kv_head, seen.clone())) {
                    (Run::Q8(keys), Run::Q8(values)) => {
                        let unit = core::f32::consts::LOG2_E * SCORE_ONE as f32;
                        let adjust = Adjust {
                            skip,
                            slopes: core::array::from_fn(|other| shape.slope(head + other) * unit),
                            soft_cap: shape.soft_cap * unit,
                        };
                        let adjust = (skip != 0 || !shape.is_plain()).then_some(adjust);
                        let attention =
                            Attention { query: heads, head_dim, scale: scale * unit, keys, values, adjust };
                        let floats = bytemuck::cast_slice_mut(work.floats);
                        let (multipliers, scores) = floats.split_at_mut(cache.context().min(MIX_BLOCK));
                        let work = &mut AttentionWork { scores, multipliers, query: work.bytes };
                        (kernels.attend_q8)(&attention, work, heads_out);
                    }
                    (keys, values) => {
                        let scores = &mut work.floats[..seen.len()];
                        attend_floats(kernels, shape, head, heads, keys, values, scores, heads_out);
                    }
                }
                (query, out, head) = (others, others_out, head + count);
            }
        }
    });
}

/// Attention of one query (head_dim), scaled already, over P positions of a cache of floats: `out` (head_dim).
/// `scores` (P) is work space.
fn attend_floats(
    kernels: &Kernels,
    shape: Shape,
    head: usize,
    query: &[f32],
    keys: Run,
    values: Run,
    scores: &mut [f32],
    out: &mut [f32],
) {
    match keys {
        Run::F16(keys) => (kernels.score_f16)(query, keys, scores),
        Run::F32(keys) => (kernels.score_f32)(query, keys, scores),
        Run::Q8(_) => return,
    }
    if !shape.is_plain() {
        soft_cap(shape.soft_cap, scores);
        let slope = shape.slope(head);
        let distances = (0..scores.len()).rev();
        scores.iter_mut().zip(distances).for_each(|(score, distance)| *score -= slope * distance as f32);
    }
    let total = (kernels.softmax)(scores);
    out.fill(0.0);
    match values {
        Run::F16(values) => (kernels.mix_f16)(scores, values, out),
        Run::F32(values) => (kernels.mix_f32)(scores, values, out),
        Run::Q8(_) => return,
    }
    let inverse = 1.0 / total;
    out.iter_mut().for_each(|out| *out *= inverse);
}

/// Keeps each of `x` between -`cap` and `cap`, softly: cap * tanh(x / cap); as it is where the cap is 0.
pub(crate) fn soft_cap(cap: f32, x: &mut [f32]) {
    if EVERY_FAMILY && cap != 0.0 {
        x.iter_mut().for_each(|x| *x = cap * math::tanh(*x / cap));
    }
}

#[cfg(test)]
mod tests {
    use sprat_format::{KvType, Limits};
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::arena::Carver;
    use crate::meter::Meter;
    use crate::plan::Plan;
    use crate::team::Solo;

    const POSITIONS: usize = 20;
    const HEAD_DIM: usize = 8;

    /// Numbers of at most one in magnitude, which depend on the seed.
    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * i * 31 + i * 97 + seed * 1013) % 255) as f32 / 127.0 - 1.0).collect()
    }

    /// The stored heads as they were put in, but for what the cache's type costs.
    fn stored(run: Run) -> Vec<f64> {
        match run {
            Run::F32(values) => values.iter().map(|&x| f64::from(x)).collect(),
            Run::F16(values) => values.iter().map(|x| x.to_f64()).collect(),
            Run::Q8(heads) => {
                let rows = heads.values.chunks_exact(heads.stride).zip(heads.scales);
                rows.flat_map(|(row, scale)| row.iter().map(|&x| f64::from(x) * scale.to_f64())).collect()
            }
        }
    }

    /// Attention of one query over the last `window` of the positions, in double precision and as it is defined.
    fn naive(
        query: &[f32],
        keys: &[f64],
        values: &[f64],
        window: usize,
        scale: f64,
        slope: f64,
        cap: f64,
    ) -> Vec<f64> {
        let positions = keys.len() / HEAD_DIM;
        let seen = positions.saturating_sub(window)..positions;
        let weights = seen.clone().map(|p| {
            let key = &keys[p * HEAD_DIM..(p + 1) * HEAD_DIM];
            let score = scale * query.iter().zip(key).map(|(&q, k)| f64::from(q) * k).sum::<f64>();
            let score = if cap == 0.0 { score } else { cap * libm::tanh(score / cap) };
            libm::exp(score - slope * (positions - 1 - p) as f64)
        });
        let weights: Vec<f64> = weights.collect();
        let total: f64 = weights.iter().sum();
        let mean =
            |c| seen.clone().zip(&weights).map(|(p, w)| w * values[p * HEAD_DIM + c]).sum::<f64>() / total;
        (0..HEAD_DIM).map(mean).collect()
    }

    fn check(kv: KvType, tolerance: f64, window: u32, slopes: &[f32], cap: f32) {
        let config = Config {
            heads: 6,
            kv_heads: 3,
            head_dim: HEAD_DIM as u32,
            max_positions: POSITIONS as u32,
            window,
            attention_scale: 1.25,
            attention_softcap: cap,
            ..Config::PLAIN
        };
        let limits =
            Limits { context: POSITIONS as u32, prefill_chunk: 7, prompt_bytes: 1, kv, logits_rows: 0 };
        let plan = Plan::new(&config, &limits).unwrap();
        let mut arena = vec![0u128; plan.kv_bytes.div_ceil(16)];
        let mut cache = Cache::carve(
            &mut Carver::new(bytemuck::cast_slice_mut(&mut arena)),
            &config,
            &limits,
            &plan.sizes,
        );
        let (meter, kernels) = (Meter::default(), Kernels::detect());
        let compute = Compute {
            kernels,
            team: &Solo,
            meter: &meter,
            #[cfg(feature = "stream")]
            stream: None,
        };
        for position in 0..POSITIONS {
            cache.put(0, position, &numbers(position, 24), &numbers(position + 99, 24), kernels);
        }
        let (start, tokens) = (13, 7);
        let queries = numbers(7, tokens * 48);
        let mut out = vec![9.0; tokens * 48];
        let mut floats = vec![0.0; plan.sizes.scores];
        let mut bytes = vec![0u32; plan.sizes.quantized_query.div_ceil(4)];
        let work = Workspace { floats: &mut floats, bytes: bytemuck::cast_slice_mut(&mut bytes) };
        attend(&config, compute, &cache, slopes, 0, start, &mut queries.clone(), work, &mut out);
        let window = if window == 0 { POSITIONS } else { window as usize };
        for (number, (query, found)) in
            queries.chunks_exact(HEAD_DIM).zip(out.chunks_exact(HEAD_DIM)).enumerate()
        {
            let (token, head) = (number / 6, number % 6);
            let seen = 0..start + token + 1;
            let keys = stored(cache.keys(0, head / 2, seen.clone()));
            let values = stored(cache.values(0, head / 2, seen.clone()));
            let (keys, values) = (&keys[..seen.len() * HEAD_DIM], &values[..seen.len() * HEAD_DIM]);
            let slope = slopes.get(head).map_or(0.0, |&slope| f64::from(slope));
            let expected = naive(query, keys, values, window, 1.25, slope, cap.into());
            for (found, expected) in found.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < tolerance, "{kv:?} {window} {slopes:?} {cap} {token} {head}: {error:e}");
            }
        }
    }

    #[test]
    fn windows_slopes_and_soft_caps_are_those_of_double_precision() {
        // Slopes of six heads, which is no power of two.
        let six = [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125];
        // A query of the q8 cache is rounded too.
        for (kv, tolerance) in [(KvType::F32, 1e-5), (KvType::F16, 1e-5), (KvType::Q8, 1.5e-2)] {
            for window in [0, 1, 2, 3, 4, 5, 7, 8, 13, 14, 19, 20] {
                for slopes in [&[][..], &six] {
                    for cap in [0.0, 1.5] {
                        check(kv, tolerance, window, slopes, cap);
                    }
                }
            }
        }
    }
}
