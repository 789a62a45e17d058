//! The tokenizer: text to token ids and back, from tables that stay in flash.
//!
//! Encoding goes from the outside in, each step cutting what it was given: added tokens (`added`), the
//! pre-tokenizer's pieces (`pieces`), the merges within a piece (`merge`). Nothing is allocated and nothing
//! recurses: the caller lends scratch words. The cost is O(n log n) for any text of n bytes, since the next
//! merge is the winner of a tournament and not the result of a search. Decoding copies bytes and holds back the
//! last character until it is whole (`stream`).

mod added;
mod merge;
mod pieces;
mod stream;
#[cfg(test)]
mod tests;

use sprat_format::messages;
use sprat_format::tokenizer::{Settings, TokenFlags, TokenizerKind, TokenizerTables};

use self::added::{AddedTokens, Split};
use self::merge::Symbols;
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
/// Five words a symbol (id, previous, next, rank, winner) and one symbol a byte, plus one for a prefix space.
/// Byte-level tokenizers that cut text into pieces use only as much as their longest piece needs.
pub const fn scratch_words(text_bytes: usize) -> usize {
    text_bytes.saturating_add(1).saturating_mul(merge::WORDS_PER_SYMBOL)
}

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
        StreamDecoder::new(after_bos && self.tables.settings().dummy_prefix)
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
        let lacking = EncodeError::Scratch { need: scratch_words(text.len()), have: scratch.len() };
        let output = Output { tokens: out, len: 0 };
        let tables = &self.tables;
        let mut encoder = Encoder { tables, settings: tables.settings(), special, scratch, output, lacking };
        let mut at_start = true;
        for outer in self.added.split(tables, text, false, special) {
            let rest = match outer {
                Split::Token(id) => {
                    encoder.output.push(id);
                    ""
                }
                Split::Text(rest) => rest,
            };
            for inner in self.added.split(tables, rest, true, special) {
                match inner {
                    Split::Token(id) => encoder.output.push(id),
                    Split::Text(segment) => encoder.segment(segment, at_start)?,
                }
                at_start = false;
            }
            at_start = false;
        }
        encoder.output.finish()
    }
}

/// One encoding under way.
struct Encoder<'a, 'm> {
    tables: &'a TokenizerTables<'m>,
    settings: Settings,
    special: Special,
    scratch: &'a mut [u32],
    output: Output<'a>,
    lacking: EncodeError,
}

impl Encoder<'_, '_> {
    /// Encodes text without added tokens; it is not empty.
    fn segment(&mut self, text: &str, at_start: bool) -> Result<(), EncodeError> {
        match self.settings.kind {
            TokenizerKind::SentencePieceBpe => self.sentence(text, at_start),
            TokenizerKind::ByteLevelBpe => self.byte_level(text),
        }
    }

    fn byte_level(&mut self, text: &str) -> Result<(), EncodeError> {
        let mut rest = text;
        while !rest.is_empty() {
            let bytes = match self.settings.individual_digits {
                true => pieces::digit_or_other(self.tables, rest),
                false => rest.len(),
            };
            let (mut part, after) = cut(rest, bytes);
            rest = after;
            let mut led = self.settings.add_prefix_space && !part.starts_with(' ');
            while led || !part.is_empty() {
                let bytes = pieces::piece(self.tables, self.settings.pre_tokenizer, part, led);
                let (piece, after) = cut(part, bytes);
                self.piece(piece.as_bytes(), led)?;
                (part, led) = (after, false);
            }
        }
        Ok(())
    }

    /// Byte-level merges in one piece; `led` puts a space before it.
    fn piece(&mut self, piece: &[u8], led: bool) -> Result<(), EncodeError> {
        let (tables, prefix): (_, &[u8]) = (self.tables, if led { b" " } else { b"" });
        if self.settings.ignore_merges
            && let Some(id) = tables.text_token(prefix, piece)
        {
            self.output.push(id);
            return Ok(());
        }
        let symbols = Symbols::new(self.scratch, prefix.len() + piece.len());
        let mut symbols = symbols.ok_or(self.lacking)?;
        for &byte in prefix.iter().chain(piece) {
            symbols.push(tables.byte_token(byte).or(self.settings.unknown));
        }
        let special = self.special;
        symbols.merge(&|left, right| {
            let merge = tables.merge(left, right)?;
            let allowed = special == Special::Parse || !tables.flags(merge.id).any(TokenFlags::SPECIAL);
            allowed.then_some((merge.rank, merge.id))
        });
        symbols.survivors(|id| self.output.push(id));
        Ok(())
    }

    /// SentencePiece merges over a whole text, in the order of llama2.c: characters, bytes of those without a
    /// token, then the pair whose concatenation has the best score, the leftmost of equals.
    fn sentence(&mut self, text: &str, at_start: bool) -> Result<(), EncodeError> {
        let prefix = if self.settings.dummy_prefix && at_start { " " } else { "" };
        let symbols = Symbols::new(self.scratch, prefix.len() + text.len());
        let mut symbols = symbols.ok_or(self.lacking)?;
        let (tables, unknown) = (self.tables, self.settings.unknown);
        for character in prefix.chars().chain(text.chars()) {
            let mut utf8 = [0; 4];
            let bytes = character.encode_utf8(&mut utf8).as_bytes();
            match tables.text_token(bytes, &[]) {
                Some(id) => symbols.push(Some(id)),
                None if self.settings.byte_fallback => {
                    bytes.iter().for_each(|&byte| symbols.push(tables.byte_token(byte).or(unknown)));
                }
                None => symbols.push(unknown),
            }
        }
        symbols.merge(&|left, right| {
            // The token of a byte is a last resort and not a beginning.
            let is_byte = |id| tables.flags(id).any(TokenFlags::BYTE);
            if is_byte(left) || is_byte(right) {
                return None;
            }
            let id = tables.text_token(tables.token(left)?, tables.token(right)?)?;
            Some((tables.score_rank(id)?, id))
        });
        symbols.survivors(|id| self.output.push(id));
        Ok(())
    }
}

/// The text before and behind a boundary between characters. Not `split_at`, whose panic would print the text.
fn cut(text: &str, bytes: usize) -> (&str, &str) {
    text.split_at_checked(bytes).unwrap_or((text, ""))
}

/// The caller's buffer for tokens, which goes on counting when it is full.
struct Output<'a> {
    tokens: &'a mut [u32],
    len: usize,
}

impl Output<'_> {
    fn push(&mut self, id: u32) {
        if let Some(place) = self.tokens.get_mut(self.len) {
            *place = id;
        }
        self.len += 1;
    }

    fn finish(self) -> Result<usize, EncodeError> {
        match self.len <= self.tokens.len() {
            true => Ok(self.len),
            false => Err(EncodeError::Output { need: self.len, have: self.tokens.len() }),
        }
    }
}
