//! Instructions executed, from the first CMSDK timer of Arm's MPS2 boards.
//!
//! With `-icount shift=0` QEMU lets one nanosecond pass for each instruction; the timer counts the board's clock, so one
//! tick is 40 instructions at 25 MHz. SysTick would wrap after 671 million instructions, less than one prompt may take;
//! this timer wraps after 171 billion and needs no interrupt.
//! (Arm, Cortex-M System Design Kit, chapter 4.1; Application Note AN386, table 4-1; AN505, table 6-1.)

use crate::console::Counter;

/// Where the timer's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Timer {
    /// On boards without a security extension.
    Plain = 0x4000_0000,
    /// As the secure state sees them.
    Secure = 0x5000_0000,
}

impl Timer {
    fn register(self, index: usize) -> *mut u32 {
        core::ptr::without_provenance_mut(self as usize + 4 * index)
    }
}

const CONTROL: usize = 0;
const VALUE: usize = 1;
const RELOAD: usize = 2;
const ENABLE: u32 = 1;

/// A running timer, which adds up the ticks between reads.
#[derive(Debug)]
pub struct InstructionTimer {
    timer: Timer,
    instructions_per_tick: u64,
    last: u32,
    ticks: u64,
}

impl InstructionTimer {
    /// Starts a timer of a board's clock from its largest value; it counts down. Clocks divide a billion.
    pub fn start(timer: Timer, clock_hz: u64) -> Self {
        // SAFETY: the addresses of the timer's registers, which nothing else uses; a board without it faults.
        unsafe {
            timer.register(RELOAD).write_volatile(u32::MAX);
            timer.register(VALUE).write_volatile(u32::MAX);
            timer.register(CONTROL).write_volatile(ENABLE);
        }
        Self { timer, instructions_per_tick: 1_000_000_000 / clock_hz, last: u32::MAX, ticks: 0 }
    }
}

impl Counter for InstructionTimer {
    fn now(&mut self) -> u64 {
        // SAFETY: reading the counter has no effect on it.
        let value = unsafe { self.timer.register(VALUE).read_volatile() };
        self.ticks += u64::from(self.last.wrapping_sub(value));
        self.last = value;
        self.ticks * self.instructions_per_tick
    }
}
