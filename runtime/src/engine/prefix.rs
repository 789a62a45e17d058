//! A text that was read before: its keys and values are copied instead of computed.
//!
//! They are the same bits wherever they were computed, so a laptop reads the text that every chat begins with, and the
//! packed file carries what the model keeps of it.

use sprat_format::chat::Role;
use sprat_format::prefix::{self, PREFIX_HEADER_BYTES, Prefix, PrefixShape};
use sprat_format::{KvType, messages};

use super::{Engine, EngineError};
#[cfg(feature = "stream")]
use crate::stream::SourceError;

/// Why a text that was read before cannot be used, or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The model was packed without one.
    Absent,
    /// The section.
    Format(prefix::PrefixError),
    /// It was read for another kind of cache.
    Kv {
        /// How its keys and values are kept.
        found: KvType,
        /// How the engine keeps them.
        expected: KvType,
    },
    /// The engine's cache has no room for it.
    Context {
        /// Tokens of the text.
        need: usize,
        /// Tokens that the cache holds.
        have: usize,
    },
    /// It was stored for kernels that arrange heads otherwise, or does not lie at a multiple of 16 bytes.
    Arrangement,
    /// The tokens are not those that the cache holds.
    Tokens {
        /// Tokens given.
        found: usize,
        /// Tokens in the cache.
        expected: usize,
    },
    /// The buffer is too small for the section, or the section would be too large.
    Buffer {
        /// Bytes of the section.
        need: usize,
        /// Bytes of the buffer.
        have: usize,
    },
    /// The model is streamed, and the section lies behind its weights.
    #[cfg(feature = "stream")]
    Streamed,
    /// The source of a streamed model failed. The cache is empty.
    #[cfg(feature = "stream")]
    Source(SourceError),
}

impl From<EngineError> for PrefixError {
    /// How computing the logits fails, which only a source does.
    fn from(error: EngineError) -> Self {
        match error {
            #[cfg(feature = "stream")]
            EngineError::Source(error) => Self::Source(error),
            _ => Self::Arrangement,
        }
    }
}

messages!(PrefixError {
    Self::Absent => ("the model was packed without a text that was read before: pack it with one"),
    Self::Format(error) => ("section PRFX: {}", error),
    Self::Kv { found, expected } => (
        "section PRFX has keys and values of {}, and the engine keeps {}: run it as it was packed",
        kv_name(found),
        kv_name(expected),
    ),
    Self::Context { need, have } => (
        "section PRFX has {} tokens, and the context {}: run it with a larger one",
        need,
        have,
    ),
    Self::Arrangement => ("section PRFX is arranged for another runtime: pack the model again"),
    Self::Tokens { found, expected } => ("{} tokens were given, and the cache holds {}", found, expected),
    Self::Buffer { need, have } => ("the section has {} bytes, the buffer {}", need, have),
    #[cfg(feature = "stream")]
    Self::Streamed => ("section PRFX lies behind the weights, which are streamed: feed the text instead"),
    #[cfg(feature = "stream")]
    Self::Source(error) => ("{}", error),
});

impl core::error::Error for PrefixError {}

const fn kv_name(kv: KvType) -> &'static str {
    match kv {
        KvType::Q8 => "q8",
        KvType::F16 => "f16",
        KvType::F32 => "f32",
    }
}

impl Engine<'_, '_, '_> {
    /// Begins anew with the text that was read when the model was packed, and returns its tokens: cache and logits are
    /// those of feeding it, bit for bit, for the price of copying it and a product with the head.
    ///
    /// # Errors
    /// There is none, or it is not for such a cache. Nothing has changed then.
    pub fn load_prefix(&mut self) -> Result<usize, PrefixError> {
        let config = self.image.config();
        let section = self.image.file().prefix_section().ok_or(PrefixError::Absent)?;
        #[cfg(feature = "stream")]
        if self.image.file().is_streamed() && section.is_empty() {
            return Err(PrefixError::Streamed);
        }
        let prefix = Prefix::parse(section, config).map_err(PrefixError::Format)?;
        let PrefixShape { tokens, kv, stride, .. } = prefix.shape;
        if kv != self.limits.kv {
            return Err(PrefixError::Kv { found: kv, expected: self.limits.kv });
        }
        let (need, have) = (tokens as usize, self.limits.context as usize);
        if need > have {
            return Err(PrefixError::Context { need, have });
        }
        let typed = (bytemuck::try_cast_slice(prefix.tokens), bytemuck::try_cast_slice(prefix.last));
        let (Ok(tokens), Ok(last)) = typed else { return Err(PrefixError::Arrangement) };
        if usize::from(stride) != self.cache.stride() {
            return Err(PrefixError::Arrangement);
        }
        self.truncate(0);
        if let Some(slide) = &self.slide {
            slide.prepare()(self, tokens);
        }
        self.cache.load(need, prefix.heads);
        self.position = need;
        self.last.copy_from_slice(last);
        self.recompute_logits().inspect_err(|_| self.position = 0)?;
        Ok(need)
    }

    /// Bytes that [`save_prefix`](Self::save_prefix) writes of the text in the cache.
    ///
    /// # Errors
    /// An empty cache, or a section that would be too large.
    pub fn prefix_bytes(&self) -> Result<usize, PrefixError> {
        let too_large = PrefixError::Buffer { need: usize::MAX, have: 0 };
        self.prefix_shape(None)?.bytes(self.image.config()).ok_or(too_large)
    }

    fn prefix_shape(&self, after: Option<Role>) -> Result<PrefixShape, PrefixError> {
        if self.position == 0 || self.dropped > 0 {
            return Err(PrefixError::Tokens { found: 0, expected: self.position });
        }
        // Both are less than 2^16: a context by its configuration, a stride as it is a head rounded up.
        let (tokens, stride) = (self.position as u32, self.cache.stride() as u16);
        Ok(PrefixShape { tokens, kv: self.limits.kv, stride, after })
    }

    /// Writes the text in the cache, whose tokens the caller knows, as a section for a packed file of this model, and
    /// returns its bytes. `after` says whose message was the last, if it is messages.
    ///
    /// # Errors
    /// Not as many tokens as there are in the cache, an empty one or one that has dropped tokens; a buffer that is too
    /// small.
    pub fn save_prefix(
        &mut self,
        tokens: &[u32],
        after: Option<Role>,
        out: &mut [u8],
    ) -> Result<usize, PrefixError> {
        let config = self.image.config();
        let shape = self.prefix_shape(after)?;
        if tokens.len() != self.position {
            return Err(PrefixError::Tokens { found: tokens.len(), expected: self.position });
        }
        let (need, have) = (self.prefix_bytes()?, out.len());
        let small = PrefixError::Buffer { need, have };
        let out = out.get_mut(..need).ok_or(small)?;
        out.fill(0);
        let (Some(parts), Some(header)) = (shape.parts(config), shape.header(config)) else {
            return Err(small);
        };
        out[..PREFIX_HEADER_BYTES].copy_from_slice(&header);
        let parts = out.get_disjoint_mut(parts).map_err(|_| small)?;
        let [token_bytes, last, keys, key_scales, values, value_scales] = parts;
        token_bytes.copy_from_slice(bytemuck::cast_slice(tokens));
        last.copy_from_slice(bytemuck::cast_slice(self.last));
        self.cache.save(self.position, [keys, key_scales, values, value_scales]);
        Ok(need)
    }
}
