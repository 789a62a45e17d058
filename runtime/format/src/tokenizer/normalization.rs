//! The tables of a Unicode normalization form: what decomposes into what, and what composes again.
//!
//! Only tokenizers that ask for a form carry them; the algorithm (Unicode Standard Annex 15) is the runtime's.

use super::tables::{Numbers, boundary_value, lower_bound};

/// The tables of a form, in place.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'m> {
    /// Two words a character: itself, and where its decomposition ends.
    pub(super) decompositions: Numbers<'m>,
    /// The characters of all decompositions.
    pub(super) characters: Numbers<'m>,
    /// Three words a pair: first, second, composite.
    pub(super) compositions: Numbers<'m>,
    /// Boundaries of combining classes.
    pub(super) classes: Numbers<'m>,
}

impl<'m> Normalization<'m> {
    /// Whether the tokenizer asks for a form at all.
    pub fn is_some(&self) -> bool {
        self.decompositions.len() > 0
    }

    /// Every character that decomposes, in order, with what it decomposes into.
    pub fn decompositions(&self) -> impl Iterator<Item = (u32, Decomposition<'m>)> + '_ {
        let characters = (0..self.decompositions.len() / 2).map(|place| self.decompositions.get(2 * place));
        characters.map(|character| (character, self.decomposition(character)))
    }

    /// Every pair that composes, in order: first, second, composite.
    pub fn compositions(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        let field = |place: usize| self.compositions.get(place);
        (0..self.compositions.len() / 3)
            .map(move |pair| (field(3 * pair), field(3 * pair + 1), field(3 * pair + 2)))
    }

    /// The boundaries of the combining classes, code point << 8 | class.
    pub fn class_boundaries(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.classes.len()).map(|place| self.classes.get(place))
    }

    /// The canonical combining class of a character. 255 is a class of this format: a starter that composes with
    /// the character before it.
    pub fn combining_class(&self, character: u32) -> u8 {
        boundary_value(&self.classes, character)
    }

    /// What a character decomposes into completely; nothing if it stays as it is.
    pub fn decomposition(&self, character: u32) -> Decomposition<'m> {
        let of = |place: usize| self.decompositions.get(2 * place);
        let count = self.decompositions.len() / 2;
        let place = lower_bound(count, |place| of(place) < character);
        if place >= count || of(place) != character {
            return Decomposition { characters: self.characters, at: 0, end: 0 };
        }
        let end = |place: usize| self.decompositions.get(2 * place + 1) as usize;
        let at = place.checked_sub(1).map_or(0, end);
        Decomposition { characters: self.characters, at, end: end(place) }
    }

    /// What two characters compose to.
    pub fn composition(&self, first: u32, second: u32) -> Option<u32> {
        let pair = |place: usize| (self.compositions.get(3 * place), self.compositions.get(3 * place + 1));
        let count = self.compositions.len() / 3;
        let place = lower_bound(count, |place| pair(place) < (first, second));
        (place < count && pair(place) == (first, second)).then(|| self.compositions.get(3 * place + 2))
    }
}

/// The characters that one character decomposes into, in canonical order, as code points.
#[derive(Clone, Copy, Debug)]
pub struct Decomposition<'m> {
    characters: Numbers<'m>,
    at: usize,
    end: usize,
}

impl Iterator for Decomposition<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let at = self.at;
        (at < self.end).then(|| {
            self.at += 1;
            self.characters.get(at)
        })
    }
}
