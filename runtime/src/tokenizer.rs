//! The tokenizer: text to token ids and back, from tables that stay in flash.
//!
//! Encoding goes from the outside in, each step cutting what it was given: added tokens (`added`), normalization
//! (`normalize`, `compose`), added tokens once more, the pre-tokenizer's pieces (`pieces`), the merges within a piece
//! (`merge`) or the best row of tokens (`unigram`). Nothing is allocated and nothing recurses: the caller lends
//! scratch words. The cost is O(n log n) for any text of n bytes, since the next merge is the winner of a tournament
//! and not the result of a search, and each character is classified a bounded number of times. Decoding copies
//! bytes and holds back the last character until it is whole (`stream`).
//!
//! Unigram models and Unicode forms are in builds with the feature `every-family` only.

mod added;
#[cfg(any(test, feature = "every-family"))]
mod compose;
mod encoder;
mod merge;
mod normalize;
mod pieces;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "every-family"))]
mod unigram;

use core::ops::Range;

use sprat_format::messages;
use sprat_format::tokenizer::{TokenFlags, TokenizerTables};

use self::added::AddedTokens;
use self::encoder::Encoder;
pub use self::stream::StreamDecoder;

/// What becomes of the text of a special token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// It is ordinary text: what a person typed never becomes a special token.
    AsText,
    /// It becomes the special token: for text made by a chat template.
    Parse,
}

/// Why a text was not encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The scratch is too small for a piece of the text.
    Scratch {
        /// Words that are enough for this text, [`scratch_words`] of its length.
        need: usize,
        /// Words that were lent.
        have: usize,
    },
    /// The tokens do not fit into the output.
    Output {
        /// Tokens of the whole text.
        need: usize,
        /// Tokens that fit.
        have: usize,
    },
}

messages!(EncodeError {
    Self::Scratch { need, have } => ("the text needs {} scratch words, there are {}", need, have),
    Self::Output { need, have } => ("the text has {} tokens, there is room for {}", need, have),
});

impl core::error::Error for EncodeError {}

/// Scratch, in `u32` words, that is enough to encode any text of so many bytes.
///
/// Four words a symbol (id, next, rank, winner) and one symbol a byte, plus one for a prefix space; and the text once
/// more, where a prefix or a normalization changes it. Tokenizers that cut text into pieces use only as much for
/// symbols as their longest piece needs. A Unicode form can make a text longer, at worst three times (NFC): one that
/// does, in a single piece, is refused with [`EncodeError::Scratch`], which says how much is enough.
pub const fn scratch_words(text_bytes: usize) -> usize {
    text_bytes.saturating_add(1).saturating_mul(WORDS_PER_BYTE)
}

/// Words of scratch for each byte of a text.
const WORDS_PER_BYTE: usize = 5;

/// How much longer a text can get by normalization: a decomposition has at most 18 characters for 3 bytes.
const MAX_GROWTH: usize = 12;

/// A tokenizer in place.
#[derive(Clone, Copy, Debug)]
pub struct Tokenizer<'m> {
    tables: TokenizerTables<'m>,
    added: AddedTokens,
}

impl<'m> Tokenizer<'m> {
    /// The tokenizer of checked tables.
    pub fn new(tables: TokenizerTables<'m>) -> Self {
        Self { tables, added: AddedTokens::new(&tables) }
    }

    /// The tables.
    pub const fn tables(&self) -> &TokenizerTables<'m> {
        &self.tables
    }

    /// Number of ids; a model may have more (a padded embedding), whose text is empty.
    pub const fn vocab_size(&self) -> u32 {
        self.tables.vocab_size()
    }

    /// The bytes of a token: none for ids without a token or outside of the vocabulary.
    ///
    /// The bytes of one token need not be whole characters: see [`StreamDecoder`].
    pub fn token_bytes(&self, id: u32) -> &'m [u8] {
        self.tables.token(id).unwrap_or_default()
    }

    /// Whether an id is a special token (end of text, roles of a chat, unknown).
    pub fn is_special(&self, id: u32) -> bool {
        self.tables.flags(id).any(TokenFlags::SPECIAL)
    }

    /// The token with exactly this text, special tokens included.
    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.tables.id_of(text.as_bytes())
    }

    /// A decoder for a stream of tokens; `after_bos` says that it begins directly after the BOS token, where
    /// SentencePiece's dummy prefix is taken off again.
    pub const fn stream_decoder(&self, after_bos: bool) -> StreamDecoder {
        StreamDecoder::new(after_bos && self.tables.settings().strip_first_space)
    }

    /// Encodes a text into `out` and returns the number of tokens. No BOS is added.
    ///
    /// `scratch` needs at most [`scratch_words`]`(text.len())` words. Text for which the tokenizer has neither a
    /// token, nor byte tokens, nor an unknown token is left out.
    ///
    /// # Errors
    /// [`EncodeError`] if `scratch` or `out` is too small; `out` then holds the first tokens of the text.
    pub fn encode(
        &self,
        text: &str,
        special: Special,
        scratch: &mut [u32],
        out: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let lacking = self.lacking(text, scratch);
        Encoder::new(&self.tables, &self.added, special, out).encode(text, scratch).ok_or(lacking)?
    }

    /// Encodes the text of a conversation: special tokens come from the template's text alone, never from
    /// `contents`, the parts of the text that somebody said (ascending, apart). Where both adjoin, tokens may span them.
    /// Unless `at_start`, the text goes on where an earlier one ended, and gets no prefix of its own.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_pieces(
        &self,
        text: &str,
        contents: &[Range<usize>],
        at_start: bool,
        scratch: &mut [u32],
        out: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let lacking = self.lacking(text, scratch);
        let encoder = Encoder::new(&self.tables, &self.added, Special::Parse, out);
        encoder.encode_pieces(text, contents, at_start, scratch).ok_or(lacking)?
    }

    fn lacking(&self, text: &str, scratch: &[u32]) -> EncodeError {
        let normalizes = self.tables.normalization().is_some();
        let need = match scratch.len() >= scratch_words(text.len()) && normalizes {
            true => scratch_words(text.len().saturating_mul(MAX_GROWTH)),
            false => scratch_words(text.len()),
        };
        EncodeError::Scratch { need, have: scratch.len() }
    }
}
