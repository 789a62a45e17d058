//! The section of a text that was read on the laptop (`PRFX`): its layout, its reader, its writer.
//!
//! Every chat with a device begins with the same text: a system prompt, a few examples. What a model keeps of it, keys
//! and values, does not depend on what follows, and is the same bits on every target. So the packer computes it once
//! and the device copies it, instead of reading the text for seconds at every start.
//!
//! # Layout
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | tokens P, at least 1 |
//! | 4 | 4 | bytes that follow the header, padding included |
//! | 8 | 1 | how keys and values are kept: 0 `q8`, 1 `f16`, 2 `f32` |
//! | 9 | 1 | 0, or 1 and the number of the [`Role`] of the last message, if the text is messages of the chat template |
//! | 10 | 2 | components of a stored head: `head_dim`, for `q8` rounded up by the runtime to what its kernels take |
//! | 12 | 4 | reserved, zero |
//! | 16 | 4 P | the tokens, `u32` |
//! | | 4 E | what the logits after the last token are computed from, `f32` |
//! | | | keys, for each layer, key-value head and position one head |
//! | | | for `q8`, their scales in the same order, `f16` |
//! | | | values, likewise |
//! | | | for `q8`, their scales |
//!
//! Each of the six begins at a multiple of 16 bytes, and nothing in it depends on the context that a device gives the
//! cache.

#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::bytes::{u16_at, u32_at};
use crate::chat::Role;
use crate::{Config, KvType, messages};

/// Bytes before the tokens.
pub const PREFIX_HEADER_BYTES: usize = 16;
/// What every part's offset is a multiple of.
const PART_ALIGNMENT: usize = 16;
/// Tokens, last, keys, their scales, values, their scales.
const PARTS: usize = 6;
/// Role that is written for a text which is no messages.
const NO_ROLE: u8 = 0;

/// Why bytes are no section of this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub found: u64,
    /// Least value that it could have.
    pub least: u64,
    /// Largest value that it could have.
    pub most: u64,
}

messages!(PrefixError {
    Self { field, found, least, most } => ("{} is {}, expected {} to {}", field, found, least, most),
});

impl core::error::Error for PrefixError {}

/// Of what a section consists: the offsets of its parts follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixShape {
    /// Tokens, at least 1.
    pub tokens: u32,
    /// How keys and values are kept.
    pub kv: KvType,
    /// Components of a stored head.
    pub stride: u16,
    /// Whose message was the last; `None` for a text that is no messages.
    pub after: Option<Role>,
}

impl PrefixShape {
    /// Offsets of tokens, last, keys, their scales, values and their scales; `None` if they are too large to address.
    pub fn parts(&self, config: &Config) -> Option<[Range<usize>; PARTS]> {
        let heads = u64::from(config.layers) * u64::from(config.kv_heads);
        let heads = heads.checked_mul(self.tokens.into())?;
        let (component, scale) = match self.kv {
            KvType::Q8 => (1, 2),
            KvType::F16 => (2, 0),
            KvType::F32 => (4, 0),
        };
        let rows = heads.checked_mul(u64::from(self.stride) * component)?;
        let scales = heads.checked_mul(scale)?;
        let last = u64::from(config.embedding_width()) * 4;
        let mut end = PREFIX_HEADER_BYTES;
        let mut parts = [const { 0..0 }; PARTS];
        let lengths = [u64::from(self.tokens) * 4, last, rows, scales, rows, scales];
        for (part, length) in parts.iter_mut().zip(lengths) {
            let from = end.checked_next_multiple_of(PART_ALIGNMENT)?;
            end = from.checked_add(usize::try_from(length).ok()?)?;
            *part = from..end;
        }
        Some(parts)
    }

    /// Bytes of the section; `None` if they are more than it can say.
    pub fn bytes(&self, config: &Config) -> Option<usize> {
        let [.., last] = self.parts(config)?;
        let bytes = last.end.checked_next_multiple_of(PART_ALIGNMENT)?;
        u32::try_from(bytes).is_ok().then_some(bytes)
    }

    /// The section's first bytes; `None` if it is too large.
    pub fn header(&self, config: &Config) -> Option<[u8; PREFIX_HEADER_BYTES]> {
        let behind = (self.bytes(config)? - PREFIX_HEADER_BYTES) as u32;
        let mut header = [0; PREFIX_HEADER_BYTES];
        header[0..4].copy_from_slice(&self.tokens.to_le_bytes());
        header[4..8].copy_from_slice(&behind.to_le_bytes());
        header[8] = self.kv as u8;
        header[9] = self.after.map_or(NO_ROLE, |role| role as u8 + 1);
        header[10..12].copy_from_slice(&self.stride.to_le_bytes());
        Some(header)
    }
}

/// A text that was read: its tokens, its keys and values. Every part begins at a multiple of 16 bytes of the section.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'a> {
    /// What the section says of itself.
    pub shape: PrefixShape,
    /// The tokens, little-endian `u32`.
    pub tokens: &'a [u8],
    /// E little-endian `f32`.
    pub last: &'a [u8],
    /// Keys, their scales, values, their scales; scales are empty where heads have none.
    pub heads: [&'a [u8]; 4],
}

impl<'a> Prefix<'a> {
    /// Checks a section against the model's configuration.
    ///
    /// Holding one guarantees that there is at least one token and every part has the length that the configuration
    /// asks for. Whether the tokens are in the vocabulary is not looked at: they were read already.
    ///
    /// # Errors
    /// The first field found wrong.
    pub fn parse(section: &'a [u8], config: &Config) -> Result<Self, PrefixError> {
        let wrong = |field, found, least, most| Err(PrefixError { field, found, least, most });
        let length = section.len() as u64;
        let Some(header) = section.first_chunk::<PREFIX_HEADER_BYTES>() else {
            return wrong("length", length, PREFIX_HEADER_BYTES as u64, u32::MAX.into());
        };
        let tokens = u32_at::<0, PREFIX_HEADER_BYTES>(header);
        let most = config.max_positions;
        if !(1..=most).contains(&tokens) {
            return wrong("tokens", tokens.into(), 1, most.into());
        }
        let kv = match header[8] {
            0 => KvType::Q8,
            1 => KvType::F16,
            2 => KvType::F32,
            other => return wrong("kind of keys and values", other.into(), 0, 2),
        };
        let after = match header[9] {
            NO_ROLE => None,
            role => match Role::ALL.get(usize::from(role) - 1) {
                Some(role) => Some(*role),
                None => return wrong("role", role.into(), 0, Role::ALL.len() as u64),
            },
        };
        let stride = u16_at::<10, PREFIX_HEADER_BYTES>(header);
        if u32::from(stride) < config.head_dim {
            return wrong("components of a head", stride.into(), config.head_dim.into(), u16::MAX.into());
        }
        let reserved = u32_at::<12, PREFIX_HEADER_BYTES>(header);
        if reserved != 0 {
            return wrong("reserved", reserved.into(), 0, 0);
        }
        let shape = PrefixShape { tokens, kv, stride, after };
        let behind = u64::from(u32_at::<4, PREFIX_HEADER_BYTES>(header));
        let whole = shape.bytes(config).unwrap_or(usize::MAX) as u64;
        if behind.saturating_add(PREFIX_HEADER_BYTES as u64) != whole {
            let behind_header = whole - PREFIX_HEADER_BYTES as u64;
            return wrong("bytes behind the header", behind, behind_header, behind_header);
        }
        let cut = |part: Range<usize>| section.get(part);
        let parts = shape.parts(config).filter(|_| length >= whole).and_then(|parts| {
            let [tokens, last, keys, key_scales, values, value_scales] = parts.map(cut);
            Some(Self {
                shape,
                tokens: tokens?,
                last: last?,
                heads: [keys?, key_scales?, values?, value_scales?],
            })
        });
        parts.ok_or(PrefixError { field: "length", found: length, least: whole, most: whole })
    }
}
