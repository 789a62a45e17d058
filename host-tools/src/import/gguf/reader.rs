//! A cursor over little-endian bytes that never reads beyond their end.
//!
//! Counts in a file are claims. Whatever is counted is read one by one, so that a claim that the file's bytes do not
//! bear out ends in an error after at most as many steps as there are bytes.

use anyhow::{Context, Result, ensure};

/// What is left of the bytes, and where in the file it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Bytes that begin at an offset of the file.
    pub fn new(rest: &'a [u8], at: usize) -> Self {
        Self { rest, at }
    }

    /// Offset of the next byte in the file.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: u64, what: &str) -> Result<&'a [u8]> {
        let have = self.rest.len();
        let taken = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = taken.with_context(|| {
            format!(
                "{what} at byte {} needs {count} bytes, the file has {have} more: it is cut short or damaged",
                self.at
            )
        })?;
        self.rest = rest;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N as u64, what)?);
        Ok(out)
    }

    pub fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A string: its length in eight bytes, then UTF-8.
    pub fn text(&mut self, what: &str) -> Result<&'a str> {
        let at = self.at;
        let length = self.u64(what)?;
        let bytes = self.bytes(length, what)?;
        let text = std::str::from_utf8(bytes);
        ensure!(
            text.is_ok(),
            "{what} at byte {at} is not UTF-8 ({:?}): the file is damaged",
            String::from_utf8_lossy(&bytes[..bytes.len().min(32)])
        );
        Ok(text.unwrap_or_default())
    }
}
