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
//! | 0 | 1 | kind: 0 byte-level BPE, 1 SentencePiece BPE, 2 BPE over characters, 3 Unigram |
//! | 1 | 1 | prefix: 0 none, 1 text, 2 segments, 3 first piece, 4 pieces ([`Prefix`]) |
//! | 2 | 2 | flags: 1 `WIDE`, 2 byte fallback, 4 ignore merges, 8 fuse unknown, 16 space mark, 32 trim spaces, 64 strip first space, 128 single precision; others 0 |
//! | 4 | 4 | `V`, tokens: ids are 0 to V - 1 |
//! | 8 | 4 | id of the unknown token, or all ones |
//! | 12 | 4 | `B`, bytes of all tokens together |
//! | 16 | 4 | `I`, entries of the index |
//! | 20 | 4 | `M`, merges (0 for SentencePiece and Unigram) |
//! | 24 | 4 | `A`, added tokens |
//! | 28 | 4 | `P`, bytes of the patterns of all added tokens together |
//! | 32 | 1 | `K`, classes of characters, 0 if nothing asks for them |
//! | 33 | 1 | `S`, stages of the pre-tokenizer, at most [`MAX_STAGES`] |
//! | 34 | 2 | 0 |
//! | 36 | 4 | `C`, class boundaries |
//! | 40 | 4 | `N`, characters that decompose (0 without a normalization form) |
//! | 44 | 4 | `L`, characters of all decompositions together |
//! | 48 | 4 | `Q`, pairs of characters that compose |
//! | 52 | 4 | `R`, boundaries of combining classes |
//! | 56 | 4 (V + 1) | token offsets into the token bytes: first 0, never decreasing, last `B` |
//! | | 4 (A + 1) | pattern offsets into the pattern bytes: first 0, never decreasing, last `P` |
//! | | 4 C | class boundaries: code point << 8 \| class, code points strictly increasing; a class holds up to the next boundary; below U+0080 the ASCII classes hold, below the first boundary class 0 |
//! | | 4 w M | merges: left id, right id, rank, merged id; (left, right) strictly increasing |
//! | | w V, or 8 V | SentencePiece: rank of each token's score, 0 the best, equal scores equal ranks, none = never merged into. Unigram: the score, a finite f64 |
//! | | w I | index: ids whose bytes are not empty, by (bytes, found by text before not, id), strictly increasing |
//! | | w 256 | the token of each byte value, or none |
//! | | w A | added tokens: ids by (pattern, id), strictly increasing |
//! | | 8 N | decompositions: code point, end of its characters in the next table; both strictly increasing, the last end is L |
//! | | 4 L | characters of the decompositions, as code points |
//! | | 12 Q | compositions: first, second, composite, strictly increasing by (first, second) |
//! | | 4 R | combining classes: code point << 8 \| class, as the class boundaries |
//! | | 4 S + 2 T | stages, one after the other: states (u16), [`StageFlags`] (u16), and for each state K + 1 transitions (u16), one a class and one for the end of the text: next state << 1 \| matched |
//! | | 128 | classes of the ASCII characters (only if K > 0) |
//! | | K | properties of the classes, [`Properties`] |
//! | | V | token flags, [`TokenFlags`] |
//! | | A | added-token flags, [`AddedFlags`] |
//! | | P | patterns: the text that each added token is found by, one after the other |
//! | | B | token bytes, one token after the other |
//!
//! The section ends there; a longer or shorter one is refused. Tokens are stored as the bytes that they decode
//! to: a byte-level `Ġthe` as ` the`, a SentencePiece `▁the` as ` the`, `<0x0A>` as one byte. Several ids may have
//! equal bytes.
//!
//! # Stages
//!
//! A pre-tokenizer is a row of stages; each cuts the pieces of the one before. A stage is a regular expression,
//! compiled into a deterministic automaton over classes of characters. State 1 starts, state 0 is dead. A run
//! takes the transition of each character's class, and of the end of the piece after the last one; one with
//! `matched` says that the expression matches everything *before* that character, which is how the expression
//! can look one character ahead. The last match of a run counts. What matches is a piece, what lies between two
//! matches is one too.
//!
//! # Normalization
//!
//! The host chooses the form (NFC, NFKC) by what the decompositions hold: each is complete and in canonical order.
//! Hangul is left to arithmetic.
//!
//! # Limits
//!
//! Lookups are binary searches, O(log V) comparisons. [`TokenizerTables::parse`] reads the whole section once and
//! checks each id, offset and order, so that nothing can fail afterwards, whatever the bytes.

mod normalization;
mod parse;
mod settings;
mod stages;
mod tables;
#[cfg(test)]
mod tests;
mod write;

pub use normalization::{Decomposition, Normalization};
pub use parse::{Table, TokenizerError};
pub use settings::{AddedFlags, Prefix, Properties, Settings, StageFlags, TokenFlags, TokenizerKind};
pub use stages::{DEAD, MAX_CLASSES, MAX_STAGES, START, Stage};
pub use tables::{Added, Merge, TokenizerTables};
pub use write::{
    Classes, NormalizationParts, StageParts, TokenSpec, TokenizerParts, sort_added, sort_index, sort_merges,
};

/// Bytes before the first table.
pub const HEADER_BYTES: usize = 56;

/// What "none" is in a wide field, in the header and in the interface of the lookups.
pub const NONE: u32 = u32::MAX;
