//! The predicted time for a token: what the core computes, or what the memory brings, whichever takes longer.
//!
//! Instructions are counted ([`counts`](crate::boards::counts)); that a core takes so many cycles for one, and that
//! reads get such a share of an interface, are the board table's assumptions. Both are said with the result.

use std::fmt;

use serde::Serialize;
use sprat_format::Limits;

use super::Subject;
use crate::boards::Board;
use crate::boards::counts::{Matrices, Rates, Weights, attention_products};

/// What a token waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The core.
    Core,
    /// The memory of the weights.
    Memory,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core",
            Self::Memory => "memory",
        })
    }
}

/// One kind of token.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pass {
    /// Products of attention.
    pub attention_products: u64,
    /// Instructions.
    pub instructions: f64,
    /// Seconds that the core takes.
    pub core_seconds: f64,
    /// Seconds that reading weights, keys and values takes.
    pub memory_seconds: f64,
    /// The larger of the two.
    pub seconds: f64,
    /// Which it is.
    pub bound: Bound,
}

/// A prediction, and what it was made of.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// Always `"predicted"`: nothing here was measured on the board.
    pub kind: &'static str,
    /// Products with q8 weights for a token.
    pub q8_products: u64,
    /// Products with f16 or f32 weights for a token.
    pub float_products: u64,
    /// Inputs and outputs of matrices for a token.
    pub activations: u64,
    /// Bytes of weights that a token reads.
    pub weight_bytes: u64,
    /// Instructions for one of each.
    pub instructions_each: Rates,
    /// The target on which they were counted.
    pub counted_on: String,
    /// Cycles for an instruction: assumed.
    pub cycles_per_instruction: f64,
    /// Why, and the kernels.
    pub why: String,
    /// Cores that share the work.
    pub cores: u32,
    /// Cycles a second.
    pub clock_hz: f64,
    /// Bytes a second that reads of weights are assumed to get; nothing where the core never waits.
    pub weight_bytes_per_second: Option<f64>,
    /// The same for keys and values.
    pub kv_bytes_per_second: Option<f64>,
    /// Bytes of keys and values in a full context.
    pub kv_bytes: u64,
    /// A token written at the start of the context.
    pub first: Pass,
    /// A token written at its end.
    pub last: Pass,
    /// A token of a prompt that fills a chunk at the start of the context: a share of one pass over the weights.
    pub read: Pass,
}

/// Predicts with the packed file in memory `model_at` and the arena, with so many bytes of keys and values, in another.
pub(super) fn predict(
    subject: &Subject,
    limits: &Limits,
    board: &Board,
    model_at: usize,
    (arena_at, kv_bytes): (usize, u64),
) -> Time {
    let Subject { config, weights, .. } = subject;
    let rates = board.counts.rates(config);
    let Weights { layers, head } = *weights;
    let weight_bytes_per_second = board.memory[model_at].bytes_per_second();
    let kv_bytes_per_second = board.memory[arena_at].bytes_per_second();
    let seconds = |bytes: f64, rate: Option<f64>| rate.map_or(0.0, |rate| bytes / rate);
    let pass = |matrices: &[Matrices], positions: u32, tokens: f64| {
        let attention_products = attention_products(config, positions);
        let instructions = rates.instructions(matrices, attention_products);
        let cycles = instructions * board.core.cycles_per_instruction;
        let core_seconds = cycles / board.clock_hz / f64::from(board.cores);
        let weight_bytes = matrices.iter().map(|matrices| matrices.bytes).sum::<u64>() as f64 / tokens;
        let kv_bytes = kv_bytes as f64 * f64::from(positions) / f64::from(limits.context.max(1));
        let memory_seconds =
            seconds(weight_bytes, weight_bytes_per_second) + seconds(kv_bytes, kv_bytes_per_second);
        let bound = if memory_seconds > core_seconds { Bound::Memory } else { Bound::Core };
        let seconds = core_seconds.max(memory_seconds);
        Pass { attention_products, instructions, core_seconds, memory_seconds, seconds, bound }
    };
    let chunk = limits.prefill_chunk.min(limits.context);
    Time {
        kind: "predicted",
        q8_products: layers.q8_products + head.q8_products,
        float_products: layers.float_products + head.float_products,
        activations: layers.activations + head.activations,
        weight_bytes: weights.bytes(),
        instructions_each: rates,
        counted_on: board.core.counted_on.clone(),
        cycles_per_instruction: board.core.cycles_per_instruction,
        why: board.core.why.clone(),
        cores: board.cores,
        clock_hz: board.clock_hz,
        weight_bytes_per_second,
        kv_bytes_per_second,
        kv_bytes,
        first: pass(&[layers, head], 1, 1.0),
        last: pass(&[layers, head], limits.context, 1.0),
        // The head computes for the last token of a prompt alone.
        read: pass(&[layers], chunk.div_ceil(2), f64::from(chunk.max(1))),
    }
}
