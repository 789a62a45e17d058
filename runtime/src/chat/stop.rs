//! Where an answer ends by a text and not by a token.
//!
//! Templates in plain text (`### Instruction:`) have no token for it. What could be the beginning of that text waits
//! until it is known whether the rest follows; since it is known what it says, nothing of it needs to be stored.

/// Looks for a text in a stream, and lets through what stands before it.
#[derive(Clone, Copy, Debug)]
pub struct StopText<'t> {
    stop: &'t str,
    /// Bytes of `stop` that were seen and are held back.
    pub(super) matched: usize,
}

impl<'t> StopText<'t> {
    /// Looks for `stop`; an empty text is never found.
    pub const fn new(stop: &'t str) -> Self {
        Self { stop, matched: 0 }
    }

    /// Whether it was found; nothing is let through any more then.
    pub fn found(&self) -> bool {
        !self.stop.is_empty() && self.matched == self.stop.len()
    }

    /// Takes the next text and shows what is not held back. True once the text was found.
    pub fn push(&mut self, text: &str, mut show: impl FnMut(&str)) -> bool {
        for character in text.chars() {
            if self.found() {
                break;
            }
            self.take(character, &mut show);
        }
        self.found()
    }

    /// The stream has ended: shows what was held back.
    pub fn finish(&mut self, mut show: impl FnMut(&str)) {
        if !self.found() && self.matched > 0 {
            show(self.held());
            self.matched = 0;
        }
    }

    fn take(&mut self, character: char, show: &mut impl FnMut(&str)) {
        let before = self.matched;
        self.advance(character);
        show_unmatched(first(self.stop, before), character, self.matched, show);
    }

    /// Takes the next character, and shows nothing.
    pub(crate) fn advance(&mut self, character: char) {
        // The longest end of what is held back and the character that the text begins with: held back from now on.
        let held = self.held();
        let mut starts = held.char_indices().map(|(start, _)| start).chain([held.len()]);
        let begins = |start: &usize| {
            let rest = held.get(*start..).and_then(|end| self.stop.strip_prefix(end));
            rest.is_some_and(|rest| rest.starts_with(character))
        };
        self.matched = starts.find(begins).map_or(0, |start| held.len() - start + character.len_utf8());
    }

    /// What is held back: the beginning of the text that is looked for.
    pub(crate) fn held(&self) -> &'t str {
        first(self.stop, self.matched)
    }

    /// Looks from the beginning again.
    pub(crate) fn reset(&mut self) {
        self.matched = 0;
    }
}

/// The first bytes of a text, whole characters. Slicing would do, but what a failed slice says keeps the tables of
/// Unicode in flash.
pub(crate) fn first(text: &str, bytes: usize) -> &str {
    text.get(..bytes).unwrap_or_default()
}

/// Shows what stands before the last `matched` bytes of `held` and `character` together.
pub(crate) fn show_unmatched(held: &str, character: char, matched: usize, show: &mut impl FnMut(&str)) {
    let shown = (held.len() + character.len_utf8()).saturating_sub(matched);
    let (before, is_whole) = (first(held, shown.min(held.len())), shown > held.len());
    if !before.is_empty() {
        show(before);
    }
    if is_whole {
        show(character.encode_utf8(&mut [0; 4]));
    }
}
