//! The transformer, start to end.
//!
//! One function takes a chunk of tokens through all layers: a prompt goes through in chunks, a generated token
//! is a chunk of one, and both compute the same bits. Everything clever is called from here, not in here.
//!
//! T: tokens in the chunk; H: hidden_size; Q: heads*head_dim; KV: kv_heads*head_dim; F: ffn_size;
//! V: vocab_size; E: embedding_width, which is H unless projected; P: dims/2 rotated pairs.

use sprat_format::{Block, Config};

use crate::arena::Carver;
use crate::cache::Cache;
use crate::family::EVERY_FAMILY;
use crate::kernels::Prepared;
use crate::layers::{
    Angles, Compute, Input, Product, add_output, attend, block_input, embed, expand, normalize,
    normalize_heads, rotate, soft_cap,
};
use crate::meter::Stage;
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
    cos: &'a mut [f32],    // T x P, and again for layers with a window
    sin: &'a mut [f32],    // as many
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

/// Where a token stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Its position in the cache.
    pub slot: usize,
    /// Tokens of the text that are in the cache no more: what its position in the text is ahead of `slot`.
    pub dropped: u32,
}

/// Takes `tokens` (T of them, at least one), the first at `start`, through all layers and into the cache. The
/// residual stream at the end stays in the scratch, for [`logits`].
pub(crate) fn forward(
    config: &Config,
    weights: &Weights,
    compute: Compute,
    cache: &mut Cache,
    scratch: &mut Scratch,
    tokens: &[u32],
    start: Place,
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
    let meter = compute.meter;

    meter.begin(Stage::Embedding);
    embed(config, weights, compute, tokens, start.slot, h, xq, x);
    let angles = Angles::of_chunk(weights, count, start, scratch.cos, scratch.sin);
    let side_by_side = EVERY_FAMILY && config.block != Block::Serial;

    for l in 0..config.layers as usize {
        // The image's check found every layer.
        let Some(layer) = weights.layer(l) else { return };
        let input = block_input(config, compute, layer.attention_norm.as_ref(), x, h);
        meter.begin(Stage::Qkv);
        Input::new(input, xq).times_each(
            compute,
            [
                Product { matrix: &layer.query, bias: layer.query_bias, out: q },
                Product { matrix: &layer.key, bias: layer.key_bias, out: k },
                Product { matrix: &layer.value, bias: layer.value_bias, out: v },
            ],
        );
        normalize_heads(config, compute, &layer, count, q, k);
        rotate(config, compute, l, count, &angles, q);
        rotate(config, compute, l, count, &angles, k);
        meter.show_heads(l, q, k);
        for (i, (k, v)) in k.chunks_exact(kv).zip(v.chunks_exact(kv)).enumerate() {
            cache.put(l, start.slot + i, k, v, compute.kernels);
        }
        if side_by_side {
            // Both blocks read the residual stream as it is now: on one norm, which is still in h, or on two.
            if let Some(norm) = &layer.ffn_norm {
                normalize(config, compute, norm, x, h);
            }
            expand(config.feed_forward, compute, &layer, count, h, xq, gate, up);
        }

        meter.begin(Stage::Attention);
        let work = Workspace { floats: scratch.scores, bytes: scratch.q_head };
        attend(config, compute, cache, weights.alibi_slopes, l, start.slot, q, work, att);
        meter.begin(Stage::Output);
        Input::new(att, xq).times(compute, &layer.attention_output, layer.attention_output_bias, h);
        let (output_norm, norm) = (layer.attention_output_norm.as_ref(), layer.attention_norm.as_ref());
        add_output(config, compute, count, output_norm, norm, h, x);

        if !side_by_side {
            let input = block_input(config, compute, layer.ffn_norm.as_ref(), x, h);
            expand(config.feed_forward, compute, &layer, count, input, xq, gate, up);
        }
        Input::new(up, xq).times(compute, &layer.down, layer.down_bias, h);
        add_output(config, compute, count, layer.ffn_output_norm.as_ref(), layer.ffn_norm.as_ref(), h, x);
        meter.show_residual(l, x);
    }
}

/// What the logits after the chunk's token number `index` are computed from: `last` (E).
pub(crate) fn finish(
    config: &Config,
    weights: &Weights,
    compute: Compute,
    scratch: &mut Scratch,
    index: usize,
    last: &mut [f32],
) {
    let hidden = config.hidden_size as usize;
    let x = &scratch.x[index * hidden..(index + 1) * hidden];
    let h = match &weights.head_projection {
        Some(_) => &mut scratch.h[..hidden],
        None => &mut *last,
    };
    match &weights.final_norm {
        Some(norm) => normalize(config, compute, norm, x, h),
        None => h.copy_from_slice(x),
    }
    if let Some(matrix) = &weights.head_projection {
        Input::new(&scratch.h[..hidden], &mut scratch.xq).times(compute, matrix, None, last);
    }
}

/// The logits (V) that follow from `last` (E), in blocks of as many as `block` holds: `each` gets the first token of
/// a block and the block.
pub(crate) fn logits(
    config: &Config,
    weights: &Weights,
    compute: Compute,
    scratch: &mut Scratch,
    last: &[f32],
    block: &mut [f32],
    each: &mut dyn FnMut(usize, &mut [f32]),
) {
    compute.meter.begin(Stage::Head);
    let mut input = Input::new(last, &mut scratch.xq);
    let vocabulary = weights.head.rows();
    for first in (0..vocabulary).step_by(block.len()) {
        let rows = first..vocabulary.min(first + block.len());
        let block = &mut block[..rows.len()];
        let bias = weights.head_bias.map(|bias| &bias[rows.clone()]);
        input.times(compute, &weights.head.part(rows), bias, block);
        soft_cap(config.logit_softcap, block);
        each(first, block);
    }
}
