//! The added tokens: cutting text at the tokens that are matched before anything else.
//!
//! As Hugging Face's `tokenizers` does it (`added_vocabulary.rs`): leftmost match, longest of those, in two
//! passes. A special token that is to stay text still takes its place: no other token is sought inside of it.

use core::ops::Range;

use sprat_format::tokenizer::{Added, AddedFlags, Properties, TokenFlags, TokenizerTables};

use super::Special;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split<'t> {
    /// Text between added tokens, not empty.
    Text(&'t str),
    /// An added token.
    Token(u32),
}

/// The first bytes of all added tokens, so that most positions of a text cost one look at a bit set.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddedTokens {
    first_bytes: [u32; 8],
}

impl AddedTokens {
    pub(super) fn new(tables: &TokenizerTables<'_>) -> Self {
        let mut first_bytes = [0; 8];
        for added in (0..tables.added_count()).filter_map(|place| tables.added(place)) {
            if let Some(&byte) = added.bytes.first() {
                first_bytes[usize::from(byte / 32)] |= 1 << (byte % 32);
            }
        }
        Self { first_bytes }
    }

    fn may_start(&self, byte: u8) -> bool {
        self.first_bytes[usize::from(byte / 32)] >> (byte % 32) & 1 != 0
    }

    /// Cuts a text at the added tokens of one pass.
    pub(super) fn split<'a, 'm, 't>(
        &'a self,
        tables: &'a TokenizerTables<'m>,
        text: &'t str,
        second_pass: bool,
        special: Special,
        contents: &'a [Range<usize>],
    ) -> Splits<'a, 'm, 't> {
        Splits { added: self, tables, text, second_pass, special, contents, start: 0, scan: 0, token: None }
    }
}

/// Whether a part of a text shares a byte with any of others.
pub(super) fn overlaps(parts: &[Range<usize>], part: &Range<usize>) -> bool {
    parts.iter().any(|other| other.start < part.end && part.start < other.end)
}

/// The parts of a text, in order.
pub(super) struct Splits<'a, 'm, 't> {
    added: &'a AddedTokens,
    tables: &'a TokenizerTables<'m>,
    text: &'t str,
    second_pass: bool,
    special: Special,
    /// Parts of the text that no special token may touch.
    contents: &'a [Range<usize>],
    /// Where the text begins that has not been returned yet.
    start: usize,
    /// Where the next token may begin: before `start` if the last one took white space behind it.
    scan: usize,
    /// A token that was found behind text that was returned first.
    token: Option<u32>,
}

impl<'t> Iterator for Splits<'_, '_, 't> {
    type Item = Split<'t>;

    fn next(&mut self) -> Option<Split<'t>> {
        if let Some(id) = self.token.take() {
            return Some(Split::Token(id));
        }
        let begin = self.start;
        let Some((start, end, id)) = self.next_token() else {
            self.start = self.text.len();
            return self.text.get(begin..).filter(|rest| !rest.is_empty()).map(Split::Text);
        };
        self.start = end;
        match self.text.get(begin..start) {
            None | Some("") => Some(Split::Token(id)),
            Some(text) => {
                self.token = Some(id);
                Some(Split::Text(text))
            }
        }
    }
}

impl<'m> Splits<'_, 'm, '_> {
    /// The next token that counts: where it starts and ends, with the white space that it takes.
    fn next_token(&mut self) -> Option<(usize, usize, u32)> {
        let tables = self.tables;
        let is_space = |character: char| tables.properties(character).any(Properties::SPACE);
        let is_word = |character: char| tables.properties(character).any(Properties::WORD);
        let mut at = self.scan;
        while let Some(&byte) = self.text.as_bytes().get(at) {
            let Some(added) = self.added.may_start(byte).then(|| self.token_at(at)).flatten() else {
                at += 1;
                continue;
            };
            let (start, end) = (at, at + added.bytes.len());
            at = end;
            let as_text = self.special == Special::AsText || overlaps(self.contents, &(start..end));
            if as_text && self.tables.flags(added.id).any(TokenFlags::SPECIAL) {
                continue;
            }
            let before = self.text.get(..start).unwrap_or_default();
            let after = self.text.get(end..).unwrap_or_default();
            if added.flags.any(AddedFlags::SINGLE_WORD)
                && (before.ends_with(is_word) || after.starts_with(is_word))
            {
                continue;
            }
            let start = match added.flags.any(AddedFlags::LEFT_STRIP) {
                true => self.start.max(before.trim_end_matches(is_space).len()),
                false => start,
            };
            let right = match added.flags.any(AddedFlags::RIGHT_STRIP) {
                true => after.len() - after.trim_start_matches(is_space).len(),
                false => 0,
            };
            let id = added.id;
            self.scan = end;
            return Some((start, end + right, id));
        }
        None
    }

    /// The longest added token of this pass at a position, if it lies between whole characters.
    fn token_at(&self, at: usize) -> Option<Added<'m>> {
        let rest = self.text.get(at..)?;
        let added = self.tables.added_at_start(rest.as_bytes(), self.second_pass)?;
        rest.is_char_boundary(added.bytes.len()).then_some(added)
    }
}
