//! Cutting one byte slice into typed, aligned buffers.
//!
//! Nothing is initialized twice and nothing is unsafe: bytemuck checks alignment and length of every cast.

use bytemuck::Pod;

use crate::plan::ARENA_ALIGNMENT;

/// The arena, or what is left of it.
pub(crate) struct Carver<'a> {
    rest: &'a mut [u8],
}

impl<'a> Carver<'a> {
    /// Starts to cut `bytes`, which begin at a multiple of [`ARENA_ALIGNMENT`].
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `elements` of type T. Empty when the arena is too short or misaligned, which its owner has
    /// excluded by comparing it with the plan.
    pub(crate) fn take<T: Pod>(&mut self, elements: usize) -> &'a mut [T] {
        bytemuck::try_cast_slice_mut(self.take_bytes(elements * size_of::<T>())).unwrap_or_default()
    }

    /// What all types of elements share.
    #[inline(never)]
    fn take_bytes(&mut self, bytes: usize) -> &'a mut [u8] {
        let rest = core::mem::take(&mut self.rest);
        let padded = bytes.next_multiple_of(ARENA_ALIGNMENT);
        let Some((buffer, rest)) = rest.split_at_mut_checked(padded) else { return &mut [] };
        self.rest = rest;
        buffer.get_mut(..bytes).unwrap_or_default()
    }

    /// Bytes not yet cut.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}
