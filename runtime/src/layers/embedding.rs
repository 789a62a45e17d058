//! Where the residual stream begins: what a token and its position stand for.

use sprat_format::Config;

use super::norm::normalize_in_place;
use super::{Compute, Input};
use crate::family::EVERY_FAMILY;
use crate::kernels::Prepared;
use crate::weights::Weights;

/// The residual stream `x` (T x H) of tokens, the first at position `start`. `h` (T x H) and `quantized` are work space.
pub(crate) fn embed(
    config: &Config,
    weights: &Weights,
    compute: Compute,
    tokens: &[u32],
    start: usize,
    h: &mut [f32],
    quantized: &mut Prepared,
    x: &mut [f32],
) {
    let hidden = config.hidden_size as usize;
    let projection = weights.embedding_projection.as_ref().filter(|_| EVERY_FAMILY);
    let width = if projection.is_some() { config.embedding_width() as usize } else { hidden };
    let embedded = match projection {
        Some(_) => &mut h[..tokens.len() * width],
        None => &mut *x,
    };
    for (token, row) in tokens.iter().zip(embedded.chunks_exact_mut(width)) {
        compute.row(&weights.token_embedding, *token as usize, row);
    }
    if EVERY_FAMILY && config.embedding_scale != 1.0 {
        embedded.iter_mut().for_each(|x| *x *= config.embedding_scale);
    }
    if let Some(norm) = weights.embedding_norm.as_ref().filter(|_| EVERY_FAMILY) {
        normalize_in_place(config, compute, tokens.len(), norm, width, embedded);
    }
    if let Some(matrix) = projection {
        Input::new(&h[..tokens.len() * width], quantized).times(compute, matrix, None, x);
    }
    if let Some(positions) = &weights.position_embedding {
        let row = &mut h[..hidden];
        for (position, x) in (start..).zip(x.chunks_exact_mut(hidden)) {
            compute.row(positions, position, row);
            (compute.kernels.add)(row, x);
        }
    }
}
