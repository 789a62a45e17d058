//! Where an answer goes while it is being written, the clock that it is measured by, and the wire that questions come on.
//!
//! The traits are the seams that a board fills in. A wire serves people and programs alike: [`frame`] is how a
//! program's messages are told from a person's text and from noise, [`message`] is what they say, [`line`](self::Line)
//! is what a person types, and [`Port`] is a board's end of the wire, which brings commands and takes answers, whoever
//! they are from and for.

use core::ops::ControlFlow;

pub mod frame;
mod line;
pub mod message;
mod person;
mod port;
#[cfg(test)]
pub(crate) mod tests;

pub use self::line::{Line, Typed};
pub use self::port::{Command, Gone, Port, PortMemory};

/// The seam to whatever shows text: a serial line, a debugger, a display.
pub trait Console {
    /// Shows a piece of text, whole characters, in the order of the calls.
    fn write(&mut self, text: &str);
}

/// A counter of work done: instructions under an emulator, cycles on a core that counts them.
pub trait Counter {
    /// The count since some fixed moment; never decreases. A counter that wraps in hardware must be read at
    /// least once a wrap, so it is read at every token.
    fn now(&mut self) -> u64;
}

/// The seam to a wire that carries bytes both ways: a UART, a serial line over USB, a channel in a process.
pub trait Serial {
    /// The next byte that has arrived, if there is one; does not wait.
    fn read(&mut self) -> Option<u8>;

    /// Sends bytes; waits while the wire takes no more.
    fn write(&mut self, bytes: &[u8]);

    /// Called when nothing has arrived and nothing is to do: the place to sleep until a byte comes, and to feed a
    /// watchdog. [`ControlFlow::Break`] says that the wire is gone, which on a board it never is.
    fn wait(&mut self) -> ControlFlow<()> {
        core::hint::spin_loop();
        ControlFlow::Continue(())
    }
}
