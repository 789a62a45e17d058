//! Unicode normalization forms as tables for the section, from the unicode-normalization crate.
//!
//! The device composes by these tables, so that it needs no Unicode data of its own and both forms are one
//! algorithm to it. NFC is about 45 KB, NFKC about 90 KB: only tokenizers that ask for a form carry one.

use sprat_format::tokenizer::Normalization;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{
    canonical_combining_class, compose, decompose_canonical, decompose_compatible,
};

/// Hangul syllables are composed by arithmetic.
const SYLLABLES: std::ops::RangeInclusive<char> = '\u{AC00}'..='\u{D7A3}';

/// The class of this format for a starter that composes with the character before it.
const JOINING_STARTER: u8 = 255;

/// A form, as `sprat_format::tokenizer` describes it; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Characters and where their decompositions end.
    pub decompositions: Vec<(u32, u32)>,
    /// The characters of all decompositions.
    pub characters: Vec<u32>,
    /// First, second, composite.
    pub compositions: Vec<(u32, u32, u32)>,
    /// Boundaries of combining classes.
    pub classes: Vec<u32>,
}

/// The forms that tokenizers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Canonical composition.
    Nfc,
    /// Compatibility composition.
    Nfkc,
}

impl Kind {
    /// A text in this form.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Nfc => text.nfc().collect(),
            Self::Nfkc => text.nfkc().collect(),
        }
    }
}

impl Form {
    /// The tables of a form.
    pub fn new(kind: Kind) -> Self {
        let mut form = Self::default();
        for character in ('\0'..=char::MAX).filter(|character| !SYLLABLES.contains(character)) {
            let mut parts = Vec::new();
            match kind {
                Kind::Nfc => decompose_canonical(character, |part| parts.push(part)),
                Kind::Nfkc => decompose_compatible(character, |part| parts.push(part)),
            }
            if parts != [character] {
                form.characters.extend(parts.iter().copied().map(u32::from));
                form.decompositions.push((character.into(), form.characters.len() as u32));
            }
            form.compositions.extend(composition(character));
        }
        form.compositions.sort_unstable();
        let mut joining: Vec<u32> = form.compositions.iter().map(|&(_, second, _)| second).collect();
        joining.sort_unstable();
        let mut before = 0;
        for character in '\0'..=char::MAX {
            let class = match canonical_combining_class(character) {
                0 if joining.binary_search(&character.into()).is_ok() => JOINING_STARTER,
                class => class,
            };
            if class != before {
                form.classes.push(u32::from(character) << 8 | u32::from(class));
            }
            before = class;
        }
        form
    }

    /// What a section has.
    pub fn read(tables: &Normalization<'_>) -> Self {
        let mut form = Self::default();
        for (character, parts) in tables.decompositions() {
            form.characters.extend(parts);
            form.decompositions.push((character, form.characters.len() as u32));
        }
        form.compositions = tables.compositions().collect();
        form.classes = tables.class_boundaries().collect();
        form
    }
}

/// The pair that a character is composed from, if there is one: all but the last of its canonical decomposition,
/// composed, and the last.
fn composition(character: char) -> Option<(u32, u32, u32)> {
    let mut parts = Vec::new();
    decompose_canonical(character, |part| parts.push(part));
    let (&second, before) = parts.split_last()?;
    let (&starter, marks) = before.split_first()?;
    let first = marks.iter().try_fold(starter, |first, &mark| compose(first, mark))?;
    (compose(first, second) == Some(character)).then(|| (first.into(), second.into(), character.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_primary_composite_has_its_pair() {
        let form = Form::new(Kind::Nfc);
        let mut composites: Vec<u32> = form.compositions.iter().map(|&(.., composite)| composite).collect();
        composites.sort_unstable();
        for character in ('\0'..=char::MAX).filter(|character| !SYLLABLES.contains(character)) {
            let mut parts = 0;
            decompose_canonical(character, |_| parts += 1);
            let stays = parts > 1 && std::iter::once(character).nfc().eq([character]);
            assert_eq!(stays, composites.binary_search(&character.into()).is_ok(), "{character:?}");
        }
        assert!((900..1100).contains(&composites.len()), "{}", composites.len());
    }
}
