//! Queries and keys balanced for a cache of bytes.
//!
//! A head's key is rounded in steps of its largest component, and the score's error is that times the length of the
//! query; and the reverse for the query. Components that belong together under rotary embedding are scaled alike and
//! may be turned; a component that is not rotated is scaled alone. Which turns and scales make the noise least is found
//! by trying, one pair after the other.

use std::f64::consts::FRAC_PI_2;
use std::ops::Range;

use rayon::prelude::*;
use sprat_format::{Config, Pairing, Position, QkNorm, Role};

use crate::calibrate::draft::Draft;
use crate::calibrate::measure::Seen;

use super::WEIGHT_NOISE;

/// Rows that are looked at, at most.
const MOST_ROWS: usize = 1024;
/// Rounds of trying.
const ROUNDS: i32 = 3;
/// Angles that are tried in the first round, up to a right angle, behind which everything repeats.
const ANGLES: usize = 8;
/// Logarithms of the factors that are tried.
const FACTORS: [f64; 3] = [0.4, 0.2, 0.1];
/// Logarithms of factors stay within this.
const MOST_LOGARITHM: f64 = 4.0;

/// What is done to a pair of components, or to a single one.
#[derive(Clone, Copy)]
struct Turn {
    /// The components; the same twice for a single one.
    first: usize,
    second: usize,
    /// Radians.
    angle: f64,
    /// Logarithm of what queries are multiplied with and keys divided by.
    logarithm: f64,
}

/// The components that go together.
fn turns(config: &Config, layer: u16) -> Vec<Turn> {
    let head_dim = config.head_dim as usize;
    let rotates = config.rotary_layers.contains(layer.into());
    let dims = if rotates { config.rotary_dims() as usize } else { 0 };
    let interleaved = matches!(config.position, Position::Rotary { pairing: Pairing::Interleaved, .. });
    let pairs = (0..dims / 2).map(|i| if interleaved { (2 * i, 2 * i + 1) } else { (i, i + dims / 2) });
    let singles = (dims..head_dim).map(|i| (i, i));
    pairs.chain(singles).map(|(first, second)| Turn { first, second, angle: 0.0, logarithm: 0.0 }).collect()
}

/// Applies turns to the components of a head; `sign` is 1 for queries and -1 for keys.
fn turn(turns: &[Turn], sign: f64, from: &[f32], to: &mut [f32]) {
    for turn in turns {
        let scale = (sign * turn.logarithm).exp();
        let (x, y) = (f64::from(from[turn.first]), f64::from(from[turn.second]));
        if turn.first == turn.second {
            to[turn.first] = (x * scale) as f32;
        } else {
            let (sin, cos) = turn.angle.sin_cos();
            to[turn.first] = ((x * cos - y * sin) * scale) as f32;
            to[turn.second] = ((x * sin + y * cos) * scale) as f32;
        }
    }
}

/// Mean squares of the components of rows that go together, and of the largest component of all others, are all that
/// trying one turn needs; but rows are few, so everything is computed anew: mean square of the largest component, and of
/// the length, under turns.
fn sizes(turns: &[Turn], sign: f64, rows: &[f32], width: usize) -> (f64, f64) {
    let factors: Vec<[f32; 2]> = turns
        .iter()
        .map(|turn| {
            let scale = (sign * turn.logarithm).exp();
            let angle = if turn.first == turn.second { 0.0 } else { turn.angle };
            [(angle.cos() * scale) as f32, (angle.sin() * scale) as f32]
        })
        .collect();
    let (mut largest, mut length) = (0.0, 0.0);
    for row in rows.chunks_exact(width) {
        let (mut most, mut sum) = (0.0f32, 0.0f32);
        for (turn, [cos, sin]) in turns.iter().zip(&factors) {
            let (x, y) = (row[turn.first], row[turn.second]);
            let (first, second) = match turn.first == turn.second {
                true => (x * cos, 0.0),
                false => (x * cos - y * sin, x * sin + y * cos),
            };
            most = most.max(first.abs()).max(second.abs());
            sum += first * first + second * second;
        }
        largest += f64::from(most) * f64::from(most);
        length += f64::from(sum);
    }
    let count = (rows.len() / width).max(1) as f64;
    (largest / count, length / count)
}

/// One side of the scores: what the runtime showed of it, and the matrix that it comes from.
struct Side<'a> {
    /// 1 for queries, -1 for keys.
    sign: f64,
    /// Rows of head_dim.
    seen: Vec<f32>,
    /// Rows of the matrix, head_dim for each head.
    weights: &'a [f32],
    /// Mean squares of the matrix's inputs.
    inputs: &'a [f64],
    group: usize,
}

impl Side<'_> {
    /// The noise that rounding the two rows of each pair brings to their two components.
    fn of_weights(&self, turn: &Turn, width: usize) -> f64 {
        let cols = self.inputs.len();
        let scale = (self.sign * turn.logarithm).exp();
        let (sin, cos) = turn.angle.sin_cos();
        let mut noise = 0.0;
        for head in self.weights.chunks_exact(width * cols) {
            let row = |i: usize| &head[i * cols..(i + 1) * cols];
            let (first, second) = (row(turn.first), row(turn.second));
            for start in (0..cols).step_by(self.group) {
                let own = start..cols.min(start + self.group);
                let (mut most, mut other) = (0.0f64, 0.0f64);
                for (x, y) in first[own.clone()].iter().zip(&second[own.clone()]) {
                    let (x, y) = (f64::from(*x), f64::from(*y));
                    if turn.first == turn.second {
                        most = most.max(x.abs());
                    } else {
                        most = most.max((x * cos - y * sin).abs());
                        other = other.max((x * sin + y * cos).abs());
                    }
                }
                noise += (most * most + other * other) * self.inputs[own].iter().sum::<f64>();
            }
        }
        noise * scale * scale * width as f64 * cols as f64 / self.weights.len() as f64
    }
}

/// Mean square of a pair's components, under a turn. A turn changes their sum by its scale only.
fn pair_square(turn: &Turn, sign: f64, rows: &[f32], width: usize) -> f64 {
    let scale = (sign * turn.logarithm).exp();
    let square = |x: f32| f64::from(x) * f64::from(x);
    let both = |row: &[f32]| match turn.first == turn.second {
        true => square(row[turn.first]),
        false => (square(row[turn.first]) + square(row[turn.second])) / 2.0,
    };
    let sum: f64 = rows.chunks_exact(width).map(both).sum();
    sum * scale * scale / (rows.len() / width).max(1) as f64
}

/// The noise of a head's scores.
fn noise(turns: &[Turn], queries: &Side<'_>, keys: &Side<'_>, width: usize) -> f64 {
    let (most_q, length_q) = sizes(turns, 1.0, &queries.seen, width);
    let (most_k, length_k) = sizes(turns, -1.0, &keys.seen, width);
    most_k * length_q + most_q * length_k
}

/// The noise that rounding the weights behind one pair brings to scores.
fn weight_noise(turn: &Turn, queries: &Side<'_>, keys: &Side<'_>, width: usize) -> f64 {
    keys.of_weights(turn, width) * pair_square(turn, 1.0, &queries.seen, width)
        + queries.of_weights(turn, width) * pair_square(turn, -1.0, &keys.seen, width)
}

/// The turns that make the noise least.
fn best_turns(mut turns: Vec<Turn>, queries: &Side<'_>, keys: &Side<'_>, width: usize) -> Vec<Turn> {
    let of_weights = |turn: &Turn| WEIGHT_NOISE * weight_noise(turn, queries, keys, width);
    let mut apart: Vec<f64> = turns.iter().map(of_weights).collect();
    let mut least = noise(&turns, queries, keys, width) + apart.iter().sum::<f64>();
    let mut try_one = |turns: &mut Vec<Turn>, number: usize, angle: f64, logarithm: f64| {
        let before = turns[number];
        let logarithm = (before.logarithm + logarithm).clamp(-MOST_LOGARITHM, MOST_LOGARITHM);
        turns[number] = Turn { angle: before.angle + angle, logarithm, ..before };
        let apart_before = std::mem::replace(&mut apart[number], of_weights(&turns[number]));
        let found = noise(turns, queries, keys, width) + apart.iter().sum::<f64>();
        let better = found < 0.9999 * least;
        if better {
            least = found;
        } else {
            (turns[number], apart[number]) = (before, apart_before);
        }
        better
    };
    for round in 0..ROUNDS {
        let unit = FRAC_PI_2 / ANGLES as f64 / 4f64.powi(round);
        for number in 0..turns.len() {
            if turns[number].first != turns[number].second {
                for step in 1..ANGLES {
                    try_one(&mut turns, number, unit * step as f64, 0.0);
                    try_one(&mut turns, number, -unit * step as f64, 0.0);
                }
            }
            for factor in FACTORS {
                while try_one(&mut turns, number, 0.0, factor) {}
                while try_one(&mut turns, number, 0.0, -factor) {}
            }
        }
    }
    turns
}

/// Balances queries and keys of one layer, where the model has no norm on them.
pub(in crate::calibrate) fn balance_heads(draft: &mut Draft<'_>, layer: u16, seen: &Seen) {
    let config = draft.config;
    let Some((queries, keys)) = seen.heads.get(&layer).filter(|_| config.qk_norm == QkNorm::None) else {
        return;
    };
    let (width, heads) = (config.head_dim as usize, config.heads as usize);
    let (kv_heads, sharing) = (config.kv_heads as usize, heads / config.kv_heads as usize);
    let stride = (queries.len() / (heads * width)).div_ceil(MOST_ROWS).max(1);
    let pick = |rows: &[f32], heads: usize, own: Range<usize>| -> Vec<f32> {
        let rows = rows.chunks_exact(heads * width).step_by(stride);
        rows.flat_map(|row| &row[own.start * width..own.end * width]).copied().collect()
    };
    let (Some(query), Some(key)) =
        (draft.weights.get(&(Some(layer), Role::Query)), draft.weights.get(&(Some(layer), Role::Key)))
    else {
        return;
    };
    let cols = config.hidden_size as usize;
    let mut inputs = vec![0.0; cols];
    for row in seen.inputs.get(&(Some(layer), Role::Query)).map_or(&[][..], Vec::as_slice).chunks_exact(cols)
    {
        inputs.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
    }
    let rows = queries.len() / (heads * width);
    inputs.iter_mut().for_each(|sum| *sum /= rows.max(1) as f64);
    let best = |head: usize| {
        let own = head * sharing..(head + 1) * sharing;
        let side = |sign, seen, weights, own: Range<usize>| {
            let weights: &[f32] = weights;
            let weights = &weights[own.start * width * cols..own.end * width * cols];
            Side { sign, seen, weights, inputs: &inputs, group: config.group as usize }
        };
        let queries = side(1.0, pick(queries, heads, own.clone()), query, own);
        let keys = side(-1.0, pick(keys, kv_heads, head..head + 1), key, head..head + 1);
        best_turns(turns(&config, layer), &queries, &keys, width)
    };
    let found: Vec<Vec<Turn>> = (0..kv_heads).into_par_iter().map(best).collect();
    let sides = [(Role::Query, 1.0, sharing), (Role::QueryBias, 1.0, sharing), (Role::Key, -1.0, 1)];
    for (role, sign, sharing) in sides.into_iter().chain([(Role::KeyBias, -1.0, 1)]) {
        let Some(tensor) = draft.weights.get_mut(&(Some(layer), role)) else { continue };
        let cols = tensor.len() / (kv_heads * sharing * width);
        for (head, rows) in tensor.chunks_exact_mut(width * cols).enumerate() {
            turn_rows(&found[head / sharing], sign, rows, cols, width);
        }
    }
}

/// Applies turns to a head's rows (head_dim x columns).
fn turn_rows(turns: &[Turn], sign: f64, rows: &mut [f32], cols: usize, width: usize) {
    let (mut from, mut to) = (vec![0.0; width], vec![0.0; width]);
    for col in 0..cols {
        (0..width).for_each(|i| from[i] = rows[i * cols + col]);
        turn(turns, sign, &from, &mut to);
        (0..width).for_each(|i| rows[i * cols + col] = to[i]);
    }
}
