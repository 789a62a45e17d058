//! How much memory a streamed model needs besides its arena, and how much a token reads.

use sprat_format::{PackedFile, Role};

use super::window::LEAST_HALF;
use super::{Rows, StreamError};
use crate::plan::ARENA_ALIGNMENT;

/// What of a model is in memory and what passes through it, all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlan {
    /// What is always there: all that stands before the weights, and the vectors.
    pub resident_bytes: u64,
    /// The window, both halves.
    pub window_bytes: usize,
    /// The smallest window.
    pub least_window_bytes: usize,
    /// What a generated token reads: every matrix of the layers, the head, the rows of the embeddings.
    pub token_bytes: u64,
}

impl StreamPlan {
    /// Of a file, mapped or streamed, and a window.
    ///
    /// # Errors
    /// The window is too small for the largest rows that are stored together.
    pub fn new(file: &PackedFile<'_>, window_bytes: usize) -> Result<Self, StreamError> {
        let (mut widest, mut token_bytes) = (0, 0);
        let tied = file.place(Role::Head, 0).is_none();
        for place in file.places() {
            let rows = Rows::new(place);
            let unit = rows.unit_bytes();
            widest = widest.max(unit);
            let row = matches!(place.role, Role::TokenEmbedding | Role::PositionEmbedding) as u64;
            let whole = row == 0 || (place.role == Role::TokenEmbedding && tied);
            let all: u64 = rows.pieces().iter().map(|piece| piece.bytes as u64).sum();
            token_bytes += row * unit as u64 + if whole { all } else { 0 };
        }
        let need = 2 * widest.next_multiple_of(ARENA_ALIGNMENT).max(LEAST_HALF);
        if window_bytes < need {
            return Err(StreamError::Window { need, have: window_bytes });
        }
        let resident_bytes = file.resident_bytes();
        Ok(Self { resident_bytes, window_bytes, least_window_bytes: need, token_bytes })
    }
}
