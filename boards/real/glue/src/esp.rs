//! What Espressif's RISC-V chips have of their own: the counter of cycles, the stack of their hardware abstraction layer,
//! the serial line over USB, and the way to start again.

use core::arch::asm;

use sprat_board_support::stack::{self, PAINT};

use crate::clock::Clock;

mod usb;

pub use usb::Usb;

unsafe extern "C" {
    /// Lowest address of the stack, from the linker script.
    static _stack_end: u32;
    /// First address above the stack, from the linker script.
    static _stack_start: u32;
}

/// Words at the end of the stack that belong to its guard, which is watched for writes: the layer places it 60 bytes above
/// the end.
const GUARD_WORDS: usize = 16;

/// Bytes of stack written since [`paint_stack`].
pub fn stack_used_bytes() -> u32 {
    let (end, start) = ((&raw const _stack_end).wrapping_add(GUARD_WORDS), &raw const _stack_start);
    // SAFETY: the linker script places both symbols, aligned, at the ends of one region of RAM, and checks that there is
    // more of it than the guard.
    unsafe { stack::high_water_bytes(end, start, PAINT) as u32 }
}

/// Paints the stack. To be called first in `main`.
pub fn paint_stack() {
    let here: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mv {here}, sp", here = out(reg) here, options(nomem, nostack, preserves_flags)) };
    // SAFETY: above the guard and below the frames that are in use.
    unsafe { stack::paint((&raw const _stack_end).wrapping_add(GUARD_WORDS), here) };
}

/// Starts the counter of a core that runs at `hz`; `feed` is called whenever it is read. At 160 MHz it wraps after 26
/// seconds: a prompt that takes longer to read is counted short by that.
pub fn clock<F: FnMut()>(hz: u32, feed: F) -> Clock<F> {
    // Of all events, cycles; the counter on. (ESP32-C3 and ESP32-C6 Technical Reference Manuals, 1.4, "Performance
    // Counter CSRs": mpcer, mpcmr, mpccr.)
    // SAFETY: three registers that nothing else uses.
    unsafe {
        asm!("csrwi 0x7e0, 1", "csrwi 0x7e1, 1", "csrwi 0x7e2, 0", options(nomem, nostack, preserves_flags))
    };
    Clock::new(cycles, hz, feed)
}

fn cycles() -> u32 {
    let count;
    // SAFETY: reads a register.
    unsafe { asm!("csrr {count}, 0x7e2", count = out(reg) count, options(nomem, nostack, preserves_flags)) };
    count
}

/// Stops for a debugger, if one is attached; then resets the chip.
pub(crate) fn restart() -> ! {
    if esp_hal::debugger::debugger_connected() {
        // SAFETY: halts the core, from which the debugger lets it go on.
        unsafe { asm!("ebreak", options(nomem, nostack, preserves_flags)) };
    }
    esp_hal::system::software_reset()
}
