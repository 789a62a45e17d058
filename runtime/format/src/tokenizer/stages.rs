//! The pre-tokenizer's automata: one transition a character, whatever regular expression they came from.
//!
//! A stage holds transitions only; which class a character has is one table for all stages.

use super::StageFlags;

/// Stages of a pre-tokenizer, at most.
pub const MAX_STAGES: usize = 6;

/// Classes of characters, at most.
pub const MAX_CLASSES: usize = 128;

/// The state in which nothing can match any more.
pub const DEAD: u16 = 0;

/// The state before the first character.
pub const START: u16 = 1;

/// One stage, in place.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'m> {
    /// State by state, `columns` transitions of two bytes.
    pub(super) transitions: &'m [u8],
    pub(super) columns: usize,
    /// What it reads and leaves.
    pub flags: StageFlags,
}

impl Stage<'_> {
    /// The state after a character of a class, and whether everything before that character matches. The end of
    /// the text is the class after the last one.
    pub fn step(&self, state: u16, class: u8) -> (u16, bool) {
        let place = usize::from(state) * self.columns + usize::from(class).min(self.columns - 1);
        let transition = self.transitions.get(2 * place..).and_then(|rest| rest.first_chunk());
        let transition = transition.map_or(0, |bytes| u16::from_le_bytes(*bytes));
        (transition >> 1, transition & 1 != 0)
    }

    /// All transitions, state by state: next state << 1 | matched.
    pub fn transitions(&self) -> impl Iterator<Item = u16> + '_ {
        self.transitions
            .chunks_exact(2)
            .map(|bytes| bytes.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes)))
    }

    /// The class of the end of the text.
    pub const fn end(&self) -> u8 {
        (self.columns - 1) as u8
    }
}
