//! Changes to a file as an accident or an attacker would make them, repeatable by their seed.

use sprat_tools::fixture::Numbers;

/// Values at which sizes, counts and signs turn over.
const EXTREMES: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x10_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    0x7fff_ffff_ffff_ffff,
    1 << 63,
    u64::MAX,
];
/// The same for numbers in text, and what breaks into structure.
const TEXTS: [&str; 12] = [
    "0",
    "-1",
    "1024",
    "1048575",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "1e308",
    "null",
    "[]",
    "{\"a\":{\"a\":{\"a\":[[[[[[[[",
    "\\ud800",
];

/// An endless row of mutations of one file.
pub struct Mutations<'s> {
    numbers: Numbers,
    seed: &'s [u8],
    /// Files to take parts from.
    others: &'s [Vec<u8>],
}

impl<'s> Mutations<'s> {
    pub fn new(number: u64, seed: &'s [u8], others: &'s [Vec<u8>]) -> Self {
        Self { numbers: Numbers(number), seed, others }
    }

    /// A number below `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.numbers.bits() % end.max(1) as u64) as usize
    }

    /// The next mutated file: one to four changes.
    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.seed.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        // Headers decide most, so that half of all changes are made there.
        let at = if self.numbers.bits() & 1 == 0 { at.min(self.below(300)) } else { at };
        match self.below(8) {
            0 => bytes.truncate(at),
            1 | 2 => {
                let bit = self.below(8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            3 | 4 => {
                let value = EXTREMES[self.below(EXTREMES.len())].to_le_bytes();
                let width = 1 << self.below(4);
                bytes.iter_mut().skip(at).take(width).zip(value).for_each(|(byte, value)| *byte = value);
            }
            5 => {
                // A run of digits, or whatever is there, becomes another number.
                let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
                let from = bytes[at..].iter().position(digits).map_or(at, |skip| at + skip);
                let count = bytes[from..].iter().take_while(|byte| digits(byte)).count();
                let text = TEXTS[self.below(TEXTS.len())];
                bytes.splice(from..from + count, text.bytes());
            }
            6 => {
                let count = self.below(64).min(bytes.len() - at);
                bytes.drain(at..at + count);
            }
            _ => {
                let other = &self.others[self.below(self.others.len())];
                let from = self.below(other.len());
                let part = &other[from..other.len().min(from + self.below(64))];
                bytes.splice(at..at, part.iter().copied());
            }
        }
    }
}
