//! The bytes of a serial line, as drivers of hardware abstraction layers bring them.
//!
//! Drivers with a ring that an interrupt fills implement the traits of `embedded-io-async`, for which there is [`Ring`].
//! Nothing here runs in a task: a future that is polled once is a read that does not wait.

use core::ops::ControlFlow;
use core::task::Poll;

use embassy_futures::{block_on, poll_once};
use embedded_io_async::{BufRead, Write};
use sprat_board_support::console::{Counter as _, Serial};

use crate::clock::Shared;

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

/// A line that looks at the clock while nothing comes, so that the counter is read before it wraps and the watchdog is
/// fed.
pub(crate) struct Waiting<'c, S, F> {
    pub(crate) serial: S,
    pub(crate) clock: Shared<'c, F>,
}

impl<S: Serial, F: FnMut()> Serial for Waiting<'_, S, F> {
    fn read(&mut self) -> Option<u8> {
        self.serial.read()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.serial.write(bytes);
    }

    fn wait(&mut self) -> ControlFlow<()> {
        self.clock.now();
        self.serial.wait()
    }
}
