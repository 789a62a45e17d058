//! The end of a text of any length, in a lent buffer.
//!
//! An answer stands at the end of a chain, so of a chain that is longer than the buffer the end is kept.

/// A text of which, if it is too long, the end is kept.
#[derive(Debug)]
pub struct Tail<'b> {
    buffer: &'b mut [u8],
    used: usize,
    is_cut: bool,
}

impl<'b> Tail<'b> {
    /// An empty text; at least half of the buffer is kept of a longer one.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0, is_cut: false }
    }

    /// Adds to the end.
    pub fn push(&mut self, text: &str) {
        for character in text.chars() {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            if self.used + bytes.len() > self.buffer.len() {
                self.forget(self.buffer.len() / 2);
            }
            // Half of a tiny buffer may be too little.
            if self.used + bytes.len() > self.buffer.len() {
                self.forget(self.used);
            }
            if let Some(place) = self.buffer.get_mut(self.used..self.used + bytes.len()) {
                place.copy_from_slice(bytes);
                self.used += bytes.len();
            }
        }
    }

    /// Forgets so many bytes at the beginning, rounded up to whole characters.
    fn forget(&mut self, bytes: usize) {
        let bytes = self.as_str().ceil_char_boundary(bytes);
        self.buffer.copy_within(bytes..self.used, 0);
        self.used -= bytes;
        self.is_cut = true;
    }

    /// The text, or what is left of it.
    pub fn as_str(&self) -> &str {
        // Only whole characters were copied.
        core::str::from_utf8(&self.buffer[..self.used]).unwrap_or_default()
    }

    /// Whether its beginning was forgotten.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        (self.used, self.is_cut) = (0, false);
    }
}
