//! Instructions executed, from the system counter of Arm's SSE-300.
//!
//! It has 64 bits and counts the board's 32 MHz; with `-icount shift=0` QEMU lets one nanosecond pass for each
//! instruction, so that a tick is 31.25 instructions.
//! (Arm, Corstone SSE-300 Example Subsystem Technical Reference Manual, chapter 5: system counter control frame.)
// Registers in memory.
#![allow(unsafe_code)]

use sprat_board_support::console::Counter;

const CONTROL: *mut u32 = 0x5810_0000 as *mut u32;
const ENABLE: u32 = 1;
const VALUE_LOW: *mut u32 = 0x5810_0008 as *mut u32;
const VALUE_HIGH: *mut u32 = 0x5810_000c as *mut u32;

/// Nanoseconds of 4 ticks, whole ones.
const INSTRUCTIONS_PER_4_TICKS: u64 = 125;

/// The running counter.
pub struct SystemCounter(());

impl SystemCounter {
    /// Starts it.
    pub fn start() -> Self {
        // SAFETY: the address of the counter's control register, which nothing else uses.
        unsafe { CONTROL.write_volatile(ENABLE) };
        Self(())
    }
}

impl Counter for SystemCounter {
    fn now(&mut self) -> u64 {
        // SAFETY: reading the counter has no effect on it.
        let read = || unsafe { [VALUE_HIGH.read_volatile(), VALUE_LOW.read_volatile()] };
        let ticks = loop {
            let [before, low] = read();
            let [after, _] = read();
            // Else the low half has wrapped in between.
            if before == after {
                break u64::from(before) << 32 | u64::from(low);
            }
        };
        ticks * INSTRUCTIONS_PER_4_TICKS / 4
    }
}
