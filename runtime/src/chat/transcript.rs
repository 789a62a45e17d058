//! Pieces of a conversation, gathered until they are tokenized together.
//!
//! Where a template puts plain text next to a content (`User: hello`), tokens may span both, so the two are tokenized as
//! one text; the contents' places are kept, since no special token may come from there.

use core::ops::Range;

use heapless::Vec;

use super::{ChatError, Piece};

/// The most messages that a transcript gathers at once.
pub const MOST_CONTENTS: usize = 16;

/// Gathered pieces in a lent buffer.
#[derive(Debug)]
pub struct Transcript<'b> {
    buffer: &'b mut [u8],
    used: usize,
    contents: Vec<Range<usize>, MOST_CONTENTS>,
}

impl<'b> Transcript<'b> {
    /// An empty one.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0, contents: Vec::new() }
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// It does not fit; the pieces so far stay.
    pub fn push(&mut self, piece: Piece<'_>) -> Result<(), ChatError> {
        let (text, is_content) = match piece {
            Piece::Template(text) => (text, false),
            Piece::Content(text) => (text, true),
        };
        let (need, have) = (self.used.saturating_add(text.len()), self.buffer.len());
        let place = self.buffer.get_mut(self.used..need).ok_or(ChatError::Buffer { need, have })?;
        if is_content {
            let full = ChatError::Contents { most: MOST_CONTENTS };
            self.contents.push(self.used..need).map_err(|_| full)?;
        }
        place.copy_from_slice(text.as_bytes());
        self.used = need;
        Ok(())
    }

    /// Adds pieces, all or none.
    ///
    /// # Errors
    /// They do not fit; the pieces so far stay.
    pub fn extend<'t>(&mut self, pieces: impl IntoIterator<Item = Piece<'t>>) -> Result<(), ChatError> {
        let (used, contents) = (self.used, self.contents.len());
        let pushed = pieces.into_iter().try_for_each(|piece| self.push(piece));
        pushed.inspect_err(|_| {
            self.used = used;
            self.contents.truncate(contents);
        })
    }

    /// Takes a piece of a template off the end; false if it does not stand there.
    pub(crate) fn take_back(&mut self, piece: Piece<'_>) -> bool {
        let Piece::Template(text) = piece else { return false };
        let Some(rest) = self.text().strip_suffix(text).map(str::len) else { return false };
        self.used = rest;
        true
    }

    /// The most bytes of all pieces together.
    pub fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there are no pieces.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// All pieces as one text.
    pub fn text(&self) -> &str {
        // Only whole texts were copied.
        core::str::from_utf8(&self.buffer[..self.used]).unwrap_or_default()
    }

    /// Where contents lie in the text, in order.
    pub fn contents(&self) -> &[Range<usize>] {
        &self.contents
    }

    /// Forgets all pieces.
    pub fn clear(&mut self) {
        self.used = 0;
        self.contents.clear();
    }
}
