//! Instructions executed, from the board's first CMSDK timer.
//!
//! With `-icount shift=0` QEMU lets one nanosecond pass for each instruction; the timer counts the board's
//! 25 MHz, so one tick is 40 instructions. SysTick would wrap after 671 million instructions, less than one
//! prompt may take; this timer wraps after 171 billion and needs no interrupt.
//! (Arm, Cortex-M System Design Kit, chapter 4.1; Application Note AN386, table 4-1.)
// Memory-mapped registers.
#![allow(unsafe_code)]

use sprat_board_support::console::Counter;

const INSTRUCTIONS_PER_TICK: u64 = 40;

const CONTROL: *mut u32 = 0x4000_0000 as *mut u32;
const VALUE: *mut u32 = 0x4000_0004 as *mut u32;
const RELOAD: *mut u32 = 0x4000_0008 as *mut u32;
const ENABLE: u32 = 1;

/// A running timer, which adds up the ticks between reads.
pub struct InstructionTimer {
    last: u32,
    ticks: u64,
}

impl InstructionTimer {
    /// Starts the timer from its largest value; it counts down.
    pub fn start() -> Self {
        // SAFETY: the addresses of the timer's registers, which nothing else uses.
        unsafe {
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CONTROL.write_volatile(ENABLE);
        }
        Self { last: u32::MAX, ticks: 0 }
    }
}

impl Counter for InstructionTimer {
    fn now(&mut self) -> u64 {
        // SAFETY: reading the counter has no effect on it.
        let value = unsafe { VALUE.read_volatile() };
        self.ticks += u64::from(self.last.wrapping_sub(value));
        self.last = value;
        self.ticks * INSTRUCTIONS_PER_TICK
    }
}
