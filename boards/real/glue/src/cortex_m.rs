//! What Cortex-M cores have of their own: the counter of cycles, and the way to start again.

use cortex_m::peripheral::{DCB, DWT, SCB};

use crate::clock::Clock;

/// Starts the counter of a core that runs at `hz`; `feed` is called whenever it is read.
/// (ARMv7-M and ARMv8-M Architecture Reference Manuals, Data Watchpoint and Trace.)
pub fn clock<F: FnMut()>(mut dcb: DCB, mut dwt: DWT, hz: u32, feed: F) -> Clock<F> {
    dcb.enable_trace();
    // Some Cortex-M7 lock it; the others ignore this.
    DWT::unlock();
    dwt.set_cycle_count(0);
    dwt.enable_cycle_counter();
    Clock::new(DWT::cycle_count, hz, feed)
}

/// Stops for a debugger, if one is attached; then resets the chip.
pub(crate) fn restart() -> ! {
    if DCB::is_debugger_attached() {
        cortex_m::asm::bkpt();
    }
    SCB::sys_reset()
}
