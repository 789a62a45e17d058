//! The model's blueprint: sizes and choices, from which every buffer and every step of the forward pass follow.
//!
//! A family of models (Llama, GPT-2, ...) is a combination of these choices, not a kind of its own: what the
//! runtime can run is what can be said here. Variants are only ever appended, because their position is their
//! number in the file.

use serde::{Deserialize, Serialize};

mod validate;

/// How activations are normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Norm {
    /// x / rms(x) * weight (Zhang and Sennrich 2019).
    RmsNorm,
    /// (x - mean) / deviation * weight + bias (Ba et al. 2016).
    LayerNorm,
}

/// Where the norms of a block stand. x is the residual stream, f the block (attention or feed-forward).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NormPlace {
    /// Before the block: x + f(norm(x)) (GPT-2, Llama).
    Before,
    /// On the block's output: x + norm(f(x)) (OLMo 2).
    Output,
    /// Both: x + norm(f(norm(x))) (Gemma 2 and 3).
    BeforeAndOutput,
    /// On the sum: norm(x + f(x)) (Vaswani et al. 2017, and the smaller OPT of 350M).
    Sum,
}

/// How attention and feed-forward block of a layer follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Block {
    /// One after the other.
    Serial,
    /// Side by side, on one norm of the residual stream: x + attention(n) + feed_forward(n) (GPT-J, Phi, PaLM).
    Parallel,
    /// Side by side, each on a norm of its own (GPT-NeoX, Falcon 40B).
    ParallelTwoNorms,
}

/// What of the queries and keys is normalized before they are rotated, with the kind of the other norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QkNorm {
    /// Nothing.
    None,
    /// Each head, with one weight for all heads (Qwen3, Gemma 3).
    SharedByHeads,
    /// Each head, with weights of its own (StableLM 2 of 12B).
    EachHead,
    /// All heads together (OLMo 2).
    Projection,
}

/// A set of layers: layer l is in it when bit l modulo `period` of `bits` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// 1 to 64.
    pub period: u8,
    /// One bit for each layer of a period.
    pub bits: u64,
}

impl Layers {
    /// Every layer.
    pub const ALL: Self = Self { period: 1, bits: 1 };
    /// No layer.
    pub const NONE: Self = Self { period: 1, bits: 0 };

    /// Whether a layer is in the set.
    pub const fn contains(&self, layer: u32) -> bool {
        // A period of 0 is refused when the configuration is checked.
        let place = if self.period == 0 { 0 } else { layer % self.period as u32 };
        place < u64::BITS && self.bits >> place & 1 != 0
    }

    /// The set that holds layer l exactly where `members[l]` says so, with the shortest period; `None` where that is
    /// longer than 64.
    pub fn of(members: &[bool]) -> Option<Self> {
        (1..=members.len().clamp(1, u64::BITS as usize)).find_map(|period| {
            let first = members.iter().take(period).enumerate();
            let bits = first.fold(0, |bits, (layer, &member)| bits | u64::from(member) << layer);
            let this = Self { period: period as u8, bits };
            let same = |(layer, &member): (usize, &bool)| this.contains(layer as u32) == member;
            members.iter().enumerate().all(same).then_some(this)
        })
    }
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
    /// A score falls with the distance of the two tokens, for each head at a slope of its own (ALiBi, Press et al.
    /// 2022). The slopes are a tensor of the file.
    Alibi,
    /// Not at all.
    None,
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

/// The numbers and choices that make a model. What is said of a part that many models lack is 0, or its plain
/// variant, where there is none: see [`Config::PLAIN`].
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
    /// Inputs that share a scale in every quantized tensor: 0 when none is quantized, else 4 to 256, a multiple
    /// of 4. Activations are quantized in the same groups, which is why a model has only one.
    pub group: u32,
    /// Kind of every norm.
    pub norm: Norm,
    /// Where the norms of a block stand.
    pub norm_place: NormPlace,
    /// Added to the variance under the norm's root.
    pub norm_eps: f32,
    /// Whether the residual stream is normalized before the head.
    pub final_norm: bool,
    /// Whether the token's embedding is normalized (BLOOM).
    pub embedding_norm: bool,
    /// What the token's embedding is multiplied with (Gemma: the root of H); 1 for most.
    pub embedding_scale: f32,
    /// Width of the token embedding, E, where matrices take it to H and back (OPT of 350M): less than or equal to
    /// H. 0 where it is H and there are no such matrices.
    pub embedding_size: u32,
    /// How positions enter.
    pub position: Position,
    /// The layers that rotate queries and keys, where the position is rotary.
    pub rotary_layers: Layers,
    /// Positions that a token sees in the layers of `window_layers`, its own among them; 0 for all.
    pub window: u32,
    /// The layers to which `window` applies.
    pub window_layers: Layers,
    /// What products of queries and keys are multiplied with; 0 for 1 / sqrt(head_dim).
    pub attention_scale: f32,
    /// A score s becomes cap * tanh(s / cap) before the softmax (Gemma 2); 0 where it stays s.
    pub attention_softcap: f32,
    /// The same for the logits.
    pub logit_softcap: f32,
    /// What of queries and keys is normalized.
    pub qk_norm: QkNorm,
    /// How attention and feed-forward block follow each other.
    pub block: Block,
    /// Shape of the feed-forward blocks.
    pub feed_forward: FeedForward,
}

impl Config {
    /// The choices of a plain model, a Llama without rotary embedding, whose sizes are all 1: what remains to be said
    /// of a model are its sizes and in what it differs.
    pub const PLAIN: Self = Self {
        vocab_size: 1,
        hidden_size: 1,
        layers: 1,
        heads: 1,
        kv_heads: 1,
        head_dim: 1,
        ffn_size: 1,
        max_positions: 1,
        group: 0,
        norm: Norm::RmsNorm,
        norm_place: NormPlace::Before,
        norm_eps: 1e-5,
        final_norm: true,
        embedding_norm: false,
        embedding_scale: 1.0,
        embedding_size: 0,
        position: Position::None,
        rotary_layers: Layers::ALL,
        window: 0,
        window_layers: Layers::ALL,
        attention_scale: 0.0,
        attention_softcap: 0.0,
        logit_softcap: 0.0,
        qk_norm: QkNorm::None,
        block: Block::Serial,
        feed_forward: FeedForward::Gated(Activation::Silu),
    };

    /// Width of all query heads together.
    pub const fn query_size(&self) -> u32 {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub const fn kv_size(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Width of a token's embedding and of what the head multiplies, E.
    pub const fn embedding_width(&self) -> u32 {
        if self.embedding_size == 0 { self.hidden_size } else { self.embedding_size }
    }

    /// Columns of a row of activations as the quantized kernels see it: rounded up to whole groups.
    pub const fn padded(&self, cols: u32) -> u32 {
        if self.group == 0 { cols } else { cols.next_multiple_of(self.group) }
    }

    /// Components of each head that rotary embedding turns; 0 without rotary embedding.
    pub const fn rotary_dims(&self) -> u32 {
        match self.position {
            Position::Rotary { dims, .. } => dims,
            Position::Learned | Position::Alibi | Position::None => 0,
        }
    }

    /// Positions that a token of this layer sees, its own among them; `None` for all.
    pub const fn window_of(&self, layer: u32) -> Option<u32> {
        if self.window != 0 && self.window_layers.contains(layer) { Some(self.window) } else { None }
    }

    /// The first part, by name, that plain models (GPT-2, Llama and their like) do not have. A runtime that was built
    /// for those alone refuses a model with such a part.
    pub const fn uncommon_part(&self) -> Option<&'static str> {
        let part = match self {
            Self { norm_place: NormPlace::Output | NormPlace::BeforeAndOutput, .. } => {
                "a norm on block outputs"
            }
            Self { norm_place: NormPlace::Sum, .. } => "a norm on the residual sum",
            Self { final_norm: false, .. } => "no final norm",
            Self { embedding_norm: true, .. } => "an embedding norm",
            Self { embedding_size: 1.., .. } => "an embedding projection",
            Self { position: Position::Alibi, .. } => "ALiBi",
            Self { window: 1.., .. } => "an attention window",
            Self { qk_norm: QkNorm::SharedByHeads | QkNorm::EachHead | QkNorm::Projection, .. } => {
                "a norm on queries and keys"
            }
            Self { block: Block::Parallel | Block::ParallelTwoNorms, .. } => "a parallel block",
            _ if self.embedding_scale != 1.0 => "an embedding scale",
            _ if self.attention_scale != 0.0 => "an attention scale",
            _ if self.attention_softcap != 0.0 || self.logit_softcap != 0.0 => "a soft cap",
            _ if !matches!(self.rotary_layers, Layers::ALL) => "layers without rotary embedding",
            _ => return None,
        };
        Some(part)
    }
}
