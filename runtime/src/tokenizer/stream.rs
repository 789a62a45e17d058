//! Decoding as a stream: the bytes of one token after the other in, whole characters out.
//!
//! A token may end in the middle of a character. What cannot be shown yet, at most three bytes, waits for the
//! next token. Bytes that no continuation could make valid become U+FFFD, in the same places and number as
//! `String::from_utf8_lossy` would put them for the whole text.

use heapless::Vec;

/// Turns the bytes of tokens into text, as they come.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    /// The beginning of a character: at most three bytes between two calls, four while one completes it.
    pending: Vec<u8, 4>,
    drop_space: bool,
}

impl StreamDecoder {
    /// A decoder with nothing pending; `drop_space` takes one space off the beginning of the first token.
    pub const fn new(drop_space: bool) -> Self {
        Self { pending: Vec::new(), drop_space }
    }

    /// Bytes that wait for the rest of their character, 0 to 3.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Takes the bytes of the next token and shows what is whole, in one or several parts.
    pub fn push(&mut self, token: &[u8], mut show: impl FnMut(&str)) {
        let mut bytes = match token {
            [b' ', rest @ ..] if self.drop_space => rest,
            _ => token,
        };
        self.drop_space = false;
        while let [byte, rest @ ..] = bytes
            && !self.pending.is_empty()
        {
            bytes = if self.complete(*byte, &mut show) { rest } else { bytes };
        }
        let mut left = bytes.len();
        for chunk in bytes.utf8_chunks() {
            if !chunk.valid().is_empty() {
                show(chunk.valid());
            }
            left -= chunk.valid().len() + chunk.invalid().len();
            let error = core::str::from_utf8(chunk.invalid()).err();
            match error.map(|error| error.error_len()) {
                None => {}
                // At the end of the bytes, a beginning that the next token may complete: at most three bytes.
                Some(None) if left == 0 => self.pending.extend(chunk.invalid().iter().copied().take(3)),
                Some(_) => show("\u{FFFD}"),
            }
        }
    }

    /// Ends the stream: an unfinished character becomes one U+FFFD.
    pub fn finish(&mut self, mut show: impl FnMut(&str)) {
        if !self.pending.is_empty() {
            self.pending.clear();
            show("\u{FFFD}");
        }
    }

    /// Adds one byte to the pending ones; false if it does not belong to them and is still to be looked at.
    fn complete(&mut self, byte: u8, mut show: impl FnMut(&str)) -> bool {
        let is_full = self.pending.push(byte).is_err();
        match core::str::from_utf8(&self.pending) {
            Ok(character) => show(character),
            Err(error) if error.error_len().is_none() && !is_full => return true,
            Err(_) => {
                self.pending.clear();
                show("\u{FFFD}");
                return false;
            }
        }
        self.pending.clear();
        true
    }
}
