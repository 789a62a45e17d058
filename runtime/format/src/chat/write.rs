//! Writing a `CHAT` section.
//!
//! Texts that are part of another one are stored once: most templates repeat three or four.

use core::fmt;

use super::{CLOSE, ENTRIES, HEADER_BYTES, NAME, NONE, OPEN, Role, STOP, TABLE, Trim, flag};

/// What a section holds, see [`ChatTemplate`](super::ChatTemplate) for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChatParts<'t> {
    /// Texts between two messages: after nothing and after each role, before each role.
    pub between: [[Option<&'t str>; 4]; 5],
    /// Texts that open an answer, by the role before.
    pub open: [Option<&'t str>; 4],
    /// Texts behind a finished conversation, by its last role.
    pub close: [Option<&'t str>; 4],
    /// The text that ends an answer, where no token does.
    pub stop: Option<&'t str>,
    /// The template's name.
    pub name: &'t str,
    /// What is taken off messages, in the order of `between`.
    pub trims: [[Trim; 4]; 5],
    /// Whether an empty system message is left out.
    pub empty_system_is_none: bool,
    /// Whether an answer is shown otherwise to later turns than it was opened.
    pub rewrites: bool,
}

/// Why a section could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatWriteError {
    /// The texts together are longer than the section can say.
    TooLong,
    /// The buffer is too small.
    Buffer,
}

impl fmt::Display for ChatWriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the texts of the chat template are longer than 65,534 bytes together",
            Self::Buffer => "the buffer for the chat template is too small",
        })
    }
}

impl core::error::Error for ChatWriteError {}

impl ChatParts<'_> {
    /// Bytes that are enough for the section.
    pub fn most_bytes(&self) -> usize {
        HEADER_BYTES + self.texts().iter().flatten().map(|text| text.len()).sum::<usize>()
    }

    fn texts(&self) -> [Option<&str>; ENTRIES] {
        let mut texts = [None; ENTRIES];
        let between = self.between.iter().flatten();
        texts.iter_mut().zip(between).for_each(|(to, &from)| *to = from);
        for role in Role::ALL {
            texts[OPEN + role as usize] = self.open[role as usize];
            texts[CLOSE + role as usize] = self.close[role as usize];
        }
        texts[STOP] = self.stop;
        texts[NAME] = Some(self.name);
        texts
    }

    /// Writes the section into `buffer` and returns the part used.
    ///
    /// # Errors
    /// Texts that are too long, or a buffer that is too small ([`most_bytes`](Self::most_bytes) are enough).
    pub fn write<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], ChatWriteError> {
        let (header, pool) = buffer.split_first_chunk_mut::<HEADER_BYTES>().ok_or(ChatWriteError::Buffer)?;
        *header = [0; HEADER_BYTES];
        header[0] |= if self.empty_system_is_none { flag::EMPTY_SYSTEM_IS_NONE } else { 0 };
        header[0] |= if self.rewrites { flag::REWRITES } else { 0 };
        for (byte, trim) in header[4..TABLE].iter_mut().zip(self.trims.into_iter().flatten()) {
            *byte = trim as u8;
        }
        header[TABLE..].fill(u8::MAX);
        // The longest first, so that every other one that is a part of it is found in it.
        let texts = self.texts();
        let mut order: [usize; ENTRIES] = core::array::from_fn(|index| index);
        order.sort_unstable_by_key(|&index| (core::cmp::Reverse(texts[index].map(str::len)), index));
        let mut used = 0;
        for index in order {
            let Some(text) = texts[index] else { continue };
            let bytes = text.as_bytes();
            let found = match bytes {
                [] => Some(0),
                _ => pool[..used].windows(bytes.len()).position(|window| window == bytes),
            };
            let offset = match found {
                Some(offset) => offset,
                None => {
                    let to = pool.get_mut(used..used + bytes.len()).ok_or(ChatWriteError::Buffer)?;
                    to.copy_from_slice(bytes);
                    used += bytes.len();
                    used - bytes.len()
                }
            };
            let fits = |number: usize| u16::try_from(number).ok().filter(|&number| number != NONE);
            let (offset, length) = fits(offset).zip(fits(bytes.len())).ok_or(ChatWriteError::TooLong)?;
            header[TABLE + 4 * index..][..2].copy_from_slice(&offset.to_le_bytes());
            header[TABLE + 2 + 4 * index..][..2].copy_from_slice(&length.to_le_bytes());
        }
        Ok(&buffer[..HEADER_BYTES + used])
    }
}
