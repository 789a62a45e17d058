//! What a tokenizer does besides looking things up: kinds, prefixes and flags, as the section spells them.
//!
//! The enums' numbers and the flags' bits are the format; new ones go behind the last.

/// How text becomes symbols and symbols become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerKind {
    /// Bytes, merged pair by pair in the order of a merge list (Radford et al. 2019).
    ByteLevelBpe,
    /// Characters, merged into whichever token has the best score (SentencePiece, as llama2.c does it too).
    SentencePieceBpe,
    /// Characters, merged pair by pair in the order of a merge list (Llama-2's `tokenizer.json`).
    CharacterBpe,
    /// The tokens with the best sum of scores (Kudo 2018), by Viterbi's algorithm.
    Unigram,
}

/// Where a space is put before text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Nowhere.
    None,
    /// Before a text that is not empty (SentencePiece's dummy prefix).
    Text,
    /// Before each part of the text that the added tokens of the first pass leave (llama.cpp; the normalizer
    /// `Prepend`).
    Segments,
    /// At the beginning of the text, unless a space or an added token is there (`Metaspace`, "first").
    FirstPiece,
    /// Before each piece that the last stage is given, unless it begins with a space (`ByteLevel` with
    /// `add_prefix_space`; `Metaspace`, "always").
    Pieces,
}

/// The settings of a tokenizer, apart from its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How text becomes tokens.
    pub kind: TokenizerKind,
    /// Where a space is put before text.
    pub prefix: Prefix,
    /// A character without a token becomes the tokens of its bytes.
    pub byte_fallback: bool,
    /// A piece that is a token as it stands becomes it, whatever the merges say.
    pub ignore_merges: bool,
    /// Several unknown characters in a row become one unknown token.
    pub fuse_unknown: bool,
    /// U+2581 in a text means a space, as in the tokens of SentencePiece.
    pub space_mark: bool,
    /// Spaces at both ends of the text are dropped, and of several in a row all but one.
    pub trim_spaces: bool,
    /// What is decoded directly after BOS loses one leading space.
    pub strip_first_space: bool,
    /// Unigram: sums of scores are rounded to f32, as SentencePiece has them.
    pub single_precision: bool,
    /// What a character without a token becomes; without it, nothing.
    pub unknown: Option<u32>,
}

impl Settings {
    /// Settings of the plainest tokenizer of a kind: no prefix, no fallback.
    pub const fn plain(kind: TokenizerKind) -> Self {
        Self {
            kind,
            prefix: Prefix::None,
            byte_fallback: false,
            ignore_merges: false,
            fuse_unknown: false,
            space_mark: false,
            trim_spaces: false,
            strip_first_space: false,
            single_precision: false,
            unknown: None,
        }
    }
}

/// The bits of the header's flags field.
pub(super) mod flag {
    pub const WIDE: u16 = 1;
    pub const BYTE_FALLBACK: u16 = 2;
    pub const IGNORE_MERGES: u16 = 4;
    pub const FUSE_UNKNOWN: u16 = 8;
    pub const SPACE_MARK: u16 = 16;
    pub const TRIM_SPACES: u16 = 32;
    pub const STRIP_FIRST_SPACE: u16 = 64;
    pub const SINGLE_PRECISION: u16 = 128;
    pub const ALL: u16 = 255;
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
    /// Stands for one byte of a character that has no token.
    pub const BYTE: Self = Self(4);
    /// Steers the model; its bytes are a name (`<s>`, `<unk>`), which no text stands for.
    pub const CONTROL: Self = Self(8);
    /// No token has this id.
    pub const UNUSED: Self = Self(16);
    /// Not in the vocabulary of the merges: only the added-token list leads to it.
    pub const OUTSIDE: Self = Self(32);
    pub(super) const ALL: u8 = 63;

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
    /// Matched in a second pass, in what the tokens without this bit have left, after normalization.
    pub const SECOND_PASS: Self = Self(4);
    /// Matched only where no letter, digit or underscore stands beside it.
    pub const SINGLE_WORD: Self = Self(8);
    pub(super) const ALL: u8 = 15;

    /// Whether any bit of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What added tokens ask of the characters beside them, one byte a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub u8);

impl Properties {
    /// `\s`, the Unicode property White_Space.
    pub const SPACE: Self = Self(1);
    /// `\w`: letters, marks, digits, underscores and other connectors.
    pub const WORD: Self = Self(2);
    pub(super) const ALL: u8 = 3;

    /// Whether any bit of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a stage of the pre-tokenizer reads and leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageFlags(pub u16);

impl StageFlags {
    /// What matches is dropped.
    pub const REMOVE: Self = Self(1);
    /// The stage reads bytes, each as the character that GPT-2's alphabet writes it with. Only stages of this
    /// kind may follow.
    pub const BYTES: Self = Self(2);
    pub(super) const ALL: u16 = 3;

    /// Whether any bit of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
