//! The tables of a checked tokenizer section, and the lookups in them.
//!
//! Everything is borrowed from the section and decoded where it lies. After [`TokenizerTables::parse`] no lookup
//! can fail for a reason other than "not in the table".

use core::cmp::Ordering;

use super::{
    AddedFlags, MAX_STAGES, NONE, Normalization, Properties, Settings, Stage, TokenFlags, TokenizerKind,
};

/// One merge: the pair (`left`, `right`) becomes `id`; lower ranks merge first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Id of the left symbol.
    pub left: u32,
    /// Id of the right symbol.
    pub right: u32,
    /// Place in the merge list, 0 first.
    pub rank: u32,
    /// Id that the pair becomes.
    pub id: u32,
}

/// One added token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added<'m> {
    /// Its id.
    pub id: u32,
    /// The text that it is found by, never empty; a normalizer may have made it another than the token's.
    pub bytes: &'m [u8],
    /// How it is matched.
    pub flags: AddedFlags,
}

/// A sequence of ids, ranks or offsets of `width` bytes each, somewhere in the section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'m> {
    pub(super) bytes: &'m [u8],
    pub(super) wide: bool,
}

impl Numbers<'_> {
    /// The number at `place`, [`NONE`] for all ones and outside of the table.
    pub(super) fn get(&self, place: usize) -> u32 {
        if self.wide {
            let word = self.bytes.get(4 * place..).and_then(|rest| rest.first_chunk());
            word.map_or(NONE, |word| u32::from_le_bytes(*word))
        } else {
            let half = self.bytes.get(2 * place..).and_then(|rest| rest.first_chunk());
            match half.map_or(u16::MAX, |half| u16::from_le_bytes(*half)) {
                u16::MAX => NONE,
                number => u32::from(number),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() / if self.wide { 4 } else { 2 }
    }
}

/// The tables of one tokenizer, in place.
///
/// Holding it guarantees: every id in every table is below the vocabulary size, every token's bytes lie in the
/// section, and the sorted tables are sorted.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerTables<'m> {
    pub(super) settings: Settings,
    pub(super) offsets: Numbers<'m>,
    pub(super) pattern_offsets: Numbers<'m>,
    pub(super) classes: Numbers<'m>,
    pub(super) merges: Numbers<'m>,
    /// SentencePiece: ranks of scores.
    pub(super) scores: Numbers<'m>,
    /// Unigram: eight bytes a token.
    pub(super) weights: &'m [u8],
    pub(super) index: Numbers<'m>,
    pub(super) byte_tokens: Numbers<'m>,
    pub(super) added: Numbers<'m>,
    pub(super) normalization: Normalization<'m>,
    pub(super) stages: [Stage<'m>; MAX_STAGES],
    pub(super) stage_count: usize,
    pub(super) ascii: &'m [u8],
    pub(super) properties: &'m [u8],
    pub(super) token_flags: &'m [u8],
    pub(super) added_flags: &'m [u8],
    pub(super) patterns: &'m [u8],
    pub(super) blob: &'m [u8],
}

impl<'m> TokenizerTables<'m> {
    /// Everything about the tokenizer that is not a table.
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// Number of ids.
    pub const fn vocab_size(&self) -> u32 {
        self.token_flags.len() as u32
    }

    /// The bytes that a token decodes to, empty for an unused id; `None` for an id outside of the vocabulary.
    pub fn token(&self, id: u32) -> Option<&'m [u8]> {
        let place = id as usize;
        if place >= self.token_flags.len() {
            return None;
        }
        self.blob.get(self.offsets.get(place) as usize..self.offsets.get(place + 1) as usize)
    }

    /// What a token is; outside of the vocabulary all ids are unused.
    pub fn flags(&self, id: u32) -> TokenFlags {
        self.token_flags.get(id as usize).map_or(TokenFlags::UNUSED, |&bits| TokenFlags(bits))
    }

    /// The token of one byte.
    pub fn byte_token(&self, byte: u8) -> Option<u32> {
        some(self.byte_tokens.get(usize::from(byte)))
    }

    /// The token whose bytes are `head` followed by `tail`, if text may become it by its bytes.
    pub fn text_token(&self, head: &[u8], tail: &[u8]) -> Option<u32> {
        self.search(head, tail).filter(|&id| self.flags(id).found_by_text())
    }

    /// Any token with exactly these bytes: one that text may become if there is one, then the lowest id.
    pub fn id_of(&self, bytes: &[u8]) -> Option<u32> {
        self.search(bytes, &[])
    }

    fn search(&self, head: &[u8], tail: &[u8]) -> Option<u32> {
        let order = |place| {
            let token = self.token(self.index.get(place)).unwrap_or_default();
            let (front, back) = token.split_at(head.len().min(token.len()));
            front.cmp(head).then_with(|| back.cmp(tail))
        };
        let place = lower_bound(self.index.len(), |place| order(place) == Ordering::Less);
        (place < self.index.len() && order(place) == Ordering::Equal).then(|| self.index.get(place))
    }

    /// Number of merges.
    pub fn merge_count(&self) -> usize {
        self.merges.len() / 4
    }

    /// All merges, sorted by their pairs.
    pub fn merges(&self) -> impl Iterator<Item = Merge> + '_ {
        (0..self.merge_count()).map(|place| self.merge_at(place))
    }

    /// Whether tokens have ranks of scores.
    pub fn has_score_ranks(&self) -> bool {
        self.scores.len() > 0
    }

    /// The classes of the characters below U+0080, the boundaries of those above, the properties of all classes.
    pub fn classes(
        &self,
    ) -> (&'m [u8], impl Iterator<Item = u32> + '_, impl Iterator<Item = Properties> + '_) {
        let boundaries = (0..self.classes.len()).map(|place| self.classes.get(place));
        (self.ascii, boundaries, self.properties.iter().map(|&bits| Properties(bits)))
    }

    /// The merge at a place of the sorted table.
    pub(super) fn merge_at(&self, place: usize) -> Merge {
        let field = |field| self.merges.get(4 * place + field);
        Merge { left: field(0), right: field(1), rank: field(2), id: field(3) }
    }

    /// What a pair of symbols becomes, if anything.
    pub fn merge(&self, left: u32, right: u32) -> Option<Merge> {
        let pair = |place| (self.merges.get(4 * place), self.merges.get(4 * place + 1));
        let place = lower_bound(self.merge_count(), |place| pair(place) < (left, right));
        (place < self.merge_count() && pair(place) == (left, right)).then(|| self.merge_at(place))
    }

    /// The rank of a token's score, 0 the best; `None` if nothing merges into this token.
    pub fn score_rank(&self, id: u32) -> Option<u32> {
        some(self.scores.get(id as usize))
    }

    /// Unigram: a token's score; `None` outside of the vocabulary and for other kinds.
    pub fn score(&self, id: u32) -> Option<f64> {
        let bytes = self.weights.get(8 * id as usize..)?.first_chunk()?;
        Some(f64::from_le_bytes(*bytes))
    }

    /// Calls `visit` with the length and the id of each token that a text, `head` and then `tail`, begins with and
    /// may become, the shortest first. Narrows the index byte by byte: O(bytes of the longest token * log V).
    pub fn tokens_at_start(&self, head: &[u8], tail: &[u8], mut visit: impl FnMut(usize, u32)) {
        let bytes = |place| self.token(self.index.get(place)).unwrap_or_default();
        let (mut low, mut high) = (0, self.index.len());
        for (depth, &byte) in head.iter().chain(tail).enumerate() {
            (low, high) = narrowed(low, high, byte, |place| bytes(place).get(depth).copied());
            if low == high {
                break;
            }
            let id = self.index.get(low);
            if bytes(low).len() == depth + 1 && self.flags(id).found_by_text() {
                visit(depth + 1, id);
            }
        }
    }

    /// Number of added tokens.
    pub const fn added_count(&self) -> usize {
        self.added_flags.len()
    }

    /// The added token at a place of the list, which is sorted by pattern.
    pub fn added(&self, place: usize) -> Option<Added<'m>> {
        let flags = AddedFlags(*self.added_flags.get(place)?);
        Some(Added { id: self.added.get(place), bytes: self.pattern(place), flags })
    }

    pub(super) fn pattern(&self, place: usize) -> &'m [u8] {
        let end = |place| self.pattern_offsets.get(place) as usize;
        self.patterns.get(end(place)..end(place + 1)).unwrap_or_default()
    }

    /// The longest added token that `text` begins with, of those matched in the second pass or in the first.
    /// Narrows the sorted list byte by byte: O(bytes of the match * log A).
    pub fn added_at_start(&self, text: &[u8], second_pass: bool) -> Option<Added<'m>> {
        let (mut low, mut high) = (0, self.added_count());
        let mut longest = None;
        for (depth, &byte) in text.iter().enumerate() {
            (low, high) = narrowed(low, high, byte, |place| self.pattern(place).get(depth).copied());
            if low == high {
                break;
            }
            let complete = |added: &Added<'_>| added.bytes.len() == depth + 1;
            let mut matches = (low..high).map_while(|place| self.added(place).filter(complete));
            let found = matches.find(|added| added.flags.any(AddedFlags::SECOND_PASS) == second_pass);
            if found.is_some() {
                longest = found;
            }
        }
        longest
    }

    /// The class of a character, 0 if nothing asks for classes.
    pub fn class(&self, character: char) -> u8 {
        match self.ascii.get(character as usize) {
            Some(&class) => class,
            None => boundary_value(&self.classes, character.into()),
        }
    }

    /// What the added tokens may ask about a character.
    pub fn properties(&self, character: char) -> Properties {
        let class = usize::from(self.class(character));
        Properties(self.properties.get(class).copied().unwrap_or_default())
    }

    /// The stages of the pre-tokenizer, in order.
    pub fn stages(&self) -> &[Stage<'m>] {
        self.stages.get(..self.stage_count).unwrap_or_default()
    }

    /// What plain tokenizers lack and a small build of the runtime may leave out: Unigram models and Unicode forms.
    pub fn uncommon_part(&self) -> Option<&'static str> {
        match self.settings.kind {
            TokenizerKind::Unigram => Some("a Unigram tokenizer"),
            _ => self.normalization.is_some().then_some("Unicode normalization"),
        }
    }

    /// The tables of a normalization form.
    pub const fn normalization(&self) -> &Normalization<'m> {
        &self.normalization
    }

    /// Bytes of everything that is there for the pre-tokenizer: classes and automata.
    pub fn stage_bytes(&self) -> usize {
        let stages: usize = self.stages().iter().map(|stage| 4 + stage.transitions.len()).sum();
        self.classes.bytes.len() + self.ascii.len() + self.properties.len() + stages
    }
}

/// The value of the last boundary at or below a character, 0 below the first; boundaries are
/// code point << 8 | value.
pub(super) fn boundary_value(boundaries: &Numbers<'_>, character: u32) -> u8 {
    let end = lower_bound(boundaries.len(), |place| boundaries.get(place) >> 8 <= character);
    end.checked_sub(1).map_or(0, |place| boundaries.get(place) as u8)
}

/// Of the places `low..high` of a sorted list, those whose next byte is `byte`.
fn narrowed(low: usize, high: usize, byte: u8, next: impl Fn(usize) -> Option<u8>) -> (usize, usize) {
    let from = low + lower_bound(high - low, |place| next(low + place) < Some(byte));
    (from, from + lower_bound(high - from, |place| next(from + place) <= Some(byte)))
}

fn some(number: u32) -> Option<u32> {
    (number != NONE).then_some(number)
}

/// The first place in 0..len for which `before` is false; `before` is true and then false.
pub(super) fn lower_bound(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
