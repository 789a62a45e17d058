//! Rotary embedding: queries and keys turned by angles that grow with the position.

use sprat_format::{Config, Pairing, Position};

use super::{Compute, ELEMENT};
use crate::family::EVERY_FAMILY;
use crate::forward::Place;
use crate::math;
use crate::team::share_tokens;
use crate::weights::Weights;

/// Cosines and sines (T x dims/2 each) of the angles of a chunk's positions.
#[derive(Clone, Copy)]
pub(crate) struct Angles<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
}

impl<'a> Angles<'a> {
    /// Those of a chunk of so many tokens, the first at `start`, for layers without and with a window. `cos`
    /// and `sin` have room for as many angles as the plan says.
    pub(crate) fn of_chunk(
        weights: &Weights,
        tokens: usize,
        start: Place,
        cos: &'a mut [f32],
        sin: &'a mut [f32],
    ) -> [Self; 2] {
        let count = tokens * weights.rotary_frequencies.len();
        let (cos, window_cos) = cos.split_at_mut(count);
        let (sin, window_sin) = sin.split_at_mut(count);
        fill(weights.rotary_frequencies, start, cos, sin);
        let all = Self { cos, sin };
        match weights.window_frequencies.filter(|_| EVERY_FAMILY) {
            Some(frequencies) => {
                let (cos, sin) = (&mut window_cos[..count], &mut window_sin[..count]);
                fill(frequencies, start, cos, sin);
                [all, Self { cos, sin }]
            }
            None => [all, all],
        }
    }
}

/// Cosines and sines of the angles at `start` and what follows it.
fn fill(frequencies: &[f32], start: Place, cos: &mut [f32], sin: &mut [f32]) {
    let width = frequencies.len();
    if width == 0 {
        return;
    }
    for (token, (cos, sin)) in cos.chunks_exact_mut(width).zip(sin.chunks_exact_mut(width)).enumerate() {
        let slot = start.slot + token;
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(frequencies) {
            let angle = match start.dropped {
                0 => slot as f32 * frequency,
                dropped => far_angle(dropped.wrapping_add(slot as u32), *frequency),
            };
            (*sin, *cos) = math::sin_cos(angle);
        }
    }
}

/// The angle at a position in a text without end, less whole turns, for frequencies of at most half a turn.
///
/// A float would hold ever fewer bits of it. What counts is the difference between two positions, and that stays what
/// it is for ever in integers: an angle is a fraction of a turn in 32 bits, and so is what it grows by from a position
/// to the next, so the product is right modulo a turn even where the position itself has wrapped.
fn far_angle(position: u32, frequency: f32) -> f32 {
    const TURN: f32 = 4_294_967_296.0 / core::f32::consts::TAU;
    let step = (frequency * TURN) as i32 as u32;
    position.wrapping_mul(step) as i32 as f32 * (1.0 / TURN)
}

/// Rotates every head of every row of `x` (T x width) by its position's angles, in layers that rotate.
pub(crate) fn rotate(
    config: &Config,
    compute: Compute,
    layer: usize,
    tokens: usize,
    angles: &[Angles; 2],
    x: &mut [f32],
) {
    let Position::Rotary { dims, pairing } = config.position else { return };
    if EVERY_FAMILY && !config.rotary_layers.contains(layer as u32) {
        return;
    }
    let has_window = EVERY_FAMILY && config.window_of(layer as u32).is_some();
    let Angles { cos, sin } = angles[usize::from(has_window)];
    let pairs = dims as usize / 2;
    let width = x.len() / tokens;
    share_tokens(compute.team, x.len() * ELEMENT, tokens, x, |own, x| {
        let angles = own.start * pairs..own.end * pairs;
        rotate_rows(config, pairing, x, width, pairs, &cos[angles.clone()], &sin[angles]);
    });
}

/// The same for some rows of so many pairs each.
fn rotate_rows(
    config: &Config,
    pairing: Pairing,
    x: &mut [f32],
    width: usize,
    pairs: usize,
    cos: &[f32],
    sin: &[f32],
) {
    let angles = cos.chunks_exact(pairs).zip(sin.chunks_exact(pairs));
    for (row, (cos, sin)) in x.chunks_exact_mut(width).zip(angles) {
        for head in row.chunks_exact_mut(config.head_dim as usize) {
            let head = &mut head[..2 * pairs];
            match pairing {
                Pairing::Half => {
                    let (first, second) = head.split_at_mut(pairs);
                    for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
                Pairing::Interleaved => {
                    for ([a, b], (cos, sin)) in head.as_chunks_mut().0.iter_mut().zip(cos.iter().zip(sin)) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
            }
        }
    }
}
