//! The tokenizer section (`TOKN`): its layout, its tables read in place, its writer.
//!
//! A vocabulary is the one part of a model besides the weights that is too large to copy into RAM, so every
//! table is laid out for lookups in flash: ids sorted by their bytes, merges sorted by their pair, Unicode
//! classes as a sorted list of boundaries. The host does all sorting; the device only searches.
//!
//! # Layout
//!
//! All numbers are little endian. No table is aligned, every field is read bytewise. `w` is the width of an id
//! or rank in bytes: 4 if the `WIDE` flag is set, else 2. In a field of `w` bytes all ones means "none"; the
//! writer therefore sets `WIDE` as soon as the vocabulary or the number of merges exceeds 65,535.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | kind: 0 byte-level BPE, 1 SentencePiece BPE |
//! | 1 | 1 | pre-tokenizer: 0 none, 1 GPT-2, 2 Llama-3 |
//! | 2 | 2 | flags: 1 `WIDE`, 2 individual digits, 4 add prefix space, 8 dummy prefix, 16 byte fallback, 32 ignore merges; others 0 |
//! | 4 | 4 | `V`, tokens: ids are 0 to V - 1 |
//! | 8 | 4 | id of the unknown token, or all ones |
//! | 12 | 4 | `B`, bytes of all tokens together |
//! | 16 | 4 | `I`, entries of the index |
//! | 20 | 4 | `M`, merges (0 for SentencePiece) |
//! | 24 | 4 | `A`, added tokens |
//! | 28 | 4 | `C`, class boundaries (0 if no pre-tokenizer needs them) |
//! | 32 | 4 (V + 1) | token offsets into the token bytes: first 0, never decreasing, last `B` |
//! | | 4 C | class boundaries: code point << 2 \| class (0 other, 1 letter, 2 number, 3 space), code points strictly increasing; a class holds up to the next boundary; below U+0080 the table is not asked |
//! | | 4 w M | merges: left id, right id, rank, merged id; (left, right) strictly increasing |
//! | | w V | SentencePiece only: rank of each token's score, 0 the best, equal scores equal ranks, none = never merged into |
//! | | w I | index: ids whose bytes are not empty, by (bytes, found by text before not, id), strictly increasing |
//! | | w 256 | the token of each byte value, or none |
//! | | w A | added tokens: ids by (bytes, id), strictly increasing |
//! | | V | token flags, [`TokenFlags`] |
//! | | A | added-token flags, [`AddedFlags`] |
//! | | B | token bytes, one token after the other |
//!
//! The section ends there; a longer or shorter one is refused. Tokens are stored as the bytes that they decode
//! to: a byte-level `Ġthe` as ` the`, a SentencePiece `<0x0A>` as one byte. Several ids may have equal bytes.
//!
//! # Limits
//!
//! Lookups are binary searches, O(log V) comparisons. [`TokenizerTables::parse`] reads the whole section once and
//! checks each id, offset and order, so that nothing can fail afterwards, whatever the bytes.

mod parse;
mod tables;
#[cfg(test)]
mod tests;
mod write;

pub use parse::{Table, TokenizerError};
pub use tables::{Added, Merge, TokenizerTables};
pub use write::{TokenSpec, TokenizerParts, sort_added, sort_index, sort_merges};

/// Bytes before the first table.
pub const HEADER_BYTES: usize = 32;

/// What "none" is in a wide field, in the header and in the interface of the lookups.
pub const NONE: u32 = u32::MAX;

/// How text becomes symbols and symbols become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerKind {
    /// Bytes, merged pair by pair in the order of a merge list (Radford et al. 2019).
    ByteLevelBpe,
    /// Characters, merged into whichever token has the best score (SentencePiece, as llama2.c does it).
    SentencePieceBpe,
}

/// The regular expression that cuts text into pieces before merging; no merge crosses a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreTokenizer {
    /// The text is one piece.
    None,
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3,
}

/// What the pre-tokenizers distinguish in a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anything else: punctuation, symbols, marks, controls, unassigned.
    Other,
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`, the Unicode property White_Space
    Space,
}

/// The settings of a tokenizer, apart from its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How text becomes tokens.
    pub kind: TokenizerKind,
    /// How text is cut into pieces first.
    pub pre_tokenizer: PreTokenizer,
    /// Every numeric character is cut out on its own before the pre-tokenizer sees the text.
    pub individual_digits: bool,
    /// Byte-level: text that does not begin with a space is given one (not with [`PreTokenizer::Llama3`]).
    pub add_prefix_space: bool,
    /// SentencePiece: a space is put before any text that is not empty.
    pub dummy_prefix: bool,
    /// SentencePiece: a character without a token becomes the tokens of its bytes.
    pub byte_fallback: bool,
    /// Byte-level: a piece that is a token as it stands becomes it, whatever the merges say.
    pub ignore_merges: bool,
    /// What a character without a token becomes; without it, nothing.
    pub unknown: Option<u32>,
}

impl Settings {
    /// Settings of the plainest tokenizer of a kind: no cuts, no prefix, no fallback.
    pub const fn plain(kind: TokenizerKind) -> Self {
        Self {
            kind,
            pre_tokenizer: PreTokenizer::None,
            individual_digits: false,
            add_prefix_space: false,
            dummy_prefix: false,
            byte_fallback: false,
            ignore_merges: false,
            unknown: None,
        }
    }
}

/// The bits of the header's flags field.
mod flag {
    pub const WIDE: u16 = 1;
    pub const INDIVIDUAL_DIGITS: u16 = 2;
    pub const ADD_PREFIX_SPACE: u16 = 4;
    pub const DUMMY_PREFIX: u16 = 8;
    pub const BYTE_FALLBACK: u16 = 16;
    pub const IGNORE_MERGES: u16 = 32;
    pub const ALL: u16 = 63;
}

/// What a token is, one byte each; a token with no bit set is normal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenFlags(pub u8);

impl TokenFlags {
    /// An ordinary piece of text.
    pub const NORMAL: Self = Self(0);
    /// A special token: its text does not become it unless the caller asks for that.
    pub const SPECIAL: Self = Self(1);
    /// In the list of added tokens: found in text before anything else is done.
    pub const ADDED: Self = Self(2);
    /// SentencePiece: stands for one byte.
    pub const BYTE: Self = Self(4);
    /// Steers the model; its bytes are a name (`<s>`, `<unk>`), which no text stands for.
    pub const CONTROL: Self = Self(8);
    /// No token has this id.
    pub const UNUSED: Self = Self(16);
    /// Not in the vocabulary of the merges: only the added-token list leads to it.
    pub const OUTSIDE: Self = Self(32);
    const ALL: u8 = 63;

    /// Whether any bit of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether text can become this token by the lookup of its bytes (and not only as an added token).
    pub const fn found_by_text(self) -> bool {
        !self.any(Self(1 | 4 | 8 | 16 | 32))
    }
}

/// How an added token is matched, one byte each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedFlags(pub u8);

impl AddedFlags {
    /// White space before the match belongs to it.
    pub const LEFT_STRIP: Self = Self(1);
    /// White space after the match belongs to it.
    pub const RIGHT_STRIP: Self = Self(2);
    /// Matched in a second pass, in what the tokens without this bit have left.
    pub const SECOND_PASS: Self = Self(4);
    const ALL: u8 = 7;

    /// Whether any bit of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
