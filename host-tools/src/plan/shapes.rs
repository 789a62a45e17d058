//! What fits a board: shapes of models that fill it, before one is trained.
//!
//! For each of a few purposes (a vocabulary and a context) the widest Llama-like model is looked for whose packed file
//! and arena fit, once without regard to speed and once with at least so many tokens a second. Depth follows width as
//! in small models that work well: one layer for every 32 columns, 4 to 32.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use sprat_format::{
    Activation, Config, Element, FeedForward, KvType, Layout, Limits, Norm, Pairing, Position, Role,
    TENSOR_BYTES,
};

use super::text::rate;
use super::{Report, Subject, plan};
use crate::boards::Board;
use crate::boards::counts::Weights;
use crate::pack::PackOptions;
use crate::table::{grouped, table};

/// What a model is for: its vocabulary and context.
#[derive(Clone, Copy, Debug)]
struct Purpose {
    name: &'static str,
    vocab_size: u32,
    context: u32,
}

const PURPOSES: [Purpose; 5] = [
    Purpose { name: "commands", vocab_size: 512, context: 128 },
    Purpose { name: "assistant of a domain", vocab_size: 1024, context: 256 },
    Purpose { name: "stories", vocab_size: 4096, context: 512 },
    Purpose { name: "general English", vocab_size: 16384, context: 512 },
    Purpose { name: "a Llama's vocabulary", vocab_size: 32000, context: 1024 },
];

/// Columns of q8 that share a scale.
const GROUP: u16 = 64;
/// Widths that are tried: multiples of this, which leaves no group and no pair of heads unfilled.
const WIDTH_STEP: u32 = 64;
/// The widest model that is proposed.
const MOST_WIDTH: u32 = 4096;
/// Bytes of a tokenizer for each token of the vocabulary: the default model's has 23 a token, larger vocabularies have
/// longer tokens.
const TOKENIZER_BYTES_A_TOKEN: u64 = 24;
/// Bytes of header, sections and metadata, generously.
const HEADER_BYTES: u64 = 1024;

/// A shape that fits.
#[derive(Clone, Debug, Serialize)]
pub struct Proposal {
    /// What it is for.
    pub purpose: &'static str,
    /// What was asked: `"largest"`, or `"fast"` for at least so many tokens a second.
    pub goal: &'static str,
    /// H.
    pub hidden_size: u32,
    /// L.
    pub layers: u32,
    /// F of the gated feed-forward block.
    pub ffn_size: u32,
    /// Heads of queries.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// V; the embedding is the head.
    pub vocab_size: u32,
    /// Tokens of context.
    pub context: u32,
    /// Weights.
    pub parameters: u64,
    /// Predicted tokens a second at the end of the context.
    pub tokens_per_second: f64,
    /// Its plan.
    pub plan: Report,
}

/// Shapes for a board.
#[derive(Clone, Debug, Serialize)]
pub struct Proposals {
    /// The board.
    pub board: String,
    /// The tokens a second that `"fast"` means.
    pub tokens_per_second: f64,
    /// The shapes that fit; a purpose without one is missing.
    pub shapes: Vec<Proposal>,
}

/// A Llama of a width for a purpose.
fn config(purpose: Purpose, hidden_size: u32, context: u32) -> Config {
    let head_dim = if hidden_size.is_multiple_of(128) && hidden_size >= 256 { 64 } else { 32 };
    let heads = hidden_size / head_dim;
    Config {
        vocab_size: purpose.vocab_size,
        hidden_size,
        layers: (hidden_size / 32).clamp(4, 32),
        heads,
        // Two queries share a key, for a cache that is half as large; the number of heads is even at every width.
        kv_heads: heads / 2,
        head_dim,
        ffn_size: (hidden_size * 8 / 3).next_multiple_of(GROUP.into()),
        max_positions: context,
        group: GROUP.into(),
        norm: Norm::RmsNorm,
        position: Position::Rotary { dims: head_dim, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(Activation::Silu),
        ..Config::PLAIN
    }
}

/// The tensors of such a model: role, type, rows and columns, each as often as there is one.
fn tensors(config: &Config) -> impl Iterator<Item = (Role, Element, u32, u32)> + Clone {
    use Role::*;
    const OUTSIDE: [Role; 3] = [TokenEmbedding, RotaryFrequencies, FinalNorm];
    const LAYER: [Role; 9] =
        [AttentionNorm, Query, Key, Value, AttentionOutput, FeedForwardNorm, Gate, Up, Down];
    let config = *config;
    let layers = (0..config.layers).flat_map(|_| LAYER);
    OUTSIDE.into_iter().chain(layers).map(move |role| {
        let (rows, cols) = role.shape(&config);
        let element = if role.is_matrix() { Element::Q8 { group: GROUP } } else { Element::F32 };
        (role, element, rows, cols)
    })
}

/// What would be planned for a shape that no one has trained.
fn subject(config: Config) -> (Subject, u64) {
    let align = |bytes: u64| bytes.next_multiple_of(sprat_format::ALIGNMENT);
    let layout = |element| match element {
        Element::Q8 { .. } => Layout::InterleavedBiased,
        _ => Layout::Rows,
    };
    let tensor_bytes = |(_, element, rows, cols): (Role, Element, u32, u32)| {
        let rows = layout(element).padded_rows(rows);
        align(element.value_bytes(rows, cols)) + align(element.scale_bytes(rows, cols)) + TENSOR_BYTES as u64
    };
    let tokenizer_bytes = u64::from(config.vocab_size) * TOKENIZER_BYTES_A_TOKEN;
    let file_bytes = HEADER_BYTES + tokenizer_bytes + tensors(&config).map(tensor_bytes).sum::<u64>();
    let parameters = tensors(&config).map(|(_, _, rows, cols)| u64::from(rows) * u64::from(cols)).sum();
    (Subject { config, weights: Weights::of(tensors(&config)), file_bytes, tokenizer_bytes }, parameters)
}

fn propose(
    purpose: Purpose,
    goal: &'static str,
    hidden_size: u32,
    context: u32,
    board: &Board,
) -> Result<Proposal> {
    let config = config(purpose, hidden_size, context);
    let (subject, parameters) = subject(config);
    let options = PackOptions { context: Some(context), kv: KvType::Q8, ..PackOptions::default() };
    let limits: Limits = options.limits(&config)?;
    let plan = plan(&subject, &limits, board)?;
    let Config { layers, ffn_size, heads, kv_heads, vocab_size, .. } = config;
    Ok(Proposal {
        purpose: purpose.name,
        goal,
        hidden_size,
        layers,
        ffn_size,
        heads,
        kv_heads,
        vocab_size,
        context,
        parameters,
        tokens_per_second: 1.0 / plan.time.last.seconds,
        plan,
    })
}

/// Shapes that fill a board: the largest for each purpose, and the largest with at least so many tokens a second.
/// A context takes the place of the purposes' own.
///
/// # Errors
/// A context that is impossible.
pub fn what_fits(board: &Board, context: Option<u32>, tokens_per_second: f64) -> Result<Proposals> {
    let mut shapes: Vec<Proposal> = Vec::new();
    for purpose in PURPOSES {
        let context = context.unwrap_or(purpose.context);
        // Files, arenas and times grow with the width, so the widest is found by halving.
        let widest = |goal, is_good: &dyn Fn(&Proposal) -> bool| -> Result<Option<Proposal>> {
            let (mut good, mut bad) = (0, MOST_WIDTH / WIDTH_STEP + 1);
            let mut best = None;
            while bad - good > 1 {
                let middle = good + (bad - good) / 2;
                let proposal = propose(purpose, goal, middle * WIDTH_STEP, context, board)?;
                if proposal.plan.fits && is_good(&proposal) {
                    (good, best) = (middle, Some(proposal));
                } else {
                    bad = middle;
                }
            }
            Ok(best)
        };
        let largest = widest("largest", &|_| true)?;
        let fast = widest("fast", &|proposal| proposal.tokens_per_second >= tokens_per_second)?;
        let differs = match (&largest, &fast) {
            (Some(largest), Some(fast)) => largest.hidden_size != fast.hidden_size,
            _ => true,
        };
        shapes.extend(largest);
        shapes.extend(fast.filter(|_| differs));
    }
    Ok(Proposals { board: board.name.clone(), tokens_per_second, shapes })
}

impl fmt::Display for Proposals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "models that fit {}: gated, tied, q8 in groups of {GROUP}, q8 cache", self.board)?;
        if self.shapes.is_empty() {
            return writeln!(f, "none of the shapes that were tried fits");
        }
        let head = [
            "purpose",
            "goal",
            "V",
            "context",
            "H",
            "L",
            "F",
            "heads",
            "kv",
            "weights",
            "file, bytes",
            "arena, bytes",
            "tokens/s",
        ];
        let row = |shape: &Proposal| {
            let goal = match shape.goal {
                "fast" => format!("{} tokens/s", self.tokens_per_second),
                goal => goal.to_owned(),
            };
            let numbers = [shape.vocab_size, shape.context, shape.hidden_size, shape.layers, shape.ffn_size];
            let heads = [shape.heads, shape.kv_heads];
            let totals = [shape.parameters, shape.plan.flash.model, shape.plan.ram.arena];
            let numbers = numbers.iter().chain(&heads).map(u32::to_string);
            let totals = totals.map(grouped).into_iter().chain([rate(shape.tokens_per_second)]);
            [shape.purpose.to_owned(), goal].into_iter().chain(numbers).chain(totals).collect()
        };
        let rows: Vec<Vec<String>> = self.shapes.iter().map(row).collect();
        write!(f, "{}", table(&head, &rows, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]))?;
        writeln!(f, "\ntokens a second are predicted, at the end of the context")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Shape;
    use crate::boards::Boards;

    #[test]
    fn proposals_fit_and_fill() {
        let boards = Boards::load(None).unwrap();
        for name in ["nrf52840", "rp2350", "stm32h743", "rp2040", "raspberry-pi-zero-2"] {
            let found = what_fits(boards.by_name(name).unwrap(), None, 10.0).unwrap();
            assert!(found.shapes.iter().any(|shape| shape.goal == "largest"), "{name}");
            for shape in &found.shapes {
                assert!(shape.plan.fits, "{name}: {shape:?}");
                assert!(shape.goal == "largest" || shape.tokens_per_second >= 10.0, "{name}: {shape:?}");
                if shape.goal == "largest" && shape.hidden_size < MOST_WIDTH {
                    let purpose = *PURPOSES.iter().find(|purpose| purpose.name == shape.purpose).unwrap();
                    let wider = shape.hidden_size + WIDTH_STEP;
                    let board = boards.by_name(name).unwrap();
                    let wider = propose(purpose, "largest", wider, shape.context, board).unwrap();
                    assert!(!wider.plan.fits, "{name}: {wider:?}");
                }
            }
            assert!(found.to_string().contains(found.shapes[0].purpose));
        }
    }

    /// The size of a file that is only proposed is that of one that is packed.
    #[test]
    fn the_size_proposed_is_the_size_packed() {
        let proposed = config(PURPOSES[1], 64, 256);
        let (subject, _) = subject(proposed);
        let Config { hidden_size, layers, ffn_size, vocab_size, heads, kv_heads, .. } = proposed;
        let shape = format!("{hidden_size}/{layers}/{ffn_size}/{vocab_size}/{heads}/{kv_heads}");
        let model = shape.parse::<Shape>().unwrap().model(&PackOptions::default()).unwrap();
        let packed = Subject::of(&model).unwrap();
        assert_eq!(packed.weights, subject.weights);
        let proposed = subject.file_bytes - subject.tokenizer_bytes;
        let difference = proposed.abs_diff(packed.file_bytes - packed.tokenizer_bytes);
        assert!(difference < 2048, "{proposed} proposed, {} packed", packed.file_bytes);
    }
}
