//! The reader of the tokenizer section: every check that makes the lookups infallible.
//!
//! One pass over each table, O(section bytes); no byte string makes it panic or read outside of the section.

use super::tables::{Numbers, TokenizerTables};
use super::{AddedFlags, HEADER_BYTES, NONE, PreTokenizer, Settings, TokenFlags, TokenizerKind, flag};
use crate::messages;

/// The part of the section that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Table {
    /// Token offsets.
    Offsets,
    /// Class boundaries.
    Classes,
    /// Merges.
    Merges,
    /// Ids sorted by bytes.
    Index,
    /// Tokens of single bytes.
    ByteTokens,
    /// Added tokens.
    Added,
    /// Token flags.
    TokenFlags,
    /// Added-token flags.
    AddedFlags,
}

/// Why a tokenizer section was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerError {
    /// The section is not as long as its header says (`need` saturates).
    Length {
        /// Bytes that the header describes.
        need: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// A field of the header has a value that this version does not know.
    Header {
        /// Offset of the field in the section.
        offset: usize,
        /// Its value.
        found: u32,
    },
    /// A value is not allowed in this table: an id outside of the vocabulary, an unknown flag, a wrong class.
    Value {
        /// The table.
        table: Table,
        /// The entry in it.
        entry: usize,
        /// The value found.
        found: u32,
    },
    /// An entry is not above the one before it, or an offset is below the one before it.
    Order {
        /// The table.
        table: Table,
        /// The later entry.
        entry: usize,
    },
}

messages!(TokenizerError {
    Self::Length { need, have } => ("tokenizer section: {} bytes found, {} described", have, need),
    Self::Header { offset, found } => (
        "tokenizer section: unknown value {} in the header at byte {}",
        found,
        offset,
    ),
    Self::Value { table, entry, found } => (
        "tokenizer section: value {} not allowed in {:?}, entry {}",
        found,
        table,
        entry,
    ),
    Self::Order { table, entry } => ("tokenizer section: {:?} out of order at entry {}", table, entry),
});

impl core::error::Error for TokenizerError {}

/// Cuts the section into tables, front to back.
struct Cutter<'m> {
    rest: &'m [u8],
    total: usize,
    cut: usize,
}

impl<'m> Cutter<'m> {
    fn take(&mut self, count: usize, width: usize) -> Result<&'m [u8], TokenizerError> {
        let bytes = count.saturating_mul(width);
        self.cut = self.cut.saturating_add(bytes);
        let short = TokenizerError::Length { need: self.cut, have: self.total };
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn numbers(&mut self, count: usize, wide: bool) -> Result<Numbers<'m>, TokenizerError> {
        Ok(Numbers { bytes: self.take(count, if wide { 4 } else { 2 })?, wide })
    }
}

impl<'m> TokenizerTables<'m> {
    /// Checks a whole section and borrows its tables.
    ///
    /// # Errors
    /// [`TokenizerError`]: the first thing found that breaks the layout described in the module.
    pub fn parse(section: &'m [u8]) -> Result<Self, TokenizerError> {
        let mut cutter = Cutter { rest: section, total: section.len(), cut: 0 };
        let header = cutter.take(1, HEADER_BYTES)?;
        let word = |field: usize| Numbers { bytes: header, wide: true }.get(field);
        let count = |field: usize| usize::try_from(word(field)).unwrap_or(usize::MAX);
        let (settings, wide) = settings(word(0), word(2))?;
        let vocab = count(1);
        let is_sentence_piece = settings.kind == TokenizerKind::SentencePieceBpe;
        let tables = Self {
            settings,
            offsets: cutter.numbers(vocab.saturating_add(1), true)?,
            classes: cutter.numbers(count(7), true)?,
            merges: cutter.numbers(count(5).saturating_mul(4), wide)?,
            scores: cutter.numbers(if is_sentence_piece { vocab } else { 0 }, wide)?,
            index: cutter.numbers(count(4), wide)?,
            byte_tokens: cutter.numbers(256, wide)?,
            added: cutter.numbers(count(6), wide)?,
            token_flags: cutter.take(vocab, 1)?,
            added_flags: cutter.take(count(6), 1)?,
            blob: cutter.take(count(3), 1)?,
        };
        if !cutter.rest.is_empty() {
            return Err(TokenizerError::Length { need: cutter.cut, have: section.len() });
        }
        tables.check()?;
        Ok(tables)
    }

    fn check(&self) -> Result<(), TokenizerError> {
        let value = |table, entry, found| Err(TokenizerError::Value { table, entry, found });
        if let Some(id) = self.settings.unknown
            && id >= self.vocab_size()
        {
            return Err(TokenizerError::Header { offset: 8, found: id });
        }
        self.check_tokens()?;
        self.check_classes()?;
        if self.settings.kind == TokenizerKind::SentencePieceBpe && self.merge_count() > 0 {
            return Err(TokenizerError::Header { offset: 20, found: self.merge_count() as u32 });
        }
        let mut before = None;
        for entry in 0..self.merge_count() {
            let merge = self.merge_at(entry);
            for found in [merge.left, merge.right, merge.id] {
                if found >= self.vocab_size() {
                    return value(Table::Merges, entry, found);
                }
            }
            if merge.rank == NONE {
                return value(Table::Merges, entry, merge.rank);
            }
            let pair = Some((merge.left, merge.right));
            if pair <= before {
                return Err(TokenizerError::Order { table: Table::Merges, entry });
            }
            before = pair;
        }
        for byte in 0..256 {
            let found = self.byte_tokens.get(byte);
            if found != NONE && (found >= self.vocab_size() || self.flags(found).any(TokenFlags::SPECIAL)) {
                return value(Table::ByteTokens, byte, found);
            }
        }
        self.check_sorted(self.index, Table::Index)?;
        self.check_sorted(self.added, Table::Added)?;
        for (entry, &bits) in self.added_flags.iter().enumerate() {
            if bits & !AddedFlags::ALL != 0 {
                return value(Table::AddedFlags, entry, bits.into());
            }
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), TokenizerError> {
        let mut before = 0;
        for entry in 0..self.offsets.len() {
            let offset = self.offsets.get(entry);
            if entry == 0 && offset != 0 {
                return Err(TokenizerError::Value { table: Table::Offsets, entry, found: offset });
            }
            if offset < before {
                return Err(TokenizerError::Order { table: Table::Offsets, entry });
            }
            before = offset;
        }
        if usize::try_from(before) != Ok(self.blob.len()) {
            let entry = self.token_flags.len();
            return Err(TokenizerError::Value { table: Table::Offsets, entry, found: before });
        }
        for (entry, &bits) in self.token_flags.iter().enumerate() {
            if bits & !TokenFlags::ALL != 0 {
                return Err(TokenizerError::Value { table: Table::TokenFlags, entry, found: bits.into() });
            }
        }
        Ok(())
    }

    fn check_classes(&self) -> Result<(), TokenizerError> {
        let mut before = None;
        for entry in 0..self.classes.len() {
            let found = self.classes.get(entry);
            if found >> 2 > u32::from(char::MAX) {
                return Err(TokenizerError::Value { table: Table::Classes, entry, found });
            }
            if Some(found >> 2) <= before {
                return Err(TokenizerError::Order { table: Table::Classes, entry });
            }
            before = Some(found >> 2);
        }
        Ok(())
    }

    /// Index and added tokens: ids in range, not empty, strictly increasing by their sort key.
    fn check_sorted(&self, ids: Numbers<'_>, table: Table) -> Result<(), TokenizerError> {
        let mut before = None;
        for entry in 0..ids.len() {
            let id = ids.get(entry);
            let bytes = self.token(id).unwrap_or_default();
            if bytes.is_empty() {
                return Err(TokenizerError::Value { table, entry, found: id });
            }
            let hidden = table == Table::Index && !self.flags(id).found_by_text();
            let key = Some((bytes, hidden, id));
            if key <= before {
                return Err(TokenizerError::Order { table, entry });
            }
            before = key;
        }
        Ok(())
    }
}

/// The settings of the header's first word (kind, pre-tokenizer, flags), and whether the tables are wide.
fn settings(word: u32, unknown: u32) -> Result<(Settings, bool), TokenizerError> {
    let [kind, pre_tokenizer, low, high] = word.to_le_bytes();
    let flags = u16::from_le_bytes([low, high]);
    let kind = match kind {
        0 => TokenizerKind::ByteLevelBpe,
        1 => TokenizerKind::SentencePieceBpe,
        found => return Err(TokenizerError::Header { offset: 0, found: found.into() }),
    };
    let pre_tokenizer = match pre_tokenizer {
        0 => PreTokenizer::None,
        1 => PreTokenizer::Gpt2,
        2 => PreTokenizer::Llama3,
        found => return Err(TokenizerError::Header { offset: 1, found: found.into() }),
    };
    if flags & !flag::ALL != 0 {
        return Err(TokenizerError::Header { offset: 2, found: flags.into() });
    }
    let has = |bit| flags & bit != 0;
    if has(flag::ADD_PREFIX_SPACE) && pre_tokenizer == PreTokenizer::Llama3 {
        return Err(TokenizerError::Header { offset: 2, found: flags.into() });
    }
    let settings = Settings {
        kind,
        pre_tokenizer,
        individual_digits: has(flag::INDIVIDUAL_DIGITS),
        add_prefix_space: has(flag::ADD_PREFIX_SPACE),
        dummy_prefix: has(flag::DUMMY_PREFIX),
        byte_fallback: has(flag::BYTE_FALLBACK),
        ignore_merges: has(flag::IGNORE_MERGES),
        unknown: (unknown != NONE).then_some(unknown),
    };
    Ok((settings, has(flag::WIDE)))
}
