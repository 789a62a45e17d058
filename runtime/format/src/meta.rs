//! What a packed file says of its model beside its tensors: blueprint, limits, names, special tokens.
//!
//! It is one record in postcard's wire format, small enough to be decoded on the device, and the only part of a
//! file that is decoded rather than used in place.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{Config, ConfigError};

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
    /// Rows of the output head, a multiple of 4, whose logits are in memory at once; 0 for the whole vocabulary.
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
    /// How the weights were quantized, for people; empty when nothing is to be said of it.
    pub recipe: &'a str,
    /// The token that begins a text, where the model knows one.
    pub bos: Option<u32>,
    /// Whether a prompt begins with `bos`.
    pub add_bos: bool,
    /// The tokens that end a generation.
    pub end_tokens: Vec<u32, 8>,
}

impl<'a> Meta<'a> {
    /// Reads a `META` section; bytes behind the known fields are ignored.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        Some(postcard::take_from_bytes::<Self>(bytes).ok()?.0)
    }

    /// Writes the section's bytes into `buffer` and returns the part used; `None` when it is too small.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        postcard::to_slice(self, buffer).ok().map(|used| &*used)
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
