//! The transformer, start to end.
//!
//! One function takes a chunk of tokens through all layers: a prompt goes through in chunks, a generated token
//! is a chunk of one, and both compute the same bits. Everything clever is called from here, not in here.
//!
//! T: tokens in the chunk; H: hidden_size; Q: heads*head_dim; KV: kv_heads*head_dim; F: ffn_size;
//! V: vocab_size; P: dims/2 rotated pairs.

use sprat_format::{Config, FeedForward};

use crate::arena::Carver;
use crate::cache::Cache;
use crate::kernels::Prepared;
use crate::layers::{Compute, Input, activate, activate_gate, add, attend, norm, rotary_angles, rotate};
use crate::plan::Sizes;
use crate::team::Workspace;
use crate::weights::Weights;

/// The activations of a chunk, cut anew from the arena's scratch for each pass.
pub(crate) struct Scratch<'a> {
    x: &'a mut [f32],      // T x H: residual stream
    h: &'a mut [f32],      // T x H: normalized input, or output, of a block
    q: &'a mut [f32],      // T x Q: queries
    k: &'a mut [f32],      // T x KV: keys
    v: &'a mut [f32],      // T x KV: values
    att: &'a mut [f32],    // T x Q: what attention read
    up: &'a mut [f32],     // T x F
    gate: &'a mut [f32],   // T x F
    cos: &'a mut [f32],    // T x P
    sin: &'a mut [f32],    // T x P
    scores: &'a mut [f32], // attention's work space: see the plan
    xq: Prepared<'a>,      // T x widest padded row: quantized input of a matrix
    q_head: &'a mut [i8],  // members x quantized queries of heads that go together
}

impl<'a> Scratch<'a> {
    /// Cuts the buffers in the order and sizes of the plan.
    pub(crate) fn carve(carver: &mut Carver<'a>, sizes: &Sizes) -> Self {
        Self {
            x: carver.take(sizes.hidden),
            h: carver.take(sizes.hidden),
            q: carver.take(sizes.query),
            k: carver.take(sizes.kv),
            v: carver.take(sizes.kv),
            att: carver.take(sizes.query),
            up: carver.take(sizes.ffn),
            gate: carver.take(sizes.ffn),
            cos: carver.take(sizes.rotary),
            sin: carver.take(sizes.rotary),
            scores: carver.take(sizes.scores),
            xq: Prepared {
                values: carver.take(sizes.quantized),
                scales: carver.take(sizes.quantized_groups),
                sums: carver.take(sizes.quantized_groups),
            },
            q_head: carver.take(sizes.quantized_query),
        }
    }
}

/// Takes `tokens` (T of them, at least one), the first at position `start`, through all layers and into the
/// cache. The residual stream at the end stays in the scratch, for [`logits`].
pub(crate) fn forward(
    config: &Config,
    weights: &Weights,
    compute: Compute,
    cache: &mut Cache,
    scratch: &mut Scratch,
    tokens: &[u32],
    start: usize,
) {
    let count = tokens.len();
    let (hidden, query, kv) =
        (config.hidden_size as usize, config.query_size() as usize, config.kv_size() as usize);
    let ffn = config.ffn_size as usize;
    let x = &mut scratch.x[..count * hidden];
    let h = &mut scratch.h[..count * hidden];
    let q = &mut scratch.q[..count * query];
    let k = &mut scratch.k[..count * kv];
    let v = &mut scratch.v[..count * kv];
    let att = &mut scratch.att[..count * query];
    let up = &mut scratch.up[..count * ffn];
    let gate = &mut scratch.gate[..count * ffn];
    let xq = &mut scratch.xq;

    for (i, (token, x)) in tokens.iter().zip(x.chunks_exact_mut(hidden)).enumerate() {
        weights.token_embedding.row(*token as usize, x);
        if let Some(positions) = &weights.position_embedding {
            let h = &mut h[..hidden];
            positions.row(start + i, h);
            add(h, x);
        }
    }
    rotary_angles(weights.rotary_frequencies, start, scratch.cos, scratch.sin);

    for (l, layer) in weights.layers().enumerate() {
        norm(config, compute.kernels, layer.attention_norm, layer.attention_norm_bias, x, h);
        let mut input = Input::new(h, xq);
        input.times(compute, &layer.query, layer.query_bias, q);
        input.times(compute, &layer.key, layer.key_bias, k);
        input.times(compute, &layer.value, layer.value_bias, v);
        rotate(config, q, query, scratch.cos, scratch.sin);
        rotate(config, k, kv, scratch.cos, scratch.sin);
        for (i, (k, v)) in k.chunks_exact(kv).zip(v.chunks_exact(kv)).enumerate() {
            cache.put(l, start + i, k, v, compute.kernels);
        }
        let work = Workspace { floats: scratch.scores, bytes: scratch.q_head };
        attend(config, compute, cache, l, start, q, work, att);
        Input::new(att, xq).times(compute, &layer.attention_output, layer.attention_output_bias, h);
        add(h, x);

        norm(config, compute.kernels, layer.ffn_norm, layer.ffn_norm_bias, x, h);
        let mut input = Input::new(h, xq);
        input.times(compute, &layer.up, layer.up_bias, up);
        match (config.feed_forward, &layer.gate) {
            (FeedForward::Gated(activation), Some(matrix)) => {
                input.times(compute, matrix, layer.gate_bias, gate);
                activate_gate(compute.kernels, activation, gate, up);
            }
            (FeedForward::Plain(activation) | FeedForward::Gated(activation), _) => activate(activation, up),
        }
        Input::new(up, xq).times(compute, &layer.down, layer.down_bias, h);
        add(h, x);
    }
}

/// The logits (V) that follow the chunk's token number `index`.
pub(crate) fn logits(
    config: &Config,
    weights: &Weights,
    compute: Compute,
    scratch: &mut Scratch,
    index: usize,
    out: &mut [f32],
) {
    let hidden = config.hidden_size as usize;
    let x = &scratch.x[index * hidden..(index + 1) * hidden];
    let h = &mut scratch.h[..hidden];
    norm(config, compute.kernels, weights.final_norm, weights.final_norm_bias, x, h);
    Input::new(h, &mut scratch.xq).times(compute, &weights.head, weights.head_bias, out);
}
