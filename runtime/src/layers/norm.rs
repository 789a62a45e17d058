//! Norms, wherever they stand: before a block, on its output, on the residual sum, on queries and keys.
//!
//! The usual norm reads one buffer and writes another. The others replace what they read, so that no model needs
//! more memory for where its norms stand.

use sprat_format::{Config, Norm, NormPlace, QkNorm};

use super::{Compute, ELEMENT, add};
use crate::family::EVERY_FAMILY;
use crate::kernels::Kernels;
use crate::meter::Stage;
use crate::team::share_tokens;
use crate::weights::{LayerWeights, NormWeights};

/// What a block reads: the residual stream `x` (T x H), normalized into `h` if the norm stands before the block.
pub(crate) fn block_input<'x>(
    config: &Config,
    compute: Compute,
    norm: Option<&NormWeights>,
    x: &'x [f32],
    h: &'x mut [f32],
) -> &'x [f32] {
    let before = !EVERY_FAMILY || matches!(config.norm_place, NormPlace::Before | NormPlace::BeforeAndOutput);
    match norm.filter(|_| before) {
        Some(norm) => {
            normalize(config, compute, norm, x, h);
            h
        }
        None => x,
    }
}

/// Adds a block's output `h` to the residual stream `x` (T x H each), with the norms that stand on the output or on
/// the sum. `norm` is the one that otherwise stands before the block.
pub(crate) fn add_output(
    config: &Config,
    compute: Compute,
    tokens: usize,
    output_norm: Option<&NormWeights>,
    norm: Option<&NormWeights>,
    h: &mut [f32],
    x: &mut [f32],
) {
    if let Some(norm) = output_norm.filter(|_| EVERY_FAMILY) {
        normalize_in_place(config, compute, tokens, norm, norm.weight.len(), h);
    }
    add(compute, tokens, h, x);
    let on_sum = EVERY_FAMILY && config.norm_place == NormPlace::Sum;
    if let Some(norm) = norm.filter(|_| on_sum) {
        normalize_in_place(config, compute, tokens, norm, norm.weight.len(), x);
    }
}

/// Normalizes queries (T x heads*head_dim) and keys (T x kv_heads*head_dim), in models that do.
pub(crate) fn normalize_heads(
    config: &Config,
    compute: Compute,
    layer: &LayerWeights,
    tokens: usize,
    query: &mut [f32],
    key: &mut [f32],
) {
    for (norm, x) in [(&layer.query_norm, query), (&layer.key_norm, key)] {
        let Some(norm) = norm.as_ref().filter(|_| EVERY_FAMILY) else { continue };
        let width = match config.qk_norm {
            QkNorm::Projection => norm.weight.len(),
            _ => config.head_dim as usize,
        };
        normalize_in_place(config, compute, tokens, norm, width, x);
    }
}

/// Normalizes each row of `x` (T x H) into `out`.
pub(crate) fn normalize(config: &Config, compute: Compute, norm: &NormWeights, x: &[f32], out: &mut [f32]) {
    let Compute { kernels, team, meter, .. } = compute;
    meter.begin(Stage::Norm);
    let width = norm.weight.len();
    share_tokens(team, x.len() * ELEMENT, x.len() / width, out, |own, out| {
        let x = &x[own.start * width..own.end * width];
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            normalize_row(config, kernels, norm, x, out);
        }
    });
}

/// Normalizes one row (H).
fn normalize_row(config: &Config, kernels: &Kernels, norm: &NormWeights, x: &[f32], out: &mut [f32]) {
    let count = norm.weight.len() as f32;
    let (mean, squares) = match config.norm {
        Norm::RmsNorm => (0.0, (kernels.dot)(x, x)),
        Norm::LayerNorm => {
            let mean = (kernels.sum)(x) / count;
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x - mean);
            (mean, (kernels.dot)(out, out))
        }
    };
    let scale = 1.0 / (kernels.sqrt)(squares / count + config.norm_eps);
    (kernels.normalize)(x, mean, scale, norm.weight, out);
    if let Some(bias) = norm.bias {
        (kernels.add)(bias, out);
    }
}

/// Normalizes every `width` elements of each row of `x` (T rows) in place. The weights, as many as `width` or as a row,
/// begin anew behind their last one.
pub(super) fn normalize_in_place(
    config: &Config,
    compute: Compute,
    tokens: usize,
    norm: &NormWeights,
    width: usize,
    x: &mut [f32],
) {
    let Compute { kernels, team, .. } = compute;
    share_tokens(team, x.len() * ELEMENT, tokens, x, |_, x| {
        for x in x.chunks_exact_mut(norm.weight.len()) {
            for (x, weight) in x.chunks_exact_mut(width).zip(norm.weight.chunks_exact(width)) {
                if config.norm == Norm::LayerNorm {
                    let mean = (kernels.sum)(x) / width as f32;
                    x.iter_mut().for_each(|x| *x -= mean);
                }
                let scale = 1.0 / (kernels.sqrt)((kernels.dot)(x, x) / width as f32 + config.norm_eps);
                x.iter_mut().zip(weight).for_each(|(x, weight)| *x = *x * scale * weight);
            }
            if let Some(bias) = norm.bias {
                (kernels.add)(bias, x);
            }
        }
    });
}
