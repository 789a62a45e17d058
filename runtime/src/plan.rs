//! How much memory a model needs, to the byte, before anything runs.
//!
//! The same constant function is called by the packer on a laptop, by a board's build script and by the
//! engine on the device; the engine cuts its arena by these numbers and no others.

use sprat_format::{BLOCK_ROWS, Config, ConfigError, KvType, Limits, messages};

use crate::kernels::{HEAD_UNIT, MIX_BLOCK, PAIR};
use crate::tokenizer::scratch_words;

/// Stack that running a model needs at most, besides what the application puts there. Measured on the emulated
/// Cortex-M4F with a painted stack; the test of that board holds it to this number.
pub const STACK_BYTES: usize = 4096;

/// Largest vocabulary, and so most rows of a block of logits.
const MOST_LOGITS_ROWS: usize = 1 << 24;

/// Alignment of the arena and of every buffer in it, in bytes.
pub(crate) const ARENA_ALIGNMENT: usize = 16;

/// The memory that a model needs under given limits, all in bytes unless named otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything below together: what [`Engine::new`](crate::Engine::new) takes as arena.
    pub arena_bytes: usize,
    /// Keys and values of all tokens of the context.
    pub kv_bytes: usize,
    /// The logits of one position, or of a block of the vocabulary.
    pub logits_bytes: usize,
    /// What the logits are computed from: the last token's residual stream, normalized.
    pub last_bytes: usize,
    /// The tokens of a prompt.
    pub tokens_bytes: usize,
    /// Activations of a prefill chunk, or the tokenizer's work space, whichever is larger.
    pub scratch_bytes: usize,
    /// Activations of a prefill chunk.
    pub activation_bytes: usize,
    /// The tokenizer's work space.
    pub tokenizer_bytes: usize,
    /// Stack, besides the application's own; not part of the arena.
    pub stack_bytes: usize,
    pub(crate) sizes: Sizes,
}

/// Elements of every buffer of a forward pass over a chunk of T tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// T x H, `f32`: residual stream.
    pub hidden: usize,
    /// T x heads*head_dim, `f32`: queries.
    pub query: usize,
    /// T x kv_heads*head_dim, `f32`: keys, and as many values.
    pub kv: usize,
    /// T x F, `f32`: feed-forward activations.
    pub ffn: usize,
    /// T x dims/2, twice in models with a window, `f32`: cosines of the rotary angles, and as many sines.
    pub rotary: usize,
    /// members x (heads at once x context, and multipliers for a q8 cache), `f32` or `i32`: attention scores.
    pub scores: usize,
    /// T x twice the widest padded row, `i8`: quantized input of a matrix; 0 without q8.
    pub quantized: usize,
    /// T x its groups, `f32` and again `i32`: their scales and sums.
    pub quantized_groups: usize,
    /// members x quantized queries, each twice as wide as a head in the cache, `i8`; 0 without a q8 cache.
    pub quantized_query: usize,
    /// Components of a head as the q8 cache stores it, rounded up to whole words.
    pub head_stride: usize,
    /// Positions of the cache: the context, rounded up to a multiple of four.
    pub context: usize,
    /// Logits in memory at once, `f32`: V, or the rows of a block.
    pub logits: usize,
    /// layers x kv_heads x context: heads in the cache, for keys and again for values.
    pub cached_heads: usize,
}

/// Why a model cannot be planned under given limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlanError {
    /// A number of the configuration is impossible.
    Config(ConfigError),
    /// A limit is out of its range.
    Limit {
        /// The limit.
        field: &'static str,
        /// Its value.
        found: usize,
        /// Least value allowed.
        least: usize,
        /// Largest value allowed.
        most: usize,
    },
    /// The memory needed is more than this machine can address.
    TooLarge,
}

messages!(PlanError {
    Self::Config(error) => ("{}", error),
    Self::Limit { field, found, least, most } => (
        "{} is {}, expected {} to {}",
        field,
        found,
        least,
        most,
    ),
    Self::TooLarge => ("the memory needed is more than this machine can address"),
});

impl core::error::Error for PlanError {}

/// A sum of buffers, each aligned; `None` once it is too large to address.
#[derive(Clone, Copy)]
struct Bytes(Option<usize>);

impl Bytes {
    const ZERO: Self = Self(Some(0));

    /// This and `elements` more of `size` bytes each. Called for every buffer, so one copy of it.
    #[inline(never)]
    const fn and(self, elements: Option<usize>, size: usize) -> Self {
        let (Some(sum), Some(elements)) = (self.0, elements) else { return Self(None) };
        let Some(bytes) = elements.checked_mul(size) else { return Self(None) };
        let Some(bytes) = bytes.checked_next_multiple_of(ARENA_ALIGNMENT) else { return Self(None) };
        Self(sum.checked_add(bytes))
    }
}

/// The product of three counts.
const fn product(a: usize, b: usize, c: usize) -> Option<usize> {
    match a.checked_mul(b) {
        Some(ab) => ab.checked_mul(c),
        None => None,
    }
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

impl Plan {
    /// Computes the plan for one core.
    ///
    /// # Errors
    /// An impossible configuration or limit, by field and range.
    pub const fn new(config: &Config, limits: &Limits) -> Result<Self, PlanError> {
        Self::for_team(config, limits, 1)
    }

    /// Computes the plan for a team of so many cores.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub const fn for_team(config: &Config, limits: &Limits, members: usize) -> Result<Self, PlanError> {
        if let Err(error) = config.validate() {
            return Err(PlanError::Config(error));
        }
        macro_rules! in_range {
            ($field:ident, $most:expr) => {
                let (found, most) = (limits.$field as usize, $most as usize);
                if found < 1 || found > most {
                    return Err(PlanError::Limit { field: stringify!($field), found, least: 1, most });
                }
            };
        }
        in_range!(context, config.max_positions);
        in_range!(prefill_chunk, 256);
        in_range!(prompt_bytes, 1 << 24);
        let rows = limits.logits_rows as usize;
        if rows > MOST_LOGITS_ROWS {
            let (least, most) = (0, MOST_LOGITS_ROWS);
            return Err(PlanError::Limit { field: "logits_rows", found: rows, least, most });
        }
        // A block begins where rows that are stored together begin.
        if !rows.is_multiple_of(BLOCK_ROWS) {
            let found = rows % BLOCK_ROWS;
            return Err(PlanError::Limit { field: "logits_rows modulo 4", found, least: 0, most: 0 });
        }
        const MOST: usize = 256;
        if members < 1 || members > MOST {
            return Err(PlanError::Limit { field: "team size", found: members, least: 1, most: MOST });
        }
        match Self::compute(config, limits, members) {
            Some(plan) => Ok(plan),
            None => Err(PlanError::TooLarge),
        }
    }

    const fn compute(config: &Config, limits: &Limits, members: usize) -> Option<Self> {
        const F32: usize = size_of::<f32>();
        let tokens = limits.prefill_chunk as usize;
        // Attention over a q8 cache takes positions two by two, or four by four where they are aligned to it.
        let context = limits.context.next_multiple_of(4) as usize;
        let head_dim = config.head_dim as usize;
        let widest =
            max(max(config.hidden_size as usize, config.query_size() as usize), config.ffn_size as usize);
        let (padded, groups) = match config.group as usize {
            0 => (0, 0),
            group => (widest.next_multiple_of(group), widest.div_ceil(group)),
        };
        let head_stride = head_dim.next_multiple_of(HEAD_UNIT);
        let Some(cached_heads) = product(config.layers as usize, config.kv_heads as usize, context) else {
            return None;
        };
        let is_q8 = matches!(limits.kv, KvType::Q8);
        let at_once = if is_q8 && config.heads > config.kv_heads { PAIR } else { 1 };
        let multipliers = match is_q8 {
            true if context < MIX_BLOCK => context,
            true => MIX_BLOCK,
            false => 0,
        };
        let Some(scores) = product(context, at_once, members) else { return None };
        let Some(scores) = scores.checked_add(multipliers * members) else { return None };
        // A chunk has at most 256 tokens and a row at most 2^18 values: these products fit 32 bits.
        let sizes = Sizes {
            hidden: tokens * config.hidden_size as usize,
            query: tokens * config.query_size() as usize,
            kv: tokens * config.kv_size() as usize,
            ffn: tokens * config.ffn_size as usize,
            // Layers with a window may have angles of their own.
            rotary: tokens * (config.rotary_dims() / 2) as usize * if config.window == 0 { 1 } else { 2 },
            scores,
            quantized: tokens * 2 * padded,
            quantized_groups: tokens * groups,
            quantized_query: if is_q8 { head_stride * 2 * at_once * members } else { 0 },
            head_stride,
            context,
            logits: match limits.logits_rows as usize {
                0 => config.vocab_size as usize,
                rows => min(rows, config.vocab_size as usize),
            },
            cached_heads,
        };
        let activations = Bytes::ZERO
            .and(Some(sizes.hidden), F32) // residual stream
            .and(Some(sizes.hidden), F32) // normalized, or a block's output
            .and(Some(sizes.query), F32) // queries
            .and(Some(sizes.kv), F32) // keys
            .and(Some(sizes.kv), F32) // values
            .and(Some(sizes.query), F32) // attention's output
            .and(Some(sizes.ffn), F32) // up
            .and(Some(sizes.ffn), F32) // gate
            .and(Some(sizes.rotary), F32) // cosines
            .and(Some(sizes.rotary), F32) // sines
            .and(Some(sizes.scores), F32)
            .and(Some(sizes.quantized), 1)
            .and(Some(sizes.quantized_groups), F32)
            .and(Some(sizes.quantized_groups), size_of::<i32>())
            .and(Some(sizes.quantized_query), 1);
        let cache = match limits.kv {
            KvType::Q8 => {
                let values = product(sizes.cached_heads, sizes.head_stride, 1);
                let scales = Some(sizes.cached_heads);
                Bytes::ZERO.and(values, 1).and(scales, 2).and(values, 1).and(scales, 2)
            }
            KvType::F16 => {
                let values = product(sizes.cached_heads, head_dim, 1);
                Bytes::ZERO.and(values, 2).and(values, 2)
            }
            KvType::F32 => {
                let values = product(sizes.cached_heads, head_dim, 1);
                Bytes::ZERO.and(values, F32).and(values, F32)
            }
        };
        let logits = Bytes::ZERO.and(Some(sizes.logits), F32);
        let last = Bytes::ZERO.and(Some(config.embedding_width() as usize), F32);
        let prompt = Bytes::ZERO.and(Some(limits.context as usize), size_of::<u32>());
        let tokenizer = Bytes::ZERO.and(Some(scratch_words(limits.prompt_bytes as usize)), size_of::<u32>());
        let (Some(kv_bytes), Some(logits_bytes), Some(tokens_bytes)) = (cache.0, logits.0, prompt.0) else {
            return None;
        };
        let (Some(activation_bytes), Some(tokenizer_bytes)) = (activations.0, tokenizer.0) else {
            return None;
        };
        let Some(last_bytes) = last.0 else { return None };
        let scratch_bytes = max(activation_bytes, tokenizer_bytes);
        let arena = Bytes::ZERO
            .and(Some(kv_bytes), 1)
            .and(Some(logits_bytes), 1)
            .and(Some(last_bytes), 1)
            .and(Some(tokens_bytes), 1)
            .and(Some(scratch_bytes), 1);
        let Some(arena_bytes) = arena.0 else { return None };
        Some(Self {
            arena_bytes,
            kv_bytes,
            logits_bytes,
            last_bytes,
            tokens_bytes,
            scratch_bytes,
            activation_bytes,
            tokenizer_bytes,
            stack_bytes: STACK_BYTES,
            sizes,
        })
    }
}
