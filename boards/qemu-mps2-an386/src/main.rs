//! The firmware of the emulated MPS2 AN386: its clock, its guarded stack and its serial line, around the application of
//! all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::cmsdk::{InstructionTimer, Timer};
use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_MPS2_AN386;

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let mut timer = InstructionTimer::start(Timer::Plain, 25_000_000);
    let firmware = firmware!(QEMU_MPS2_AN386, &Solo, stack_used_bytes);
    #[cfg(feature = "slots")]
    let firmware = firmware.with_slots();
    #[cfg(not(feature = "console"))]
    firmware.run(&mut timer);
    #[cfg(feature = "console")]
    console::serve(firmware, &mut timer)
}

/// The firmware that is spoken to over the serial line, with a thermometer that reads what it is told to.
#[cfg(feature = "console")]
mod console {
    use core::cell::RefCell;

    use sprat_board_support::Firmware;
    use sprat_board_support::cmsdk::{InstructionTimer, Uart};
    use sprat_board_support::serve::Scripted;
    use static_cell::ConstStaticCell;

    static DEVICE: ConstStaticCell<RefCell<Scripted>> =
        ConstStaticCell::new(RefCell::new(Scripted::new("temp=21.5")));

    pub fn serve(firmware: Firmware, timer: &mut InstructionTimer) -> ! {
        firmware.serve(DEVICE.take(), &mut Uart::start(), timer)
    }
}
