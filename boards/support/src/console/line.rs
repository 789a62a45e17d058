//! The line that a person types.
//!
//! A terminal shows nothing by itself, so what is typed is sent back. Nothing needs more than a wire does: a backspace
//! goes one character back, a line that is too long rings the bell.

use heapless::Vec;

use super::message::TEXT_BYTES;

/// Ends an answer, or the line.
pub(super) const INTERRUPT: u8 = 3;
const BELL: u8 = 7;
const BACKSPACE: u8 = 8;
const ERASE_LINE: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// What a byte does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing is finished yet.
    More,
    /// The line is complete.
    Line,
    /// The line was given up.
    Interrupt,
}

/// A line under way.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8, TEXT_BYTES>,
    was_return: bool,
}

impl Line {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), was_return: false }
    }

    /// Takes in what was typed; `echo` gets what the terminal is to show.
    pub fn push(&mut self, byte: u8, mut echo: impl FnMut(&[u8])) -> Typed {
        let was_return = core::mem::replace(&mut self.was_return, byte == b'\r');
        match byte {
            // The second half of what some terminals send for a return.
            b'\n' if was_return => Typed::More,
            b'\r' | b'\n' => {
                echo(b"\r\n");
                Typed::Line
            }
            INTERRUPT => {
                echo(b"^C\r\n");
                self.clear();
                Typed::Interrupt
            }
            BACKSPACE | DELETE => {
                self.erase(&mut echo);
                Typed::More
            }
            ERASE_LINE => {
                while self.erase(&mut echo) {}
                Typed::More
            }
            // Other control characters, and sequences for keys that a line has no use for.
            0..0x20 => Typed::More,
            _ => {
                match self.bytes.push(byte) {
                    Ok(()) => echo(&[byte]),
                    Err(_) => echo(&[BELL]),
                }
                Typed::More
            }
        }
    }

    /// Takes the last character back; whether there was one.
    fn erase(&mut self, echo: &mut impl FnMut(&[u8])) -> bool {
        let is_inside = |byte: u8| byte & 0xc0 == 0x80;
        let had_some = !self.bytes.is_empty();
        while self.bytes.pop().is_some_and(is_inside) {}
        if had_some {
            echo(&[BACKSPACE, b' ', BACKSPACE]);
        }
        had_some
    }

    /// What was typed so far, without a character that is not complete.
    pub fn text(&self) -> &str {
        let whole = |bytes| core::str::from_utf8(bytes);
        whole(&self.bytes).or_else(|error| whole(&self.bytes[..error.valid_up_to()])).unwrap_or_default()
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}
