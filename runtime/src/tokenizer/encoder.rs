//! One encoding under way: from the added tokens down to the symbols of a piece.
//!
//! Every function returns `None` if the scratch is too small; the caller knows how much would do.

use core::ops::Range;

use sprat_format::tokenizer::{Prefix, Settings, TokenFlags, TokenizerKind, TokenizerTables};

use super::added::{AddedTokens, Split, overlaps};
use super::merge::Symbols;
use super::pieces::{Piece, Pieces};
use super::{EncodeError, Special, normalize};
#[cfg(any(test, feature = "every-family"))]
use super::{compose, unigram};

pub(super) struct Encoder<'a, 'm> {
    tables: &'a TokenizerTables<'m>,
    added: &'a AddedTokens,
    settings: Settings,
    special: Special,
    output: Output<'a>,
}

impl<'a, 'm> Encoder<'a, 'm> {
    pub(super) fn new(
        tables: &'a TokenizerTables<'m>,
        added: &'a AddedTokens,
        special: Special,
        out: &'a mut [u32],
    ) -> Self {
        let output = Output { tokens: out, len: 0 };
        Self { tables, added, settings: tables.settings(), special, output }
    }

    /// Encodes a whole text.
    pub(super) fn encode(mut self, text: &str, scratch: &mut [u32]) -> Option<Result<usize, EncodeError>> {
        let mut at_start = true;
        for outer in self.added.split(self.tables, text, false, self.special, &[]) {
            match outer {
                Split::Token(id) => self.output.push(id),
                Split::Text(segment) => self.segment(segment, at_start, scratch)?,
            }
            at_start = false;
        }
        Some(self.output.finish())
    }

    /// Encodes a text whose special tokens come from outside of `contents`; unless `at_start`, it goes on where
    /// another one ended.
    pub(super) fn encode_pieces(
        mut self,
        text: &str,
        contents: &[Range<usize>],
        mut at_start: bool,
        scratch: &mut [u32],
    ) -> Option<Result<usize, EncodeError>> {
        let prefix = self.settings.prefix;
        if !at_start {
            self.settings.prefix = Prefix::None;
        }
        let added = self.added;
        for outer in added.split(self.tables, text, false, Special::Parse, contents) {
            match outer {
                Split::Token(id) => self.output.push(id),
                Split::Text(segment) => {
                    let from = segment.as_ptr().addr() - text.as_ptr().addr();
                    // What is matched after normalization has no places in the text any more.
                    self.special = match overlaps(contents, &(from..from + segment.len())) {
                        true => Special::AsText,
                        false => Special::Parse,
                    };
                    self.segment(segment, at_start, scratch)?;
                }
            }
            (at_start, self.settings.prefix) = (false, prefix);
        }
        Some(self.output.finish())
    }

    /// Encodes what the first pass of added tokens has left; it is not empty.
    fn segment(&mut self, text: &str, mut at_start: bool, scratch: &mut [u32]) -> Option<()> {
        let (text, scratch) = self.normalized(text, at_start, scratch)?;
        for inner in self.added.split(self.tables, text, true, self.special, &[]) {
            match inner {
                Split::Token(id) => self.output.push(id),
                Split::Text(part) => {
                    let prefix = match self.settings.prefix {
                        Prefix::Pieces => true,
                        Prefix::FirstPiece => at_start,
                        _ => false,
                    };
                    for piece in Pieces::new(self.tables, part, prefix) {
                        self.piece(piece, scratch)?;
                    }
                }
            }
            at_start = false;
        }
        Some(())
    }

    /// The text as the second pass sees it, and the rest of the scratch.
    fn normalized<'s>(
        &self,
        text: &'s str,
        at_start: bool,
        scratch: &'s mut [u32],
    ) -> Option<(&'s str, &'s mut [u32])> {
        #[cfg(any(test, feature = "every-family"))]
        let (text, scratch) = compose::normalized(self.tables.normalization(), text, scratch)?;
        let Settings { prefix, space_mark, trim_spaces, .. } = self.settings;
        match prefix {
            Prefix::Segments => {}
            Prefix::Text if at_start => {}
            _ if space_mark || trim_spaces => {}
            _ => return Some((text, scratch)),
        }
        normalize::spaces(&self.settings, text, at_start, scratch)
    }

    fn piece(&mut self, piece: Piece<'_>, scratch: &mut [u32]) -> Option<()> {
        let prefix = if piece.led { " " } else { "" };
        if self.settings.ignore_merges
            && let Some(id) = self.tables.text_token(prefix.as_bytes(), piece.bytes)
        {
            self.output.push(id);
            return Some(());
        }
        match self.settings.kind {
            TokenizerKind::ByteLevelBpe => self.bytes(prefix, piece.bytes, scratch),
            TokenizerKind::SentencePieceBpe | TokenizerKind::CharacterBpe => {
                self.characters(prefix, text(piece.bytes), scratch)
            }
            TokenizerKind::Unigram => self.unigram(prefix, text(piece.bytes), scratch),
        }
    }

    /// Bytes, merged in the order of the list.
    fn bytes(&mut self, prefix: &str, piece: &[u8], scratch: &mut [u32]) -> Option<()> {
        let mut symbols = Symbols::new(scratch, prefix.len() + piece.len())?;
        for &byte in prefix.as_bytes().iter().chain(piece) {
            symbols.push(self.tables.byte_token(byte).or(self.settings.unknown));
        }
        self.merge(symbols);
        Some(())
    }

    /// Characters, or the bytes of those without a token.
    fn characters(&mut self, prefix: &str, text: &str, scratch: &mut [u32]) -> Option<()> {
        let mut symbols = Symbols::new(scratch, prefix.len() + text.len())?;
        let (tables, settings) = (self.tables, &self.settings);
        for character in prefix.chars().chain(text.chars()) {
            let mut utf8 = [0; 4];
            let bytes = character.encode_utf8(&mut utf8).as_bytes();
            match tables.text_token(bytes, &[]) {
                Some(id) => symbols.push(Some(id)),
                None if settings.byte_fallback => {
                    bytes.iter().for_each(|&byte| symbols.push(tables.byte_token(byte).or(settings.unknown)));
                }
                None if settings.fuse_unknown && symbols.ends_with(settings.unknown) => {}
                None => symbols.push(settings.unknown),
            }
        }
        self.merge(symbols);
        Some(())
    }

    fn merge(&mut self, mut symbols: Symbols<'_>) {
        let (tables, special) = (self.tables, self.special);
        if self.settings.kind == TokenizerKind::SentencePieceBpe {
            // The pair whose concatenation has the best score.
            symbols.merge(&|left, right| {
                // The token of a byte is a last resort and not a beginning.
                let is_byte = |id| tables.flags(id).any(TokenFlags::BYTE);
                if is_byte(left) || is_byte(right) {
                    return None;
                }
                let id = tables.text_token(tables.token(left)?, tables.token(right)?)?;
                Some((tables.score_rank(id)?, id))
            });
        } else {
            symbols.merge(&|left, right| {
                let merge = tables.merge(left, right)?;
                let allowed = special == Special::Parse || !tables.flags(merge.id).any(TokenFlags::SPECIAL);
                allowed.then_some((merge.rank, merge.id))
            });
        }
        symbols.survivors(|id| self.output.push(id));
    }

    #[cfg(any(test, feature = "every-family"))]
    fn unigram(&mut self, prefix: &str, text: &str, scratch: &mut [u32]) -> Option<()> {
        let (tables, settings, output) = (self.tables, &self.settings, &mut self.output);
        unigram::encode(tables, prefix, text, scratch, |id, range| {
            if id != sprat_format::tokenizer::NONE {
                output.push(id);
            } else if settings.byte_fallback {
                let bytes = prefix.bytes().chain(text.bytes()).skip(range.start).take(range.len());
                bytes.filter_map(|byte| tables.byte_token(byte)).for_each(|id| output.push(id));
            } else {
                settings.unknown.into_iter().for_each(|id| output.push(id));
            }
        })
    }

    /// This build has no Unigram: `Image` refuses such models.
    #[cfg(not(any(test, feature = "every-family")))]
    fn unigram(&mut self, _: &str, _: &str, _: &mut [u32]) -> Option<()> {
        Some(())
    }
}

/// A piece of whole characters.
fn text(piece: &[u8]) -> &str {
    core::str::from_utf8(piece).unwrap_or_default()
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
