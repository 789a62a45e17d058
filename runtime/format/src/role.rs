//! What tensors a model has: each one's role, shape and presence follow from the configuration.
//!
//! A tensor is known by its role and layer, not by a name, so that a device finds it by arithmetic.

use crate::{Config, FeedForward, Norm, Position};

/// What a tensor is for. The numbers are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Role {
    /// V x H: a row for each token; also the output head when there is no [`Role::Head`].
    TokenEmbedding = 0,
    /// max_positions x H: a row for each position.
    PositionEmbedding = 1,
    /// 1 x dims/2: radians a position, for each rotated pair.
    RotaryFrequencies = 2,
    /// 1 x H: weight of the norm before the head.
    FinalNorm = 3,
    /// 1 x H: bias of the norm before the head.
    FinalNormBias = 4,
    /// V x H: the output head, when it is not the token embedding.
    Head = 5,
    /// 1 x V: bias of the head.
    HeadBias = 6,
    /// 1 x H: weight of the norm before attention.
    AttentionNorm = 16,
    /// 1 x H: bias of the norm before attention.
    AttentionNormBias = 17,
    /// heads*head_dim x H: queries.
    Query = 18,
    /// 1 x heads*head_dim.
    QueryBias = 19,
    /// kv_heads*head_dim x H: keys.
    Key = 20,
    /// 1 x kv_heads*head_dim.
    KeyBias = 21,
    /// kv_heads*head_dim x H: values.
    Value = 22,
    /// 1 x kv_heads*head_dim.
    ValueBias = 23,
    /// H x heads*head_dim: mixes the heads.
    AttentionOutput = 24,
    /// 1 x H.
    AttentionOutputBias = 25,
    /// 1 x H: weight of the norm before the feed-forward block.
    FeedForwardNorm = 26,
    /// 1 x H: bias of the norm before the feed-forward block.
    FeedForwardNormBias = 27,
    /// F x H: the gate of a gated feed-forward block.
    Gate = 28,
    /// 1 x F.
    GateBias = 29,
    /// F x H: the keys of the feed-forward memory.
    Up = 30,
    /// 1 x F.
    UpBias = 31,
    /// H x F: the values of the feed-forward memory.
    Down = 32,
    /// 1 x H.
    DownBias = 33,
}

/// Whether a model must have a tensor, may have it, or cannot have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Needed,
    Optional,
    Absent,
}

const fn needed_if(condition: bool) -> Presence {
    if condition { Presence::Needed } else { Presence::Absent }
}

const fn optional_if(condition: bool) -> Presence {
    if condition { Presence::Optional } else { Presence::Absent }
}

impl Role {
    /// All roles in ascending order.
    pub const ALL: [Self; 25] = {
        use Role::*;
        [
            TokenEmbedding,
            PositionEmbedding,
            RotaryFrequencies,
            FinalNorm,
            FinalNormBias,
            Head,
            HeadBias,
            AttentionNorm,
            AttentionNormBias,
            Query,
            QueryBias,
            Key,
            KeyBias,
            Value,
            ValueBias,
            AttentionOutput,
            AttentionOutputBias,
            FeedForwardNorm,
            FeedForwardNormBias,
            Gate,
            GateBias,
            Up,
            UpBias,
            Down,
            DownBias,
        ]
    };

    /// One more than the largest number of a role.
    pub(crate) const COUNT: usize = 34;

    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|&role| role as u16 == number)
    }

    /// Whether every layer has this tensor (otherwise it occurs once).
    pub const fn in_layers(self) -> bool {
        self as u16 >= Self::AttentionNorm as u16
    }

    /// Whether this is a matrix that multiplies activations or is looked up by row, and may be quantized.
    /// The others are vectors and always `f32`.
    pub const fn is_matrix(self) -> bool {
        use Role::*;
        matches!(
            self,
            TokenEmbedding
                | PositionEmbedding
                | Head
                | Query
                | Key
                | Value
                | AttentionOutput
                | Gate
                | Up
                | Down
        )
    }

    /// Rows and columns in a model of this configuration.
    pub const fn shape(self, config: &Config) -> (u32, u32) {
        use Role::*;
        let (hidden, query, kv, ffn) =
            (config.hidden_size, config.query_size(), config.kv_size(), config.ffn_size);
        match self {
            TokenEmbedding | Head => (config.vocab_size, hidden),
            PositionEmbedding => (config.max_positions, hidden),
            RotaryFrequencies => (1, config.rotary_dims() / 2),
            HeadBias => (1, config.vocab_size),
            Query => (query, hidden),
            Key | Value => (kv, hidden),
            AttentionOutput => (hidden, query),
            Gate | Up => (ffn, hidden),
            Down => (hidden, ffn),
            QueryBias => (1, query),
            KeyBias | ValueBias => (1, kv),
            GateBias | UpBias => (1, ffn),
            FinalNorm | FinalNormBias | AttentionNorm | AttentionNormBias | AttentionOutputBias
            | FeedForwardNorm | FeedForwardNormBias | DownBias => (1, hidden),
        }
    }

    pub(crate) const fn presence(self, config: &Config) -> Presence {
        use Role::*;
        let layer_norm = matches!(config.norm, Norm::LayerNorm);
        let gated = matches!(config.feed_forward, FeedForward::Gated(_));
        match self {
            TokenEmbedding | FinalNorm | AttentionNorm | Query | Key | Value | AttentionOutput
            | FeedForwardNorm | Up | Down => Presence::Needed,
            PositionEmbedding => needed_if(matches!(config.position, Position::Learned)),
            RotaryFrequencies => needed_if(matches!(config.position, Position::Rotary { .. })),
            FinalNormBias | AttentionNormBias | FeedForwardNormBias => optional_if(layer_norm),
            Gate => needed_if(gated),
            GateBias => optional_if(gated),
            Head | HeadBias | QueryBias | KeyBias | ValueBias | AttentionOutputBias | UpBias | DownBias => {
                Presence::Optional
            }
        }
    }

    /// Whether a model of this configuration cannot do without the tensor.
    pub fn is_needed(self, config: &Config) -> bool {
        self.presence(config) == Presence::Needed
    }

    /// The role's name, as error messages and listings give it.
    pub const fn name(self) -> &'static str {
        use Role::*;
        match self {
            TokenEmbedding => "token_embedding",
            PositionEmbedding => "position_embedding",
            RotaryFrequencies => "rotary_frequencies",
            FinalNorm => "final_norm",
            FinalNormBias => "final_norm_bias",
            Head => "head",
            HeadBias => "head_bias",
            AttentionNorm => "attention_norm",
            AttentionNormBias => "attention_norm_bias",
            Query => "query",
            QueryBias => "query_bias",
            Key => "key",
            KeyBias => "key_bias",
            Value => "value",
            ValueBias => "value_bias",
            AttentionOutput => "attention_output",
            AttentionOutputBias => "attention_output_bias",
            FeedForwardNorm => "feed_forward_norm",
            FeedForwardNormBias => "feed_forward_norm_bias",
            Gate => "gate",
            GateBias => "gate_bias",
            Up => "up",
            UpBias => "up_bias",
            Down => "down",
            DownBias => "down_bias",
        }
    }
}
