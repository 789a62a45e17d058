//! Shapes of models, filled with random weights: speed depends on the shape alone, so no file is needed.

use std::fmt;
use std::io::Cursor;
use std::ops::Range;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use sprat_format::{
    Activation, Config, Element, FeedForward, Layout, Meta, Norm, Pairing, Position, Role, TensorSpec,
};

use crate::fixture::Numbers;
use crate::map::PageBuffer;
use crate::model::Model;
use crate::pack::{self, PackOptions};

/// Tokens of context that a shape is made for.
pub const CONTEXT: u32 = 2048;
/// Components of a head when the number of heads is not said, or less to divide the width.
const HEAD_DIM: u32 = 64;

/// Shapes of known models by name: numbers as in [`Shape::from_str`].
const KNOWN: [(&str, &str); 3] = [
    ("stories15m", "288/6/768/32000/6/6"),
    ("42m", "512/8/1376/32000/8/8"),
    ("135m", "576/30/1536/49152/9/3"),
];

/// What kind of model a shape is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RMS norms, rotary positions, a gated feed-forward block, no biases; the embedding is the head.
    Llama,
    /// Layer norms, learned positions, a plain feed-forward block; the embedding is the head.
    Gpt2,
}

/// The numbers that a model's speed depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The kind of model.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Layers.
    pub layers: u32,
    /// Width of the feed-forward block.
    pub ffn_size: u32,
    /// Tokens of the vocabulary.
    pub vocab_size: u32,
    /// Heads of the queries.
    pub heads: u32,
    /// Heads of the keys and values.
    pub kv_heads: u32,
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    /// A name, or `hidden/layers/feed-forward/vocabulary`, then `/heads` and `/kv heads` if it is not heads of 64
    /// components (or fewer) and as many for keys and values. `gpt2:` before the numbers makes it a GPT-2.
    fn from_str(text: &str) -> Result<Self> {
        let known = KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let numbers = known.map_or(text, |(_, numbers)| *numbers);
        let (family, numbers) = match numbers.strip_prefix("gpt2:") {
            Some(numbers) => (Family::Gpt2, numbers),
            None => (Family::Llama, numbers),
        };
        let names: Vec<_> = KNOWN.iter().map(|(name, _)| *name).collect();
        let expected = || {
            format!(
                "the shape {text:?} is neither one of {} nor hidden/layers/feed-forward/vocabulary[/heads[/kv heads]]",
                names.join(", ")
            )
        };
        let parsed = numbers.split('/').map(u32::from_str).collect::<Result<Vec<_>, _>>();
        let parsed = parsed.with_context(expected)?;
        let (hidden_size, layers, ffn_size, vocab_size, rest) = match &parsed[..] {
            &[hidden, layers, ffn, vocab, ref rest @ ..] if rest.len() <= 2 => {
                (hidden, layers, ffn, vocab, rest)
            }
            _ => bail!(expected()),
        };
        let heads = rest.first().copied().unwrap_or_else(|| {
            let fits = |size: &u32| size.is_multiple_of(2) && hidden_size.is_multiple_of(*size);
            hidden_size / (2..=HEAD_DIM).rev().find(fits).unwrap_or(hidden_size.max(1))
        });
        let kv_heads = rest.get(1).copied().unwrap_or(heads);
        ensure!(heads > 0 && hidden_size.is_multiple_of(heads), "{heads} heads do not divide {hidden_size}");
        let shape = Self { family, hidden_size, layers, ffn_size, vocab_size, heads, kv_heads };
        shape.config(0).validate().map_err(|error| anyhow::anyhow!("the shape {text:?}: {error}"))?;
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, hidden_size, layers, ffn_size, vocab_size, heads, kv_heads } = self;
        let family = if *family == Family::Gpt2 { "gpt2:" } else { "" };
        write!(f, "{family}{hidden_size}/{layers}/{ffn_size}/{vocab_size}/{heads}/{kv_heads}")
    }
}

impl Shape {
    /// The blueprint, with so many columns in a group of q8.
    pub fn config(&self, group: u32) -> Config {
        let head_dim = self.hidden_size / self.heads;
        let (norm, position, feed_forward) = match self.family {
            Family::Llama => (
                Norm::RmsNorm,
                Position::Rotary { dims: head_dim, pairing: Pairing::Half },
                FeedForward::Gated(Activation::Silu),
            ),
            Family::Gpt2 => (Norm::LayerNorm, Position::Learned, FeedForward::Plain(Activation::GeluTanh)),
        };
        Config {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim,
            ffn_size: self.ffn_size,
            max_positions: CONTEXT,
            norm,
            norm_eps: 1e-5,
            position,
            feed_forward,
            group,
            ..Config::PLAIN
        }
    }

    /// A model of this shape and random weights, packed with these options.
    ///
    /// # Errors
    /// Options that are impossible for the shape; no memory.
    pub fn model(&self, options: &PackOptions) -> Result<Model> {
        let config = self.config(options.group.into());
        let limits = options.limits(&config)?;
        let specs = specs(&config, options);
        let name = self.to_string();
        let meta = Meta {
            config,
            limits,
            name: &name,
            source: "random weights",
            tool: pack::TOOL,
            recipe: "",
            bos: None,
            add_bos: false,
            end_tokens: std::iter::empty().collect(),
        };
        let mut numbers = Numbers(1);
        let mut bytes = Vec::new();
        pack::write_tensors(&meta, &[], &[], &specs, Cursor::new(&mut bytes), |tensors, spec| {
            let (weights, cols) = (weights(spec, &mut numbers), spec.cols as usize);
            let read = |rows: Range<usize>| Ok(weights[rows.start * cols..rows.end * cols].to_vec());
            tensors.rows(spec, spec.role.name(), read, |_| ())
        })?;
        Ok(Model::from_memory(PageBuffer::copy_of(&bytes)?, &name))
    }
}

/// The tensors of a model that needs no other.
fn specs(config: &Config, options: &PackOptions) -> Vec<TensorSpec> {
    let layers = (0..config.layers as u16).map(Some).chain([None]);
    let tensors = layers.flat_map(|layer| {
        let roles = Role::ALL.into_iter().filter(move |role| role.in_layers() == layer.is_some());
        roles.filter(|role| role.is_needed(config)).map(move |role| (role, layer))
    });
    let spec = |(role, layer): (Role, Option<u16>)| {
        let (rows, cols) = role.shape(config);
        let element = options.element(role);
        let quantized = matches!(element, Element::Q8 { .. });
        let layout = if quantized { options.layout } else { Layout::Rows };
        TensorSpec { role, layer, element, layout, rows, cols }
    };
    tensors.map(spec).collect()
}

/// Weights of a size that keeps activations near one.
fn weights(spec: &TensorSpec, numbers: &mut Numbers) -> Vec<f32> {
    let count = (spec.rows * spec.cols) as usize;
    match spec.role {
        Role::RotaryFrequencies => {
            (0..count).map(|pair| 1e4f32.powf(-(pair as f32) / count as f32)).collect()
        }
        role if role.is_matrix() => {
            let scale = (3.0 / spec.cols as f32).sqrt();
            (0..count).map(|_| numbers.weight(scale)).collect()
        }
        _ => numbers.norm(count),
    }
}

#[cfg(test)]
mod tests {
    use sprat_format::KvType;

    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        let shape = |text: &str| Shape::from_str(text).map(|shape| shape.to_string());
        assert_eq!(shape("stories15M").unwrap(), "288/6/768/32000/6/6");
        assert_eq!(shape("135m").unwrap(), "576/30/1536/49152/9/3");
        assert_eq!(shape("288/6/768/32000").unwrap(), "288/6/768/32000/6/6");
        assert_eq!(shape("512/8/1376/32000").unwrap(), "512/8/1376/32000/8/8");
        assert_eq!(shape("gpt2:48/2/192/100/4").unwrap(), "gpt2:48/2/192/100/4/4");
        for (text, part) in [
            ("huge", "neither one of stories15m, 42m, 135m nor"),
            ("1/2/3", "neither"),
            ("64/2/128/100/5", "5 heads do not divide 64"),
            ("64/2/128/100/4/3", "kv_heads"),
            ("64/0/128/100", "layers"),
        ] {
            let message = format!("{:#}", shape(text).unwrap_err());
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_shape_becomes_a_model_of_that_shape() {
        let options = PackOptions { kv: KvType::F16, ..PackOptions::default() };
        for text in ["48/2/100/70/4/2", "gpt2:48/2/100/70/4"] {
            let shape = Shape::from_str(text).unwrap();
            let model = shape.model(&options).unwrap();
            let image = model.image().unwrap();
            assert_eq!((*image.config(), image.limits().kv), (shape.config(64), KvType::F16));
        }
    }
}
