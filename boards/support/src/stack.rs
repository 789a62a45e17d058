//! How much of a painted stack was used.
//!
//! The start-up code fills the stack with one value; what no longer has it was written. A stack grows down,
//! so the lowest word that changed is the high-water mark. A word that happens to be written with the paint's
//! own value is missed, which can only matter at the very mark.

/// What cores fill their unused stack with whose start-up code does not do it.
pub const PAINT: u32 = 0xcccc_cccc;
/// What the caller of [`paint`] and the function itself have of the stack below the stack pointer, at most.
const IN_USE_BYTES: usize = 256;

/// Fills a stack with [`PAINT`], from its lower end up to what is in use at the stack pointer `here`.
///
/// # Safety
/// The words from `end` up to `here` must be the caller's own unused stack, aligned to 4 bytes.
pub unsafe fn paint(end: *const u32, here: usize) {
    let mut word = end.cast_mut();
    while word.addr() < here - IN_USE_BYTES {
        // SAFETY: below all frames, in memory that the caller vouches for. Volatile, since it is in no object.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
}

/// Bytes between the lowest word that no longer holds `paint` and the stack's upper end, `start`.
///
/// # Safety
/// The words from `end` up to `start` must be readable memory, aligned to 4 bytes, with `end <= start`.
pub unsafe fn high_water_bytes(end: *const u32, start: *const u32, paint: u32) -> usize {
    let mut word = end;
    // SAFETY: `word` stays below `start`, within the memory that the caller vouches for. Volatile, since the
    // compiler does not know of the stack's past contents.
    while word < start && unsafe { word.read_volatile() } == paint {
        word = word.wrapping_add(1);
    }
    start.addr() - word.addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(words: &[u32]) -> usize {
        let range = words.as_ptr_range();
        // SAFETY: the range of a slice.
        unsafe { high_water_bytes(range.start, range.end, 0xcc) }
    }

    #[test]
    fn counts_from_the_lowest_word_written() {
        assert_eq!(used(&[]), 0);
        assert_eq!(used(&[0xcc; 4]), 0);
        assert_eq!(used(&[0xcc, 0xcc, 1, 0xcc]), 8);
        assert_eq!(used(&[1, 2, 3, 4]), 16);
    }
}
