//! Sets of bytes.

/// A set of bytes: one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ByteSet([u32; 8]);

impl ByteSet {
    /// No byte.
    pub const NONE: Self = Self([0; 8]);

    /// The bytes of a text.
    pub const fn of(text: &str) -> Self {
        let (bytes, mut set, mut place) = (text.as_bytes(), Self::NONE, 0);
        while place < bytes.len() {
            set = set.with(bytes[place]);
            place += 1;
        }
        set
    }

    /// All bytes from one to another, both included.
    pub const fn range(first: u8, last: u8) -> Self {
        let (mut set, mut byte) = (Self::NONE, first as usize);
        while byte <= last as usize {
            set = set.with(byte as u8);
            byte += 1;
        }
        set
    }

    /// This set and one byte more.
    pub const fn with(mut self, byte: u8) -> Self {
        self.0[(byte / 32) as usize] |= 1 << (byte % 32);
        self
    }

    /// The bytes of either set.
    pub const fn or(mut self, other: Self) -> Self {
        let mut word = 0;
        while word < 8 {
            self.0[word] |= other.0[word];
            word += 1;
        }
        self
    }

    /// The bytes of this set that are not in the other.
    pub const fn without(mut self, other: Self) -> Self {
        let mut word = 0;
        while word < 8 {
            self.0[word] &= !other.0[word];
            word += 1;
        }
        self
    }

    /// Whether a byte is in it.
    pub const fn has(&self, byte: u8) -> bool {
        self.0[(byte / 32) as usize] >> (byte % 32) & 1 != 0
    }

    /// Whether no byte is in it.
    pub const fn is_empty(&self) -> bool {
        let (mut all, mut word) = (0, 0);
        while word < 8 {
            all |= self.0[word];
            word += 1;
        }
        all == 0
    }
}
