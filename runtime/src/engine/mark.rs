//! A place in the text to which an engine returns, to try another continuation.
//!
//! The cache keeps what was read, so returning is setting a number. The logits there follow from one vector, which the
//! mark keeps: a fork costs a product with the head and no pass through the layers.

use sprat_format::messages;

use super::{Engine, EngineError};
#[cfg(feature = "stream")]
use crate::stream::SourceError;

/// A place in the text of an engine: that of the last token fed when it was made.
#[derive(Debug)]
pub struct Mark<'b> {
    /// E: what the logits are computed from.
    last: &'b mut [f32],
    position: usize,
    dropped: u32,
}

/// Why a place cannot be marked or returned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkError {
    /// Nothing was fed, so there is nothing to continue.
    Empty,
    /// The lent memory is too small.
    Buffer {
        /// Values that a mark keeps.
        need: usize,
        /// Values lent.
        have: usize,
    },
    /// Tokens before the place are not in the cache any more.
    Gone {
        /// Tokens before the place.
        need: usize,
        /// Tokens in the cache.
        have: usize,
        /// Tokens that were dropped since to make room.
        dropped: u32,
    },
    /// The source of a streamed model failed: the engine is at the place, without logits. Return to it again.
    #[cfg(feature = "stream")]
    Source(SourceError),
}

impl From<EngineError> for MarkError {
    /// How computing the logits fails, which only a source does.
    fn from(error: EngineError) -> Self {
        match error {
            #[cfg(feature = "stream")]
            EngineError::Source(error) => Self::Source(error),
            _ => Self::Empty,
        }
    }
}

messages!(MarkError {
    Self::Empty => ("nothing was fed: there is no place to return to"),
    Self::Buffer { need, have } => ("a mark keeps {} values, the buffer has {}", need, have),
    Self::Gone { need, have, dropped } => (
        "the {} tokens before the mark are not all in the cache any more, which holds {} and has dropped {} since: \
         feed them again",
        need,
        have,
        dropped,
    ),
    #[cfg(feature = "stream")]
    Self::Source(error) => ("{}", error),
});

impl core::error::Error for MarkError {}

impl Mark<'_> {
    /// Tokens in the cache at this place.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl Engine<'_, '_, '_> {
    /// Values that a [`mark`](Self::mark) keeps: the width of the model's embedding, E.
    pub fn mark_size(&self) -> usize {
        self.last.len()
    }

    /// Marks this place in lent memory of at least [`mark_size`](Self::mark_size) values. Something must have been
    /// fed, or there is nothing to continue.
    ///
    /// # Errors
    /// An empty cache, or a buffer that is too small.
    pub fn mark<'b>(&self, buffer: &'b mut [f32]) -> Result<Mark<'b>, MarkError> {
        if self.position == 0 {
            return Err(MarkError::Empty);
        }
        let (need, have) = (self.last.len(), buffer.len());
        let last = buffer.get_mut(..need).ok_or(MarkError::Buffer { need, have })?;
        last.copy_from_slice(self.last);
        Ok(Mark { last, position: self.position, dropped: self.dropped })
    }

    /// Returns to a marked place: cache and logits are what they were, bit for bit, if the tokens before it have
    /// stayed in the cache. Those that [`truncate`](Self::truncate) forgot and others took the place of are not missed
    /// here.
    ///
    /// # Errors
    /// The cache is shorter than it was, or has dropped tokens since to make room. Nothing has changed then. Or the
    /// source of a streamed model fails.
    pub fn return_to(&mut self, mark: &Mark<'_>) -> Result<(), MarkError> {
        let dropped = self.dropped.wrapping_sub(mark.dropped);
        let (need, have) = (mark.position, self.position);
        if dropped != 0 || need > have {
            return Err(MarkError::Gone { need, have, dropped });
        }
        self.position = mark.position;
        self.last.copy_from_slice(mark.last);
        self.recompute_logits()?;
        Ok(())
    }
}
