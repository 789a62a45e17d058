//! Text of bounded length in a lent buffer: what a tool answers.
//!
//! A tool writes as if there were no bound; what does not fit is cut at a whole character and marked, so that a
//! reader, be it a person or a model, sees that something is missing.

use core::fmt;

/// What stands at the end of a text that was cut.
pub const CUT_MARK: &str = "...";

/// A text under construction.
#[derive(Debug)]
pub struct Text<'b> {
    buffer: &'b mut [u8],
    used: usize,
    is_cut: bool,
}

impl<'b> Text<'b> {
    /// An empty text of at most as many bytes as `buffer` has.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0, is_cut: false }
    }

    /// Adds to the text. The first addition that does not fit is cut, and those after it are left out.
    pub fn push(&mut self, text: &str) {
        if self.is_cut {
            return;
        }
        match self.buffer.get_mut(self.used..).and_then(|rest| rest.get_mut(..text.len())) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                self.used += text.len();
            }
            None => self.cut(text),
        }
    }

    /// Fills up with the beginning of `text` and puts the mark at the end.
    fn cut(&mut self, text: &str) {
        self.is_cut = true;
        let keep = self.buffer.len().saturating_sub(CUT_MARK.len());
        if self.used < keep {
            let more = text.floor_char_boundary(keep - self.used);
            self.buffer[self.used..self.used + more].copy_from_slice(&text.as_bytes()[..more]);
            self.used += more;
        } else {
            self.used = self.as_str().floor_char_boundary(keep);
        }
        let room = &mut self.buffer[self.used..];
        let mark = room.len().min(CUT_MARK.len());
        room[..mark].copy_from_slice(&CUT_MARK.as_bytes()[..mark]);
        self.used += mark;
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        // Only whole characters were copied.
        core::str::from_utf8(&self.buffer[..self.used]).unwrap_or_default()
    }

    /// Whether something did not fit.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        (self.used, self.is_cut) = (0, false);
    }
}

/// For `write!`, which a firmware that has no other use for it had better not use: it brings `core::fmt`.
impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_does_not_fit_is_cut_and_marked(
            parts in proptest::collection::vec("[aé€🦀]{0,6}", 0..6), most in 0usize..40
        ) {
            let mut buffer = std::vec![0xff; most];
            let mut text = Text::new(&mut buffer);
            parts.iter().for_each(|part| text.push(part));
            let whole = parts.concat();
            if whole.len() <= most {
                prop_assert_eq!(text.as_str(), whole);
                prop_assert!(!text.is_cut());
            } else {
                prop_assert!(text.is_cut());
                prop_assert!(text.as_str().len() <= most);
                let kept: String = whole[..whole.floor_char_boundary(most.saturating_sub(3))].into();
                prop_assert_eq!(text.as_str(), kept + &CUT_MARK[..most.min(3)]);
            }
        }
    }
}
