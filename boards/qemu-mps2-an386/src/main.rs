//! The firmware of the emulated MPS2 AN386: its clock and its guarded stack, around the application of all boards.
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
    let firmware = firmware.with_slots(&QEMU_MPS2_AN386.slots());
    firmware.run(&mut timer)
}
