//! The numbers that a model's tensors follow from, and three sizes of them.

use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// A Llama whose output shares the embedding's matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Elements of the residual stream.
    pub width: usize,
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Elements between the feed-forward matrices.
    pub feed_forward: usize,
    /// Tokens, special ones included. A corpus too small to fill it makes fewer.
    pub vocabulary: usize,
    /// Positions that the model is trained for.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Of the norms.
    pub epsilon: f32,
}

/// Sizes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Preset {
    /// 263,872 parameters: a few commands, on the smallest boards.
    K260,
    /// 869,760 parameters: an assistant for a megabyte of flash.
    #[default]
    M1,
    /// 3.1 million parameters, for 4 MB of flash.
    M3,
}

impl Preset {
    /// Every preset with its name.
    pub const ALL: [(&'static str, Self); 3] = [("260k", Self::K260), ("1m", Self::M1), ("3m", Self::M3)];

    /// Its numbers.
    pub const fn shape(self) -> Shape {
        let (width, layers, heads, head_width, feed_forward, vocabulary, context) = match self {
            Self::K260 => (64, 5, 4, 16, 176, 512, 256),
            Self::M1 => (128, 5, 4, 32, 256, 1024, 256),
            Self::M3 => (192, 7, 6, 32, 512, 2048, 512),
        };
        Shape {
            width,
            layers,
            heads,
            kv_heads: 2,
            head_width,
            feed_forward,
            vocabulary,
            context,
            rope_theta: 10_000.0,
            epsilon: 1e-5,
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, preset)| preset).ok_or_else(|| "expected 260k, 1m or 3m".to_owned())
    }
}

impl Shape {
    /// Elements of all queries.
    pub const fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Elements of all keys, or of all values.
    pub const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// Parameters of the model.
    pub const fn parameters(&self) -> usize {
        let attention = self.width * (2 * self.query_width() + 2 * self.kv_width());
        let layer = attention + 3 * self.width * self.feed_forward + 2 * self.width;
        self.vocabulary * self.width + self.layers * layer + self.width
    }

    /// Refuses what no model can have.
    ///
    /// # Errors
    /// A number is 0, heads cannot be rotated or grouped, or the vocabulary is beyond the tokens' 16 bits.
    pub fn check(&self) -> Result<()> {
        let numbers = [
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv-heads", self.kv_heads),
            ("head-width", self.head_width),
            ("feed-forward", self.feed_forward),
            ("vocabulary", self.vocabulary),
        ];
        if let Some((name, _)) = numbers.into_iter().find(|(_, number)| *number == 0) {
            bail!("{name} is 0; expected at least 1");
        }
        if self.context < 2 {
            bail!("a context of {} tokens; expected at least 2: one to read, one to write", self.context);
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            bail!("{} heads for {} kv-heads; expected a multiple", self.heads, self.kv_heads);
        }
        if !self.head_width.is_multiple_of(2) {
            bail!("a head-width of {}; expected an even number, as pairs are rotated", self.head_width);
        }
        if self.vocabulary > 1 << 16 {
            bail!("a vocabulary of {}; expected at most 65536", self.vocabulary);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_as_large_as_they_say() {
        for (name, preset) in Preset::ALL {
            preset.shape().check().unwrap();
            assert_eq!(name.parse(), Ok(preset));
        }
        assert_eq!(Preset::K260.shape().parameters(), 263_872);
        assert_eq!(Preset::M1.shape().parameters(), 869_760);
        assert_eq!(Preset::M3.shape().parameters() / 10_000, 314);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let check = |change: fn(&mut Shape)| {
            let mut shape = Preset::M1.shape();
            change(&mut shape);
            shape.check().unwrap_err().to_string()
        };
        assert!(check(|shape| shape.layers = 0).contains("layers is 0"));
        assert!(check(|shape| shape.kv_heads = 3).contains("4 heads for 3"));
        assert!(check(|shape| shape.head_width = 31).contains("even"));
        assert!(check(|shape| shape.vocabulary = 65_537).contains("65536"));
        assert!(check(|shape| shape.context = 1).contains("at least 2"));
    }
}
