//! Several texts that end an answer.
//!
//! Each is looked for by itself; held back is the longest of what could be the beginning of one, and since it is the
//! beginning of a known text, nothing of it needs to be stored.

use crate::chat::StopText;
use crate::chat::stop::show_unmatched;

/// Most texts at once, the chat template's own among them.
pub const MOST_STOPS: usize = 8;

/// Looks for texts in a stream, and lets through what stands before the first of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stops<'t> {
    texts: [StopText<'t>; MOST_STOPS],
    found: bool,
}

impl<'t> Stops<'t> {
    /// Looks for the first [`MOST_STOPS`] of `texts`; empty ones are never found.
    pub(super) fn new(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut stops = Self { texts: [StopText::new(""); MOST_STOPS], found: false };
        let texts = texts.into_iter().filter(|text| !text.is_empty());
        stops.texts.iter_mut().zip(texts).for_each(|(place, text)| *place = StopText::new(text));
        stops
    }

    pub(super) fn found(&self) -> bool {
        self.found
    }

    /// Whether nothing is held back.
    pub(super) fn is_clear(&self) -> bool {
        self.held().is_empty()
    }

    fn held(&self) -> &'t str {
        self.texts.iter().map(StopText::held).max_by_key(|held| held.len()).unwrap_or_default()
    }

    /// Takes the next text and shows what is not held back. Nothing is taken any more once a text was found.
    pub(super) fn push(&mut self, text: &str, mut show: impl FnMut(&str)) {
        for character in text.chars() {
            if self.found {
                break;
            }
            let held = self.held();
            self.texts.iter_mut().for_each(|text| text.advance(character));
            let found = self.texts.iter().filter(|text| text.found()).map(|text| text.held().len()).max();
            self.found = found.is_some();
            let matched = found.unwrap_or_else(|| self.held().len());
            show_unmatched(held, character, matched, &mut show);
        }
    }

    /// Shows what was held back, and looks from the beginning again.
    pub(super) fn flush(&mut self, mut show: impl FnMut(&str)) {
        let held = self.held();
        if !self.found && !held.is_empty() {
            show(held);
        }
        self.texts.iter_mut().for_each(StopText::reset);
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_of_several_texts_ends_a_stream(
            texts in proptest::collection::vec("[ab#é]{0,4}", 0..4),
            parts in proptest::collection::vec("[ab#é]{0,4}", 0..12)
        ) {
            let whole = parts.concat();
            // The one that is complete first; of those, the longest.
            let ends = texts.iter().filter(|text| !text.is_empty());
            let ends = ends.filter_map(|text| Some((whole.find(text.as_str())?, text.len())));
            let first = ends.min_by_key(|(start, length)| (start + length, *start));
            let mut stops = Stops::new(texts.iter().map(String::as_str));
            let mut shown = String::new();
            for part in &parts {
                stops.push(part, |text| shown += text);
            }
            stops.flush(|text| shown += text);
            prop_assert_eq!(stops.found(), first.is_some());
            prop_assert_eq!(shown, &whole[..first.map_or(whole.len(), |(start, _)| start)]);
        }
    }
}
