//! The model's blueprint: sizes and choices, from which every buffer and every step of the forward pass follow.
//!
//! A family of models (Llama, GPT-2, ...) is a combination of these choices, not a kind of its own: what the
//! runtime can run is what can be said here. Variants are only ever appended, because their position is their
//! number in the file.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// How activations are normalized before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Norm {
    /// x / rms(x) * weight (Zhang and Sennrich 2019).
    RmsNorm,
    /// (x - mean) / deviation * weight + bias (Ba et al. 2016).
    LayerNorm,
}

/// Which components of a head rotary embedding turns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pairing {
    /// Component i with i + dims/2, as in GPT-NeoX and Hugging Face's Llama.
    Half,
    /// Component 2i with 2i + 1, as in the RoFormer paper, GPT-J and llama2.c.
    Interleaved,
}

/// How a token's position enters the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// A learned vector for each position is added to the token's embedding.
    Learned,
    /// The first `dims` components of each query and key head are rotated (Su et al. 2021). The angles'
    /// frequencies are a tensor of the file, so that every scaling of them is the packer's affair.
    Rotary {
        /// Components that are rotated, even, at most `head_dim`.
        dims: u32,
        /// Which components form a pair.
        pairing: Pairing,
    },
}

/// The non-linearity of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// GELU by its tanh approximation (GPT-2's `gelu_new`).
    GeluTanh,
    /// GELU by the error function.
    GeluErf,
    /// max(x, 0).
    Relu,
}

/// The shape of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedForward {
    /// down(activation(up(x))).
    Plain(Activation),
    /// down(activation(gate(x)) * up(x)) (Shazeer 2020).
    Gated(Activation),
}

/// The numbers and choices that make a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Entries of the vocabulary, V.
    pub vocab_size: u32,
    /// Width of the residual stream, H.
    pub hidden_size: u32,
    /// Transformer blocks, L.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; a divisor of `heads`.
    pub kv_heads: u32,
    /// Components of one head.
    pub head_dim: u32,
    /// Width of the feed-forward block, F.
    pub ffn_size: u32,
    /// Positions that the model was trained for.
    pub max_positions: u32,
    /// Kind of every norm.
    pub norm: Norm,
    /// Added to the variance under the norm's root.
    pub norm_eps: f32,
    /// How positions enter.
    pub position: Position,
    /// Shape of the feed-forward blocks.
    pub feed_forward: FeedForward,
    /// Inputs that share a scale in every quantized tensor: 0 when none is quantized, else 4 to 256, a multiple
    /// of 4. Activations are quantized in the same groups, which is why a model has only one.
    pub group: u32,
}

impl Config {
    /// Width of all query heads together.
    pub const fn query_size(&self) -> u32 {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub const fn kv_size(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Columns of a row of activations as the quantized kernels see it: rounded up to whole groups.
    pub const fn padded(&self, cols: u32) -> u32 {
        if self.group == 0 { cols } else { cols.next_multiple_of(self.group) }
    }

    /// Components of each head that rotary embedding turns; 0 without rotary embedding.
    pub const fn rotary_dims(&self) -> u32 {
        match self.position {
            Position::Learned => 0,
            Position::Rotary { dims, .. } => dims,
        }
    }

    /// Checks that the numbers describe a possible model, so that no later size computation overflows.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        macro_rules! in_range {
            ($field:literal, $found:expr, $least:expr, $most:expr) => {
                let (found, least, most) = ($found as u64, $least as u64, $most as u64);
                if found < least || found > most {
                    return Err(ConfigError { field: $field, found, least, most });
                }
            };
        }
        in_range!("vocab_size", self.vocab_size, 1, 1 << 24);
        in_range!("hidden_size", self.hidden_size, 1, 1 << 16);
        in_range!("layers", self.layers, 1, 1 << 10);
        in_range!("heads", self.heads, 1, 1 << 10);
        in_range!("kv_heads", self.kv_heads, 1, self.heads);
        in_range!("heads modulo kv_heads", self.heads % self.kv_heads, 0, 0);
        in_range!("head_dim", self.head_dim, 1, 1 << 10);
        in_range!("heads * head_dim", self.query_size(), 1, 1 << 16);
        in_range!("ffn_size", self.ffn_size, 1, 1 << 18);
        in_range!("max_positions", self.max_positions, 1, 1 << 24);
        in_range!("group", self.group, 0, 256);
        in_range!("group modulo 4", self.group % 4, 0, 0);
        if let Position::Rotary { dims, .. } = self.position {
            in_range!("rotary dims", dims, 2, self.head_dim);
            in_range!("rotary dims modulo 2", dims % 2, 0, 0);
        }
        if !(self.norm_eps >= 0.0 && self.norm_eps <= 1.0) {
            return Err(ConfigError {
                field: "norm_eps (bits)",
                found: self.norm_eps.to_bits() as u64,
                least: 0,
                most: 1,
            });
        }
        Ok(())
    }
}

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvType {
    /// Signed bytes with one `f16` scale for each token and head.
    Q8,
    /// Half precision.
    F16,
    /// Single precision, for reference.
    F32,
}

/// The bounds from which the memory plan follows. Packed as what the model was packed for; a caller may run
/// the same file with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Tokens that the key-value cache holds.
    pub context: u32,
    /// Tokens that one pass over the weights processes while reading a prompt.
    pub prefill_chunk: u32,
    /// Bytes of text that can be tokenized at once.
    pub prompt_bytes: u32,
    /// How keys and values are kept.
    pub kv: KvType,
    /// Rows of the output head, a multiple of 4, whose logits are in memory at once; 0 for the whole vocabulary. In
    /// the file it lies at the end of `META`, where readers of version 1.0 ignore it.
    #[serde(skip)]
    pub logits_rows: u32,
}

/// What the file says of its model; the `META` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta<'a> {
    /// The blueprint.
    pub config: Config,
    /// What the model was packed for.
    pub limits: Limits,
    /// The model's name.
    pub name: &'a str,
    /// Kind of checkpoint that it came from.
    pub source: &'a str,
    /// Program and version that packed it.
    pub tool: &'a str,
    /// Chat template in its source form (Jinja), empty when there is none.
    pub chat_template: &'a str,
    /// The token that begins a text, where the model knows one.
    pub bos: Option<u32>,
    /// Whether a prompt begins with `bos`.
    pub add_bos: bool,
    /// The tokens that end a generation.
    pub end_tokens: Vec<u32, 8>,
}

impl<'a> Meta<'a> {
    /// Reads a `META` section; bytes behind the known fields are ignored, and those that version 1.0 does not have
    /// may be missing.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (mut meta, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        if !rest.is_empty() {
            meta.limits.logits_rows = postcard::take_from_bytes(rest).ok()?.0;
        }
        Some(meta)
    }

    /// Writes the section's bytes into `buffer` and returns the part used; `None` when it is too small.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        postcard::to_slice(&(self, self.limits.logits_rows), buffer).ok().map(|used| &*used)
    }

    /// Checks the special tokens against the vocabulary.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.config.validate()?;
        let most = u64::from(self.config.vocab_size) - 1;
        let out_of_range = |field, found: u32| ConfigError { field, found: found.into(), least: 0, most };
        let known = |id: u32| u64::from(id) <= most;
        match self.bos {
            Some(id) if !known(id) => return Err(out_of_range("bos", id)),
            None if self.add_bos => {
                return Err(ConfigError { field: "add_bos without bos", found: 1, least: 0, most: 0 });
            }
            _ => {}
        }
        match self.end_tokens.iter().find(|&&id| !known(id)) {
            Some(&id) => Err(out_of_range("end token", id)),
            None => Ok(()),
        }
    }
}
