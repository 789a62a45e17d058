//! Where an answer goes while it is being written, and the clock that it is measured by.

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
