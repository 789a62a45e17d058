//! Changes of the weights that keep the model's function and make its rounding smaller.
//!
//! What one matrix puts out times s and the next one takes in divided by s is the same function, but other numbers are
//! rounded (SmoothQuant, Xiao et al. 2023; AWQ, Lin et al. 2024). A group of numbers is rounded in steps of its
//! largest, so the noise of a product is, for activations, the mean square of a group's largest input times the squares
//! of the group's weights, and for weights the reverse. Scales that make the sum of both small are found by descent on
//! exactly this, from the numbers that the runtime shows. Queries and keys may be scaled, too, and turned within each
//! pair of components that rotary embedding turns, since turns of a plane commute.

use std::collections::BTreeMap;

use sprat_format::{Activation, Block, Config, Element, FeedForward, NormPlace, Role};

use super::draft::{Draft, Key};
use super::measure::Seen;

mod heads;
mod scales;

pub(super) use heads::balance_heads;
use scales::{Site, find};

/// The weight of the weights' noise beside the activations': careful rounding takes most of the former back.
const WEIGHT_NOISE: f64 = 0.3;

/// A place where scales can move: what is divided, and the matrices whose columns are multiplied.
struct Move {
    /// Vectors of as many elements as there are scales, and matrices of as many rows.
    divided: Vec<Role>,
    /// Matrices of as many columns.
    multiplied: Vec<Role>,
    /// The matrix as whose input the runtime shows what lies between.
    seen: Role,
    /// Consecutive columns that share their scales with those of the next as many: heads that read the same values.
    shared: Option<(usize, usize)>,
}

/// The moves that a layer of this model allows.
fn moves(config: &Config) -> Vec<Move> {
    use Role::*;
    let mut moves = Vec::new();
    let gated = matches!(config.feed_forward, FeedForward::Gated(_));
    let expand = || if gated { vec![Up, Gate] } else { vec![Up] };
    let before = matches!(config.norm_place, NormPlace::Before | NormPlace::BeforeAndOutput);
    if before {
        let mut multiplied = vec![Query, Key, Value];
        if config.block == Block::Parallel {
            multiplied.extend(expand());
        } else {
            let divided = vec![FeedForwardNorm, FeedForwardNormBias];
            moves.push(Move { divided, multiplied: expand(), seen: Up, shared: None });
        }
        let divided = vec![AttentionNorm, AttentionNormBias];
        moves.push(Move { divided, multiplied, seen: Query, shared: None });
    }
    // Each value is a mean over positions, and whatever multiplies it commutes with that.
    let shared = Some((config.head_dim as usize, (config.heads / config.kv_heads) as usize));
    let divided = vec![Value, ValueBias];
    moves.push(Move { divided, multiplied: vec![AttentionOutput], seen: AttentionOutput, shared });
    // The gate's non-linearity comes before the product; max(x, 0) lets positive factors through.
    if gated || matches!(config.feed_forward, FeedForward::Plain(Activation::Relu)) {
        moves.push(Move { divided: vec![Up, UpBias], multiplied: vec![Down], seen: Down, shared: None });
    }
    moves
}

/// The matrices whose inputs [`migrate`] needs to see.
pub(super) fn needed(key: Key) -> bool {
    use Role::*;
    matches!(key.1, Query | AttentionOutput | Up | Down)
}

/// Moves scales in one layer.
pub(super) fn migrate(draft: &mut Draft<'_>, layer: u16, seen: &Seen) {
    let group = draft.config.group as usize;
    let config = draft.config;
    for this in moves(&config) {
        let key = |role| (Some(layer), role);
        let Some(rows) = seen.inputs.get(&key(this.seen)) else { continue };
        let quantized = |role: &Role| {
            let spec = draft.specs.iter().find(|spec| (spec.layer, spec.role) == key(*role));
            spec.is_some_and(|spec| matches!(spec.element, Element::Q8 { .. }))
        };
        if !this.multiplied.iter().all(quantized) {
            continue;
        }
        let matrices: Vec<&[f32]> = this
            .multiplied
            .iter()
            .filter_map(|&role| draft.weights.get(&key(role)).map(Vec::as_slice))
            .collect();
        let Some(spec) = draft.specs.iter().find(|spec| (spec.layer, spec.role) == key(this.multiplied[0]))
        else {
            continue;
        };
        let cols = spec.cols as usize;
        let scales =
            find(&Site { cols, group, rows, matrices: &matrices, shared: this.shared }, WEIGHT_NOISE);
        apply(&mut draft.weights, &this, layer, &scales);
    }
}

/// Divides and multiplies.
fn apply(weights: &mut BTreeMap<Key, Vec<f32>>, this: &Move, layer: u16, scales: &[f32]) {
    for role in &this.multiplied {
        if let Some(matrix) = weights.get_mut(&(Some(layer), *role)) {
            for row in matrix.chunks_exact_mut(scales.len()) {
                row.iter_mut().zip(scales).for_each(|(w, scale)| *w *= scale);
            }
        }
    }
    // Of heads that read the same values, the first one's scales stand for all.
    let own: Vec<f32> = match this.shared {
        Some((head, sharing)) => {
            scales.chunks(head * sharing).flat_map(|shared| &shared[..head]).copied().collect()
        }
        None => scales.to_vec(),
    };
    for role in &this.divided {
        if let Some(tensor) = weights.get_mut(&(Some(layer), *role)) {
            let width = tensor.len() / own.len();
            for (row, scale) in tensor.chunks_exact_mut(width).zip(&own) {
                row.iter_mut().for_each(|w| *w /= scale);
            }
        }
    }
}
