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
            show(&self.stop[..self.matched]);
            self.matched = 0;
        }
    }

    fn take(&mut self, character: char, show: &mut impl FnMut(&str)) {
        // The longest end of what is held back and the character that the text begins with: held back from now on.
        let held = &self.stop[..self.matched];
        let mut starts = held.char_indices().map(|(start, _)| start).chain([held.len()]);
        let begins = |start: &usize| {
            let rest = self.stop.strip_prefix(&held[*start..]);
            rest.is_some_and(|rest| rest.starts_with(character))
        };
        match starts.find(begins) {
            Some(start) => {
                if start > 0 {
                    show(&held[..start]);
                }
                self.matched = held.len() - start + character.len_utf8();
            }
            None => {
                if !held.is_empty() {
                    show(held);
                }
                show(character.encode_utf8(&mut [0; 4]));
                self.matched = 0;
            }
        }
    }
}
