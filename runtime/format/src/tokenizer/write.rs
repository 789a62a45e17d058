//! The writer of the tokenizer section, beside its reader.
//!
//! It allocates nothing: the host hands over its tables as slices, already in the order of the layout (the
//! `sort_*` functions bring them into it), and receives the section piece by piece. What is written is not
//! checked here; [`TokenizerTables::parse`](super::TokenizerTables::parse) on the result is the check.

use super::tables::Merge;
use super::{AddedFlags, NONE, PreTokenizer, Settings, TokenFlags, TokenizerKind, flag};

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
    /// Kind, pre-tokenizer, flags.
    pub settings: Settings,
    /// The tokens by id.
    pub tokens: &'a [TokenSpec<'a>],
    /// Byte-level merges, sorted by [`sort_merges`].
    pub merges: &'a [Merge],
    /// SentencePiece: for each token the rank of its score, or [`NONE`].
    pub scores: &'a [u32],
    /// Ids with bytes, sorted by [`sort_index`].
    pub index: &'a [u32],
    /// The token of each byte, or [`NONE`].
    pub byte_tokens: &'a [u32; 256],
    /// Added tokens, sorted by [`sort_added`].
    pub added: &'a [(u32, AddedFlags)],
    /// Class boundaries, code point << 2 | class, increasing.
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

/// Sorts added tokens by their bytes. Ids must be below `tokens.len()`.
pub fn sort_added(tokens: &[TokenSpec<'_>], added: &mut [(u32, AddedFlags)]) {
    added.sort_unstable_by_key(|&(id, _)| (tokens[id as usize].bytes, id));
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
        let mut offset = 0u32;
        sink(&offset.to_le_bytes())?;
        for token in self.tokens {
            offset += token.bytes.len() as u32;
            sink(&offset.to_le_bytes())?;
        }
        for &boundary in self.classes {
            sink(&boundary.to_le_bytes())?;
        }
        let mut number = |number: u32| match wide {
            true => sink(&number.to_le_bytes()),
            // Truncation turns NONE into the narrow NONE; other numbers fit, or the section would be wide.
            false => sink(&(number as u16).to_le_bytes()),
        };
        for merge in self.merges {
            for field in [merge.left, merge.right, merge.rank, merge.id] {
                number(field)?;
            }
        }
        for &table in &[self.scores, self.index, self.byte_tokens] {
            for &entry in table {
                number(entry)?;
            }
        }
        for &(id, _) in self.added {
            number(id)?;
        }
        for token in self.tokens {
            sink(&[token.flags.0])?;
        }
        for (_, flags) in self.added {
            sink(&[flags.0])?;
        }
        for token in self.tokens {
            sink(token.bytes)?;
        }
        Ok(())
    }

    fn write_header<E>(&self, wide: bool, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let settings = &self.settings;
        let kind = match settings.kind {
            TokenizerKind::ByteLevelBpe => 0,
            TokenizerKind::SentencePieceBpe => 1,
        };
        let pre_tokenizer = match settings.pre_tokenizer {
            PreTokenizer::None => 0,
            PreTokenizer::Gpt2 => 1,
            PreTokenizer::Llama3 => 2,
        };
        let flags = [
            (wide, flag::WIDE),
            (settings.individual_digits, flag::INDIVIDUAL_DIGITS),
            (settings.add_prefix_space, flag::ADD_PREFIX_SPACE),
            (settings.dummy_prefix, flag::DUMMY_PREFIX),
            (settings.byte_fallback, flag::BYTE_FALLBACK),
            (settings.ignore_merges, flag::IGNORE_MERGES),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |sum, (_, bit)| sum | bit);
        sink(&[kind, pre_tokenizer])?;
        sink(&flags.to_le_bytes())?;
        let blob: usize = self.tokens.iter().map(|token| token.bytes.len()).sum();
        let words = [
            self.tokens.len() as u32,
            settings.unknown.unwrap_or(NONE),
            blob as u32,
            self.index.len() as u32,
            self.merges.len() as u32,
            self.added.len() as u32,
            self.classes.len() as u32,
        ];
        words.iter().try_for_each(|word| sink(&word.to_le_bytes()))
    }
}
