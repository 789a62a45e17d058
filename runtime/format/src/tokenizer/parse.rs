//! The reader of the tokenizer section: every check that makes the lookups infallible.
//!
//! One pass over each table, O(section bytes); no byte string makes it panic or read outside of the section.

use super::settings::flag;
use super::tables::{Numbers, TokenizerTables};
use super::{
    AddedFlags, HEADER_BYTES, MAX_CLASSES, MAX_STAGES, NONE, Normalization, Prefix, Properties, Settings,
    Stage, StageFlags, TokenFlags, TokenizerKind,
};
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
    /// Scores of a Unigram model.
    Scores,
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
    /// Offsets of the added tokens' patterns.
    Patterns,
    /// Characters that decompose.
    Decompositions,
    /// Pairs of characters that compose.
    Compositions,
    /// Boundaries of combining classes.
    CombiningClasses,
    /// Stages of the pre-tokenizer.
    Stages,
    /// Properties of classes.
    Properties,
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

    /// A stage whose transitions all lead to states of it.
    fn stage(&mut self, place: usize, classes: usize) -> Result<Stage<'m>, TokenizerError> {
        let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let head = self.take(1, 4)?;
        let (states, flags) = (word(head), word(head.get(2..).unwrap_or_default()));
        let columns = classes + 1;
        let transitions = self.take(usize::from(states), 2 * columns)?;
        let mut all = transitions.chunks_exact(2).map(word);
        let beyond = all.find(|transition| transition >> 1 >= states);
        let unknown = (flags & !StageFlags::ALL != 0).then_some(flags);
        match beyond.or(unknown) {
            Some(found) => {
                Err(TokenizerError::Value { table: Table::Stages, entry: place, found: found.into() })
            }
            None => Ok(Stage { transitions, columns, flags: StageFlags(flags) }),
        }
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
    // A stack frame of its own, which ends before the model runs.
    #[inline(never)]
    pub fn parse(section: &'m [u8]) -> Result<Self, TokenizerError> {
        let mut cutter = Cutter { rest: section, total: section.len(), cut: 0 };
        let header = cutter.take(1, HEADER_BYTES)?;
        let word = |field: usize| Numbers { bytes: header, wide: true }.get(field);
        let count = |field: usize| usize::try_from(word(field)).unwrap_or(usize::MAX);
        let (settings, wide) = settings(word(0), word(2))?;
        let vocab = count(1);
        let [classes, stage_count, reserved @ ..] = word(8).to_le_bytes();
        let (classes, stage_count) = (usize::from(classes), usize::from(stage_count));
        if classes > MAX_CLASSES || stage_count > MAX_STAGES || reserved != [0; 2] {
            return Err(TokenizerError::Header { offset: 32, found: word(8) });
        }
        let kind = settings.kind;
        let of_kind = |wanted, count: usize| if kind == wanted { count } else { 0 };
        let offsets = cutter.numbers(vocab.saturating_add(1), true)?;
        let pattern_offsets = cutter.numbers(count(6).saturating_add(1), true)?;
        let class_boundaries = cutter.numbers(count(9), true)?;
        let merges = cutter.numbers(count(5).saturating_mul(4), wide)?;
        let scores = cutter.numbers(of_kind(TokenizerKind::SentencePieceBpe, vocab), wide)?;
        let weights = cutter.take(of_kind(TokenizerKind::Unigram, vocab), 8)?;
        let index = cutter.numbers(count(4), wide)?;
        let byte_tokens = cutter.numbers(256, wide)?;
        let added = cutter.numbers(count(6), wide)?;
        let normalization = Normalization {
            decompositions: cutter.numbers(count(10).saturating_mul(2), true)?,
            characters: cutter.numbers(count(11), true)?,
            compositions: cutter.numbers(count(12).saturating_mul(3), true)?,
            classes: cutter.numbers(count(13), true)?,
        };
        let mut stages = [Stage { transitions: &[], columns: 1, flags: StageFlags::default() }; MAX_STAGES];
        for (place, stage) in stages.iter_mut().take(stage_count).enumerate() {
            *stage = cutter.stage(place, classes)?;
        }
        let tables = Self {
            settings,
            offsets,
            pattern_offsets,
            classes: class_boundaries,
            merges,
            scores,
            weights,
            index,
            byte_tokens,
            added,
            normalization,
            stages,
            stage_count,
            ascii: cutter.take(if classes > 0 { 128 } else { 0 }, 1)?,
            properties: cutter.take(classes, 1)?,
            token_flags: cutter.take(vocab, 1)?,
            added_flags: cutter.take(count(6), 1)?,
            patterns: cutter.take(count(7), 1)?,
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
        self.check_characters()?;
        let merges = matches!(self.settings.kind, TokenizerKind::ByteLevelBpe | TokenizerKind::CharacterBpe);
        if !merges && self.merge_count() > 0 {
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
        let scores = (0..self.vocab_size()).map_while(|id| self.score(id));
        if let Some(entry) = scores.into_iter().position(|score| !score.is_finite()) {
            return value(Table::Scores, entry, NONE);
        }
        for (entry, &bits) in self.added_flags.iter().enumerate() {
            if bits & !AddedFlags::ALL != 0 {
                return value(Table::AddedFlags, entry, bits.into());
            }
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), TokenizerError> {
        check_offsets(&self.offsets, self.blob, Table::Offsets)?;
        check_offsets(&self.pattern_offsets, self.patterns, Table::Patterns)?;
        for (entry, &bits) in self.token_flags.iter().enumerate() {
            if bits & !TokenFlags::ALL != 0 {
                return Err(TokenizerError::Value { table: Table::TokenFlags, entry, found: bits.into() });
            }
        }
        Ok(())
    }

    /// Classes, their properties and the normalization form.
    fn check_characters(&self) -> Result<(), TokenizerError> {
        let classes = self.properties.len();
        check_increasing(&self.classes, 1, 8, Table::Classes)?;
        let values = (0..self.classes.len()).map(|place| self.classes.get(place) as u8);
        let beyond = |found: &(usize, u8)| usize::from(found.1) >= classes;
        let ascii = self.ascii.iter().copied().enumerate().find(beyond);
        if let Some((entry, found)) = ascii.or_else(|| values.enumerate().find(beyond)) {
            return Err(TokenizerError::Value { table: Table::Classes, entry, found: found.into() });
        }
        for (entry, &bits) in self.properties.iter().enumerate() {
            if bits & !Properties::ALL != 0 {
                return Err(TokenizerError::Value { table: Table::Properties, entry, found: bits.into() });
            }
        }
        let Normalization { decompositions, characters, compositions, classes } = &self.normalization;
        check_increasing(decompositions, 2, 0, Table::Decompositions)?;
        check_increasing(compositions, 3, 0, Table::Compositions)?;
        check_increasing(classes, 1, 8, Table::CombiningClasses)?;
        let mut before = 0;
        for entry in 0..decompositions.len() / 2 {
            let end = decompositions.get(2 * entry + 1);
            if end <= before || end as usize > characters.len() {
                return Err(TokenizerError::Value { table: Table::Decompositions, entry, found: end });
            }
            before = end;
        }
        let is_character = |code: u32| char::from_u32(code).is_some();
        let tables = [(characters, 1, 0, Table::Decompositions), (compositions, 3, 2, Table::Compositions)];
        for (numbers, stride, field, table) in tables {
            for entry in 0..numbers.len() / stride {
                let found = numbers.get(stride * entry + field);
                if !is_character(found) {
                    return Err(TokenizerError::Value { table, entry, found });
                }
            }
        }
        Ok(())
    }

    /// Index and added tokens: ids in range, not empty, strictly increasing by their sort key.
    fn check_sorted(&self, ids: Numbers<'_>, table: Table) -> Result<(), TokenizerError> {
        let mut before = None;
        for entry in 0..ids.len() {
            let id = ids.get(entry);
            let token = self.token(id).unwrap_or_default();
            let bytes = if table == Table::Added { self.pattern(entry) } else { token };
            if bytes.is_empty() || token.is_empty() {
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

/// Offsets that begin with 0, never decrease and end where the bytes end.
fn check_offsets(offsets: &Numbers<'_>, bytes: &[u8], table: Table) -> Result<(), TokenizerError> {
    let mut before = 0;
    for entry in 0..offsets.len() {
        let offset = offsets.get(entry);
        if entry == 0 && offset != 0 {
            return Err(TokenizerError::Value { table, entry, found: offset });
        }
        if offset < before {
            return Err(TokenizerError::Order { table, entry });
        }
        before = offset;
    }
    if usize::try_from(before) != Ok(bytes.len()) {
        return Err(TokenizerError::Value { table, entry: offsets.len() - 1, found: before });
    }
    Ok(())
}

/// Entries of `stride` words that begin with code points, `shift` bits up, strictly increasing by the first word
/// or, where there are three, the first two.
fn check_increasing(
    numbers: &Numbers<'_>,
    stride: usize,
    shift: u32,
    table: Table,
) -> Result<(), TokenizerError> {
    let mut before = None;
    for entry in 0..numbers.len() / stride {
        let found = numbers.get(stride * entry) >> shift;
        if found > u32::from(char::MAX) {
            return Err(TokenizerError::Value { table, entry, found });
        }
        let second = if stride == 3 { numbers.get(stride * entry + 1) } else { 0 };
        let key = Some((found, second));
        if key <= before {
            return Err(TokenizerError::Order { table, entry });
        }
        before = key;
    }
    Ok(())
}

/// The settings of the header's first word (kind, prefix, flags), and whether the tables are wide.
fn settings(word: u32, unknown: u32) -> Result<(Settings, bool), TokenizerError> {
    let [kind, prefix, low, high] = word.to_le_bytes();
    let flags = u16::from_le_bytes([low, high]);
    let kind = match kind {
        0 => TokenizerKind::ByteLevelBpe,
        1 => TokenizerKind::SentencePieceBpe,
        2 => TokenizerKind::CharacterBpe,
        3 => TokenizerKind::Unigram,
        found => return Err(TokenizerError::Header { offset: 0, found: found.into() }),
    };
    let prefix = match prefix {
        0 => Prefix::None,
        1 => Prefix::Text,
        2 => Prefix::Segments,
        3 => Prefix::FirstPiece,
        4 => Prefix::Pieces,
        found => return Err(TokenizerError::Header { offset: 1, found: found.into() }),
    };
    if flags & !flag::ALL != 0 {
        return Err(TokenizerError::Header { offset: 2, found: flags.into() });
    }
    let has = |bit| flags & bit != 0;
    let settings = Settings {
        kind,
        prefix,
        byte_fallback: has(flag::BYTE_FALLBACK),
        ignore_merges: has(flag::IGNORE_MERGES),
        fuse_unknown: has(flag::FUSE_UNKNOWN),
        space_mark: has(flag::SPACE_MARK),
        trim_spaces: has(flag::TRIM_SPACES),
        strip_first_space: has(flag::STRIP_FIRST_SPACE),
        single_precision: has(flag::SINGLE_PRECISION),
        unknown: (unknown != NONE).then_some(unknown),
    };
    Ok((settings, has(flag::WIDE)))
}
