//! The firmware of the emulated MPS2 AN386: its clock, its guarded stack and its serial line, around the application of
//! all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::cmsdk::{InstructionTimer, Line, Timer, Uart};
use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_MPS2_AN386;

const CLOCK_HZ: u32 = 25_000_000;

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let mut timer = InstructionTimer::start(Timer::Plain, CLOCK_HZ);
    let firmware = firmware!(QEMU_MPS2_AN386, &Solo, stack_used_bytes);
    #[cfg(feature = "slots")]
    let firmware = firmware.with_slots();
    firmware.begin(|| Uart::start(Line::PLAIN, CLOCK_HZ), &mut timer)
}
