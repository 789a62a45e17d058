//! The writer of the tokenizer section, beside its reader.
//!
//! It allocates nothing: the host hands over its tables as slices, already in the order of the layout (the
//! `sort_*` functions bring them into it), and receives the section piece by piece. What is written is not
//! checked here; [`TokenizerTables::parse`](super::TokenizerTables::parse) on the result is the check.

use super::settings::flag;
use super::tables::Merge;
use super::{AddedFlags, NONE, Prefix, Properties, Settings, StageFlags, TokenFlags, TokenizerKind};

/// One token to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSpec<'a> {
    /// The bytes that it decodes to; empty if unused.
    pub bytes: &'a [u8],
    /// What it is.
    pub flags: TokenFlags,
}

/// All tables of a section, as slices.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerParts<'a> {
    /// Kind, prefix, flags.
    pub settings: Settings,
    /// The tokens by id.
    pub tokens: &'a [TokenSpec<'a>],
    /// Byte-level merges, sorted by [`sort_merges`].
    pub merges: &'a [Merge],
    /// SentencePiece: for each token the rank of its score, or [`NONE`].
    pub scores: &'a [u32],
    /// Unigram: the score of each token.
    pub weights: &'a [f64],
    /// Ids with bytes, sorted by [`sort_index`].
    pub index: &'a [u32],
    /// The token of each byte, or [`NONE`].
    pub byte_tokens: &'a [u32; 256],
    /// Added tokens with their patterns, sorted by [`sort_added`].
    pub added: &'a [(u32, AddedFlags, &'a [u8])],
    /// The stages of the pre-tokenizer.
    pub stages: &'a [StageParts<'a>],
    /// What stages and added tokens distinguish in characters.
    pub classes: Classes<'a>,
    /// The normalization form.
    pub normalization: NormalizationParts<'a>,
}

/// Classes of characters; all empty if nothing asks for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes<'a> {
    /// The classes of the characters below U+0080.
    pub ascii: &'a [u8],
    /// From U+0080 on: code point << 8 | class, increasing.
    pub boundaries: &'a [u32],
    /// Properties of each class.
    pub properties: &'a [Properties],
}

/// One stage of the pre-tokenizer.
#[derive(Clone, Copy, Debug)]
pub struct StageParts<'a> {
    /// What it reads and leaves.
    pub flags: StageFlags,
    /// State by state, one transition a class and one for the end: next state << 1 | matched.
    pub transitions: &'a [u16],
}

/// A normalization form; all empty for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NormalizationParts<'a> {
    /// Characters and where their decompositions end, increasing.
    pub decompositions: &'a [(u32, u32)],
    /// The characters of all decompositions.
    pub characters: &'a [u32],
    /// First, second, composite, increasing.
    pub compositions: &'a [(u32, u32, u32)],
    /// Combining classes: code point << 8 | class, increasing.
    pub classes: &'a [u32],
}

/// Sorts merges by their pair.
pub fn sort_merges(merges: &mut [Merge]) {
    merges.sort_unstable_by_key(|merge| (merge.left, merge.right));
}

/// Sorts ids by their bytes; of equal bytes those that text may become first. Ids must be below `tokens.len()`.
pub fn sort_index(tokens: &[TokenSpec<'_>], ids: &mut [u32]) {
    ids.sort_unstable_by_key(|&id| {
        let token = tokens[id as usize];
        (token.bytes, !token.flags.found_by_text(), id)
    });
}

/// Sorts added tokens by their patterns.
pub fn sort_added(added: &mut [(u32, AddedFlags, &[u8])]) {
    added.sort_unstable_by_key(|&(id, _, pattern)| (pattern, id));
}

impl TokenizerParts<'_> {
    /// Whether ids and ranks need four bytes.
    const fn wide(&self) -> bool {
        self.tokens.len() > 65_535 || self.merges.len() > 65_535
    }

    /// Writes the section, in pieces, in order.
    ///
    /// # Errors
    /// The first error of the sink.
    pub fn write<E>(&self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let wide = self.wide();
        self.write_header(wide, &mut sink)?;
        let mut offsets = |lengths: &mut dyn Iterator<Item = usize>| {
            let mut offset = 0u32;
            sink(&offset.to_le_bytes())?;
            for length in lengths {
                offset += length as u32;
                sink(&offset.to_le_bytes())?;
            }
            Ok(())
        };
        offsets(&mut self.tokens.iter().map(|token| token.bytes.len()))?;
        offsets(&mut self.added.iter().map(|(_, _, pattern)| pattern.len()))?;
        for &boundary in self.classes.boundaries {
            sink(&boundary.to_le_bytes())?;
        }
        for merge in self.merges {
            for field in [merge.left, merge.right, merge.rank, merge.id] {
                number(field, wide, &mut sink)?;
            }
        }
        for &rank in self.scores {
            number(rank, wide, &mut sink)?;
        }
        for &score in self.weights {
            sink(&score.to_le_bytes())?;
        }
        for &entry in self.index.iter().chain(self.byte_tokens) {
            number(entry, wide, &mut sink)?;
        }
        for &(id, ..) in self.added {
            number(id, wide, &mut sink)?;
        }
        self.write_normalization(&mut sink)?;
        for stage in self.stages {
            let states = stage.transitions.len() / (self.classes.properties.len() + 1);
            sink(&(states as u16).to_le_bytes())?;
            sink(&stage.flags.0.to_le_bytes())?;
            stage.transitions.iter().try_for_each(|transition| sink(&transition.to_le_bytes()))?;
        }
        sink(self.classes.ascii)?;
        for properties in self.classes.properties {
            sink(&[properties.0])?;
        }
        for token in self.tokens {
            sink(&[token.flags.0])?;
        }
        for (_, flags, _) in self.added {
            sink(&[flags.0])?;
        }
        for (_, _, pattern) in self.added {
            sink(pattern)?;
        }
        for token in self.tokens {
            sink(token.bytes)?;
        }
        Ok(())
    }

    fn write_normalization<E>(&self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let NormalizationParts { decompositions, characters, compositions, classes } = self.normalization;
        let decompositions = decompositions.iter().flat_map(|&(character, end)| [character, end]);
        let compositions = compositions.iter().flat_map(|&(first, second, both)| [first, second, both]);
        let rest = characters.iter().copied().chain(compositions).chain(classes.iter().copied());
        decompositions.chain(rest).try_for_each(|word| sink(&word.to_le_bytes()))
    }

    fn write_header<E>(&self, wide: bool, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let settings = &self.settings;
        let kind = match settings.kind {
            TokenizerKind::ByteLevelBpe => 0,
            TokenizerKind::SentencePieceBpe => 1,
            TokenizerKind::CharacterBpe => 2,
            TokenizerKind::Unigram => 3,
        };
        let prefix = match settings.prefix {
            Prefix::None => 0,
            Prefix::Text => 1,
            Prefix::Segments => 2,
            Prefix::FirstPiece => 3,
            Prefix::Pieces => 4,
        };
        let flags = [
            (wide, flag::WIDE),
            (settings.byte_fallback, flag::BYTE_FALLBACK),
            (settings.ignore_merges, flag::IGNORE_MERGES),
            (settings.fuse_unknown, flag::FUSE_UNKNOWN),
            (settings.space_mark, flag::SPACE_MARK),
            (settings.trim_spaces, flag::TRIM_SPACES),
            (settings.strip_first_space, flag::STRIP_FIRST_SPACE),
            (settings.single_precision, flag::SINGLE_PRECISION),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |sum, (_, bit)| sum | bit);
        sink(&[kind, prefix])?;
        sink(&flags.to_le_bytes())?;
        let blob: usize = self.tokens.iter().map(|token| token.bytes.len()).sum();
        let patterns: usize = self.added.iter().map(|(_, _, pattern)| pattern.len()).sum();
        let normalization = &self.normalization;
        let words = [
            self.tokens.len(),
            settings.unknown.unwrap_or(NONE) as usize,
            blob,
            self.index.len(),
            self.merges.len(),
            self.added.len(),
            patterns,
            self.classes.properties.len() | self.stages.len() << 8,
            self.classes.boundaries.len(),
            normalization.decompositions.len(),
            normalization.characters.len(),
            normalization.compositions.len(),
            normalization.classes.len(),
        ];
        words.iter().try_for_each(|&word| sink(&(word as u32).to_le_bytes()))
    }
}

/// A number of `w` bytes. Truncation turns [`NONE`] into the narrow none; others fit, or the section were wide.
fn number<E>(number: u32, wide: bool, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    match wide {
        true => sink(&number.to_le_bytes()),
        false => sink(&(number as u16).to_le_bytes()),
    }
}
