//! A running hash over the bits of logits, to compare two targets without moving the logits.
//!
//! FNV-1a (Fowler, Noll, Vo) over 32-bit words: one multiplication a logit, and any changed bit changes it.

/// The hash of all logits that went in so far, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitsHash(u64);

impl LogitsHash {
    /// The hash of nothing.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in the logits of one position.
    pub fn update(&mut self, logits: &[f32]) {
        for logit in logits {
            self.0 = (self.0 ^ u64::from(logit.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash so far.
    pub const fn value(&self) -> u64 {
        self.0
    }
}

impl Default for LogitsHash {
    fn default() -> Self {
        Self::new()
    }
}
