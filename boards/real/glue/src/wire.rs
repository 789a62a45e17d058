//! The serial line to a person: bytes as they come, lines with an echo, text.
//!
//! Drivers with a ring that an interrupt fills implement the traits of `embedded-io-async`, for which there is [`Ring`].
//! Nothing here runs in a task: a future that is polled once is a read that does not wait.

use core::str;
use core::task::Poll;

use embassy_futures::{block_on, poll_once};
use embedded_io_async::{BufRead, Write};
use sprat_board_support::console::Console;

/// What a terminal sends for the key combination that cancels.
pub const CONTROL_C: u8 = 3;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 0x7f;

/// Bytes both ways.
pub trait Serial {
    /// The next byte that has arrived, if there is one; does not wait.
    fn read(&mut self) -> Option<u8>;

    /// Sends bytes; waits while the line takes no more.
    fn write(&mut self, bytes: &[u8]);
}

/// A driver with rings. Bytes that it had no room for are lost.
#[derive(Debug)]
pub struct Ring<U>(pub U);

impl<U: BufRead + Write> Serial for Ring<U> {
    fn read(&mut self) -> Option<u8> {
        let byte = match poll_once(self.0.fill_buf()) {
            Poll::Ready(Ok(bytes)) => bytes.first().copied(),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        };
        if byte.is_some() {
            self.0.consume(1);
        }
        byte
    }

    fn write(&mut self, bytes: &[u8]) {
        // Nobody to tell: the line that failed is the one that would say it.
        _ = block_on(self.0.write_all(bytes));
    }
}

/// A person at a serial line.
#[derive(Debug)]
pub struct Wire<S>(pub S);

impl<S: Serial> Wire<S> {
    /// The next byte, if one has come.
    pub fn read(&mut self) -> Option<u8> {
        self.0.read()
    }

    /// Reads a line into `buffer` with an echo, and calls `idle` while nothing comes. What does not fit is not taken and
    /// not shown. A line that is no text is an empty one.
    pub fn line<'b>(&mut self, buffer: &'b mut [u8], mut idle: impl FnMut()) -> &'b str {
        let mut length = 0;
        loop {
            let Some(byte) = self.read() else {
                idle();
                continue;
            };
            match byte {
                b'\r' | b'\n' => break,
                CONTROL_C => {
                    length = 0;
                    break;
                }
                BACKSPACE | DELETE => length = self.erase(buffer, length),
                _ => {
                    if let Some(place) = buffer.get_mut(length).filter(|_| byte >= b' ') {
                        *place = byte;
                        length += 1;
                        self.send(&[byte]);
                    }
                }
            }
        }
        self.send(b"\r\n");
        let line = buffer.get(..length).unwrap_or_default();
        str::from_utf8(line).unwrap_or_default().trim()
    }

    /// Takes back the last character, whose bytes begin with one that continues no other.
    fn erase(&mut self, buffer: &[u8], length: usize) -> usize {
        let before = buffer.get(..length).unwrap_or_default();
        let Some(start) = before.iter().rposition(|byte| byte & 0xc0 != 0x80) else { return 0 };
        self.send(b"\x08 \x08");
        start
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

impl<S: Serial> Console for Wire<S> {
    fn write(&mut self, text: &str) {
        // A terminal wants to be told to return as well.
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.send(b"\r\n");
            }
            self.send(line.as_bytes());
        }
    }
}
