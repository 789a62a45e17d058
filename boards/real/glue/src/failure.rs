//! How the firmware of a real board ends when it cannot go on: it says so in the log, and starts again.
//!
//! With a debugger attached it stops instead, so that `probe-rs` shows where it was.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use defmt::error;
use sprat_board_support::protocol::Exit;

use crate::chip;

/// Ends the firmware.
pub(crate) fn end(exit: Exit) -> ! {
    error!("ended with code {=u8}", exit.code());
    chip::restart()
}

/// What the fault handlers call.
#[unsafe(no_mangle)]
fn sprat_board_exit(exit: Exit) -> ! {
    end(exit)
}

/// A panic while a panic is being logged must not go round in circles.
static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // No read-modify-write, which the smallest cores lack; the other core of a chip only computes.
    if !PANICKED.load(Ordering::Relaxed) {
        PANICKED.store(true, Ordering::Relaxed);
        // Where it was is enough to find it. The message would keep all of `core::fmt` in flash.
        if let Some(location) = info.location() {
            error!("panic at {=str}:{=u32}", location.file(), location.line());
        }
    }
    end(Exit::Panic)
}
