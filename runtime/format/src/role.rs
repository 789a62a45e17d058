//! What tensors a model has: each one's role, shape and presence follow from the configuration.
//!
//! A tensor is known by its role and layer, not by a name, so that a device finds it by arithmetic.

use crate::{Block, Config, FeedForward, Norm, NormPlace, Position, QkNorm};

/// What a tensor is for. The numbers are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Role {
    /// V x E: a row for each token; also the output head when there is no [`Role::Head`].
    TokenEmbedding = 0,
    /// max_positions x H: a row for each position.
    PositionEmbedding = 1,
    /// 1 x dims/2: radians a position, for each rotated pair.
    RotaryFrequencies = 2,
    /// 1 x H: weight of the norm before the head.
    FinalNorm = 3,
    /// 1 x H: bias of the norm before the head.
    FinalNormBias = 4,
    /// V x E: the output head, when it is not the token embedding.
    Head = 5,
    /// 1 x V: bias of the head.
    HeadBias = 6,
    /// 1 x E: weight of the norm of a token's embedding.
    EmbeddingNorm = 7,
    /// 1 x E: its bias.
    EmbeddingNormBias = 8,
    /// H x E: takes a token's embedding to the residual stream.
    EmbeddingProjection = 9,
    /// E x H: takes the residual stream to what the head multiplies.
    HeadProjection = 10,
    /// 1 x dims/2: the frequencies of layers with a window, when they are not [`Role::RotaryFrequencies`].
    WindowFrequencies = 11,
    /// 1 x heads: by how much a score falls with each position of distance.
    AlibiSlopes = 12,
    /// 1 x H: weight of the norm before attention, or on the sum after it.
    AttentionNorm = 16,
    /// 1 x H: its bias.
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
    /// 1 x H: weight of the norm before the feed-forward block, or on the sum after it.
    FeedForwardNorm = 26,
    /// 1 x H: its bias.
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
    /// 1 x head_dim, or heads*head_dim where it is not shared: weight of the queries' norm.
    QueryNorm = 34,
    /// As wide: its bias.
    QueryNormBias = 35,
    /// 1 x head_dim, or kv_heads*head_dim: weight of the keys' norm.
    KeyNorm = 36,
    /// As wide: its bias.
    KeyNormBias = 37,
    /// 1 x H: weight of the norm on attention's output.
    AttentionOutputNorm = 38,
    /// 1 x H: its bias.
    AttentionOutputNormBias = 39,
    /// 1 x H: weight of the norm on the feed-forward block's output.
    FeedForwardOutputNorm = 40,
    /// 1 x H: its bias.
    FeedForwardOutputNormBias = 41,
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
    pub const ALL: [Self; 39] = {
        use Role::*;
        [
            TokenEmbedding,
            PositionEmbedding,
            RotaryFrequencies,
            FinalNorm,
            FinalNormBias,
            Head,
            HeadBias,
            EmbeddingNorm,
            EmbeddingNormBias,
            EmbeddingProjection,
            HeadProjection,
            WindowFrequencies,
            AlibiSlopes,
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
            QueryNorm,
            QueryNormBias,
            KeyNorm,
            KeyNormBias,
            AttentionOutputNorm,
            AttentionOutputNormBias,
            FeedForwardOutputNorm,
            FeedForwardOutputNormBias,
        ]
    };

    /// One more than the largest number of a role.
    pub(crate) const COUNT: usize = 42;

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
                | EmbeddingProjection
                | HeadProjection
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
        let embedding = config.embedding_width();
        let shared = matches!(config.qk_norm, QkNorm::SharedByHeads);
        match self {
            TokenEmbedding | Head => (config.vocab_size, embedding),
            PositionEmbedding => (config.max_positions, hidden),
            RotaryFrequencies | WindowFrequencies => (1, config.rotary_dims() / 2),
            AlibiSlopes => (1, config.heads),
            HeadBias => (1, config.vocab_size),
            EmbeddingNorm | EmbeddingNormBias => (1, embedding),
            EmbeddingProjection => (hidden, embedding),
            HeadProjection => (embedding, hidden),
            Query => (query, hidden),
            Key | Value => (kv, hidden),
            AttentionOutput => (hidden, query),
            Gate | Up => (ffn, hidden),
            Down => (hidden, ffn),
            QueryBias => (1, query),
            KeyBias | ValueBias => (1, kv),
            GateBias | UpBias => (1, ffn),
            QueryNorm | QueryNormBias | KeyNorm | KeyNormBias if shared => (1, config.head_dim),
            QueryNorm | QueryNormBias => (1, query),
            KeyNorm | KeyNormBias => (1, kv),
            FinalNorm
            | FinalNormBias
            | AttentionNorm
            | AttentionNormBias
            | AttentionOutputBias
            | AttentionOutputNorm
            | AttentionOutputNormBias
            | FeedForwardNorm
            | FeedForwardNormBias
            | FeedForwardOutputNorm
            | FeedForwardOutputNormBias
            | DownBias => (1, hidden),
        }
    }

    pub(crate) const fn presence(self, config: &Config) -> Presence {
        use Role::*;
        let layer_norm = matches!(config.norm, Norm::LayerNorm);
        let gated = matches!(config.feed_forward, FeedForward::Gated(_));
        let rotary = matches!(config.position, Position::Rotary { .. });
        // The norm that a block has before it or on its sum, and the one on its output.
        let first = !matches!(config.norm_place, NormPlace::Output);
        let output = matches!(config.norm_place, NormPlace::Output | NormPlace::BeforeAndOutput);
        let second = first && !matches!(config.block, Block::Parallel);
        let qk_norm = !matches!(config.qk_norm, QkNorm::None);
        match self {
            TokenEmbedding | Query | Key | Value | AttentionOutput | Up | Down => Presence::Needed,
            PositionEmbedding => needed_if(matches!(config.position, Position::Learned)),
            RotaryFrequencies => needed_if(rotary),
            WindowFrequencies => optional_if(rotary && config.window != 0),
            AlibiSlopes => needed_if(matches!(config.position, Position::Alibi)),
            EmbeddingProjection | HeadProjection => needed_if(config.embedding_size != 0),
            FinalNorm => needed_if(config.final_norm),
            EmbeddingNorm => needed_if(config.embedding_norm),
            AttentionNorm => needed_if(first),
            FeedForwardNorm => needed_if(second),
            AttentionOutputNorm | FeedForwardOutputNorm => needed_if(output),
            QueryNorm | KeyNorm => needed_if(qk_norm),
            FinalNormBias => optional_if(layer_norm && config.final_norm),
            EmbeddingNormBias => optional_if(layer_norm && config.embedding_norm),
            AttentionNormBias => optional_if(layer_norm && first),
            FeedForwardNormBias => optional_if(layer_norm && second),
            AttentionOutputNormBias | FeedForwardOutputNormBias => optional_if(layer_norm && output),
            QueryNormBias | KeyNormBias => optional_if(layer_norm && qk_norm),
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

    /// Whether a model of this configuration may have the tensor.
    pub fn is_allowed(self, config: &Config) -> bool {
        self.presence(config) != Presence::Absent
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
            EmbeddingNorm => "embedding_norm",
            EmbeddingNormBias => "embedding_norm_bias",
            EmbeddingProjection => "embedding_projection",
            HeadProjection => "head_projection",
            WindowFrequencies => "window_frequencies",
            AlibiSlopes => "alibi_slopes",
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
            QueryNorm => "query_norm",
            QueryNormBias => "query_norm_bias",
            KeyNorm => "key_norm",
            KeyNormBias => "key_norm_bias",
            AttentionOutputNorm => "attention_output_norm",
            AttentionOutputNormBias => "attention_output_norm_bias",
            FeedForwardOutputNorm => "feed_forward_output_norm",
            FeedForwardOutputNormBias => "feed_forward_output_norm_bias",
        }
    }
}
