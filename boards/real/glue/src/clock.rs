//! Cycles of the core, and the watchdog that is fed by whoever looks at them.
//!
//! The counter has 32 bits and wraps in seconds, so it is read at every token and while nothing is asked. That is also
//! how often a watchdog wants to hear from a firmware: the clock is the one place that does both.

use core::cell::RefCell;

use critical_section::Mutex;
use sprat_board_support::console::Counter;

/// Seconds without a sign of life after which boards set their watchdog to reset them. The longest silence is the
/// reading of a prompt that fills the context: 5 seconds on the slowest of the Cortex-M, as `sprat plan` predicts it. Not
/// all watchdogs can wait longer than 16.
pub const WATCHDOG_SECONDS: u32 = 16;

/// A running counter of cycles.
#[derive(Debug)]
pub struct Clock<F> {
    count: fn() -> u32,
    hz: u32,
    last: u32,
    cycles: u64,
    feed: F,
}

impl<F: FnMut()> Clock<F> {
    /// Adds up the `count` of cycles of a core that runs at `hz`; `feed` is called whenever it is read.
    pub fn new(count: fn() -> u32, hz: u32, feed: F) -> Self {
        Self { count, hz, last: count(), cycles: 0, feed }
    }

    /// Cycles in a second.
    pub fn hz(&self) -> u32 {
        self.hz
    }
}

impl<F: FnMut()> Counter for Clock<F> {
    fn now(&mut self) -> u64 {
        (self.feed)();
        let value = (self.count)();
        self.cycles += u64::from(value.wrapping_sub(self.last));
        self.last = value;
        self.cycles
    }
}

/// A clock that is also looked at by somebody else.
#[derive(Debug)]
pub struct Shared<'c, F>(pub &'c Mutex<RefCell<Clock<F>>>);

impl<F: FnMut()> Counter for Shared<'_, F> {
    fn now(&mut self) -> u64 {
        critical_section::with(|section| self.0.borrow_ref_mut(section).now())
    }
}
