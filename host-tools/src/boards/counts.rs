//! What a core takes for a token, in instructions, by what the emulator counted.
//!
//! The counts are those of `tests/instruction-counts.md`, which `cargo xtask bench --save` writes and every run of
//! `cargo check-all` compares: a faster kernel makes the next plan faster, and no number is kept twice. What the counted
//! kernels leave of a token of the default model (norms, activations, quantizing, sampling) is spread over the inputs
//! and outputs of its matrices.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sprat_format::{Config, Element, Role};

/// The counts.
const TABLE: &str = include_str!("../../../tests/instruction-counts.md");

/// The columns of a group from which on the counts for larger groups are taken.
const LARGE_GROUP: u32 = 64;

/// What the model's matrices have to do for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matrices {
    /// Products with q8 weights, those that fill up groups included.
    pub q8_products: u64,
    /// Products with f16 or f32 weights.
    pub float_products: u64,
    /// Inputs and outputs.
    pub activations: u64,
    /// Bytes of their weights.
    pub bytes: u64,
}

/// What a token takes of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// The layers, and what else is between embedding and head.
    pub layers: Matrices,
    /// The output head.
    pub head: Matrices,
}

impl Matrices {
    fn add(&mut self, element: Element, rows: u32, cols: u32, bytes: u64) {
        // What fills up the last group is multiplied as well.
        let products = u64::from(rows) * u64::from(element.padded_cols(cols));
        match element {
            Element::Q8 { .. } => self.q8_products += products,
            Element::F16 | Element::F32 => self.float_products += products,
        }
        self.activations += u64::from(rows) + u64::from(cols);
        self.bytes += bytes;
    }
}

impl Weights {
    /// Of tensors: role, type, rows and columns.
    pub fn of(tensors: impl Iterator<Item = (Role, Element, u32, u32)> + Clone) -> Self {
        let mut weights = Self::default();
        let is_tied = tensors.clone().all(|(role, ..)| role != Role::Head);
        for (role, element, rows, cols) in tensors {
            let bytes = |rows| element.value_bytes(rows, cols) + element.scale_bytes(rows, cols);
            match role {
                Role::Head => weights.head.add(element, rows, cols, bytes(rows)),
                Role::TokenEmbedding if is_tied => weights.head.add(element, rows, cols, bytes(rows)),
                // Of a table, a token takes one row.
                Role::TokenEmbedding | Role::PositionEmbedding => weights.layers.bytes += bytes(1),
                role if role.is_matrix() => weights.layers.add(element, rows, cols, bytes(rows)),
                _ => weights.layers.bytes += bytes(rows),
            }
        }
        weights
    }

    /// All products of a token.
    pub const fn products(&self) -> u64 {
        let Self { layers, head } = self;
        layers.q8_products + layers.float_products + head.q8_products + head.float_products
    }

    /// All bytes that a token reads.
    pub const fn bytes(&self) -> u64 {
        self.layers.bytes + self.head.bytes
    }
}

/// Products of attention for a token that sees `positions`: scores and mixing, in windows where layers have them.
pub fn attention_products(config: &Config, positions: u32) -> u64 {
    let seen = |layer| u64::from(config.window_of(layer).map_or(positions, |window| window.min(positions)));
    let seen: u64 = (0..config.layers).map(seen).sum();
    2 * u64::from(config.query_size()) * seen
}

/// Instructions that a core takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// For a q8 product in groups of less than 64 columns, and of 64 or more.
    q8_product: [f64; 2],
    /// For a product with a half-precision weight.
    float_product: f64,
    /// For a product of attention with a q8 cache, softmax included: components of a head, heads at once, instructions.
    attention_product: Vec<(u32, u32, f64)>,
    /// For an input or output of a matrix: all the rest.
    activation: f64,
}

/// What a model's shape makes of a core's counts: instructions for one unit each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// A product with a q8 weight.
    pub q8_product: f64,
    /// A product with a half-precision weight; also taken for single precision, which is not counted.
    pub float_product: f64,
    /// A product of attention, softmax included; also taken for caches other than q8, which are not counted.
    pub attention_product: f64,
    /// An input or output of a matrix.
    pub activation: f64,
}

impl Rates {
    /// Instructions of a token.
    pub fn instructions(&self, matrices: &[Matrices], attention_products: u64) -> f64 {
        let of = |matrices: &Matrices| {
            matrices.q8_products as f64 * self.q8_product
                + matrices.float_products as f64 * self.float_product
                + matrices.activations as f64 * self.activation
        };
        matrices.iter().map(of).sum::<f64>() + attention_products as f64 * self.attention_product
    }
}

/// A row of the table: what was done, how often, and the instructions of all.
fn row(target: &str, is_work: impl Fn(&str) -> bool) -> Option<(f64, f64)> {
    TABLE.lines().find_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, on, work, units, total, ..] = cells[..] else { return None };
        (on == target && is_work(work)).then_some((units.parse().ok()?, total.parse().ok()?))
    })
}

/// The counted model, models/assistant: what a token takes of it, and how it attends.
const COUNTED: (Weights, u64) = {
    let layers = Matrices { q8_products: 737_280, float_products: 0, activations: 10_240, bytes: 0 };
    let head = Matrices { q8_products: 106_496, float_products: 0, activations: 960, bytes: 0 };
    (Weights { layers, head }, 1_280)
};

impl Counts {
    /// The counts of a target.
    ///
    /// # Errors
    /// A target that was not counted, with those that were.
    pub fn of(target: &str) -> Result<Self> {
        let each = |work: &str| {
            let (units, total) = row(target, |found| found.starts_with(work)).with_context(|| {
                let mut all: Vec<_> = TABLE
                    .lines()
                    .filter(|line| line.contains("MatmulQ8"))
                    .filter_map(|line| line.split('|').nth(1).map(str::trim))
                    .collect();
                all.dedup();
                format!(
                    "counted_on is {target:?}, for which tests/instruction-counts.md has no {work:?}; counted are {}",
                    all.join(", ")
                )
            })?;
            Ok::<_, anyhow::Error>(total / units)
        };
        let q8_product = [
            each("MatmulQ8 rows 64, cols 256, group 32, tokens 1")?,
            each("MatmulQ8 rows 64, cols 256, group 64, tokens 1")?,
        ];
        let attention = |&(head_dim, heads): &(u32, u32)| {
            let each = each(&format!("AttendQ8 positions 128, head_dim {head_dim}, heads {heads}"))?;
            Ok((head_dim, heads, each))
        };
        let attention_product =
            [(8, 2), (32, 1), (32, 2), (64, 2)].iter().map(attention).collect::<Result<_>>()?;
        let mut counts =
            Self { q8_product, float_product: each("MatmulF16")?, attention_product, activation: 0.0 };
        counts.activation = counts.rest(target)?;
        Ok(counts)
    }

    /// What the kernels leave of the default model's tokens, for each activation.
    fn rest(&self, target: &str) -> Result<f64> {
        let model = |what: &str| {
            row(target, |work| work == format!("default model, tokens {what}"))
                .with_context(|| format!("tests/instruction-counts.md has no tokens {what} of {target}"))
        };
        let ((read, _), (written, total)) = (model("read")?, model("written")?);
        // The last token that is written is not fed: N tokens are N - 1 passes.
        let passes = written - 1.0;
        let positions = read + (passes + 1.0) / 2.0;
        let (weights, attention) = COUNTED;
        let rates = self.rates_of(LARGE_GROUP, 32, 2);
        let kernels =
            rates.instructions(&[weights.layers, weights.head], (attention as f64 * positions) as u64);
        let activations = weights.layers.activations + weights.head.activations;
        let rest = (total / passes - kernels) / activations as f64;
        ensure!(
            rest > 0.0,
            "the counts of {target} contradict each other: the default model takes less than its kernels"
        );
        Ok(rest)
    }

    /// What a model's shape makes of them: the nearest counted group, and the nearest counted heads that are no larger.
    pub fn rates(&self, config: &Config) -> Rates {
        let heads = if config.heads > config.kv_heads { 2 } else { 1 };
        self.rates_of(config.group, config.head_dim, heads)
    }

    fn rates_of(&self, group: u32, head_dim: u32, heads: u32) -> Rates {
        let counted = self.attention_product.iter().filter(|(_, counted, _)| *counted == heads);
        // The list is in ascending order of components.
        let (smaller, larger): (Vec<&(u32, u32, f64)>, Vec<_>) =
            counted.partition(|(counted, ..)| *counted <= head_dim);
        let nearest = smaller.last().or(larger.first());
        Rates {
            q8_product: self.q8_product[usize::from(group >= LARGE_GROUP)],
            float_product: self.float_product,
            attention_product: nearest.map_or(0.0, |(.., each)| *each),
            activation: self.activation,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::boards::Boards;
    use crate::model::Model;
    use crate::plan::Subject;

    const TARGETS: [&str; 7] =
        ["Cortex-M4F", "Cortex-M7", "Cortex-M33", "Cortex-M55", "Cortex-M0+", "Cortex-A53", "Cortex-A76"];

    #[test]
    fn the_counted_model_is_the_default_model() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(sprat_board_support::memory::DEFAULT_MODEL);
        let model = Model::open_packed(&path).unwrap();
        let subject = Subject::of(&model).unwrap();
        let without_bytes = |matrices: Matrices| Matrices { bytes: 0, ..matrices };
        let Weights { layers, head } = subject.weights;
        assert_eq!(Weights { layers: without_bytes(layers), head: without_bytes(head) }, COUNTED.0);
        assert_eq!(attention_products(&subject.config, 1), COUNTED.1);
        assert_eq!((subject.config.group, subject.config.head_dim), (LARGE_GROUP, 32));
        // All of the file's tensors but what is beside the embedding, which is the head.
        assert!(subject.weights.bytes() < subject.file_bytes);
        assert!(subject.weights.bytes() > subject.file_bytes * 9 / 10);
    }

    /// Reading a prompt is counted apart from writing, from which `activation` comes: it checks the formula.
    #[test]
    fn the_formula_predicts_the_counts_of_reading() {
        for target in TARGETS {
            let counts = Counts::of(target).unwrap();
            let (read, total) = row(target, |work| work == "default model, tokens read").unwrap();
            let (weights, attention) = COUNTED;
            let rates = counts.rates_of(LARGE_GROUP, 32, 2);
            let layers =
                rates.instructions(&[weights.layers], (attention as f64 * (read + 1.0) / 2.0) as u64);
            let predicted = layers + rates.instructions(&[weights.head], 0) / read;
            let ratio = predicted / (total / read);
            println!("{target}: predicted {predicted:.0}, counted {:.0}, ratio {ratio:.3}", total / read);
            assert!((0.85..1.15).contains(&ratio), "{target}: {ratio}");
        }
    }

    #[test]
    fn the_nearest_counts_are_taken() {
        let counts = Counts::of("Cortex-M4F").unwrap();
        let attention = |head_dim, heads| counts.rates_of(64, head_dim, heads).attention_product;
        assert!(attention(8, 2) > attention(32, 2) && attention(32, 2) > attention(64, 2));
        assert_eq!((attention(4, 2), attention(128, 2)), (attention(8, 2), attention(64, 2)));
        assert_eq!((attention(8, 1), attention(64, 1)), (attention(32, 1), attention(32, 1)));
        assert!(counts.rates_of(32, 32, 1).q8_product > counts.rates_of(64, 32, 1).q8_product);
        let error = Counts::of("Z80").unwrap_err().to_string();
        assert!(error.contains("\"Z80\"") && error.contains("Cortex-M4F, Cortex-M7"), "{error}");
        assert!(Boards::load(None).unwrap().iter().all(|board| board.counts.activation > 0.0));
    }

    #[test]
    fn tables_cost_a_row_and_a_tied_embedding_is_the_head() {
        let q8 = Element::Q8 { group: 64 };
        let tied = [
            (Role::TokenEmbedding, q8, 100, 64),
            (Role::Query, Element::F16, 64, 64),
            (Role::FinalNorm, Element::F32, 1, 64),
        ];
        let weights = Weights::of(tied.into_iter());
        assert_eq!((weights.head.q8_products, weights.layers.float_products), (6400, 4096));
        assert_eq!((weights.head.bytes, weights.layers.bytes), (6400 + 200, 8192 + 256));
        let untied = tied.into_iter().chain([(Role::Head, q8, 100, 64)]);
        let weights = Weights::of(untied);
        assert_eq!((weights.head.q8_products, weights.layers.bytes), (6400, 8192 + 256 + 64 + 2));
        assert_eq!(weights.products(), 6400 + 4096);
    }

    #[test]
    fn a_window_bounds_the_attention() {
        let config = Config { layers: 3, heads: 2, head_dim: 8, window: 10, ..Config::PLAIN };
        assert_eq!(attention_products(&config, 100), 2 * 16 * 30);
        assert_eq!(attention_products(&config, 5), 2 * 16 * 15);
    }
}
