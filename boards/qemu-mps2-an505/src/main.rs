//! The firmware of the emulated MPS2 AN505: its clock and its serial line, around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::cmsdk::{InstructionTimer, Line, Timer, Uart};
use sprat_board_support::cortex_m::stack_used_bytes;
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_MPS2_AN505;

const CLOCK_HZ: u32 = 20_000_000;

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut timer = InstructionTimer::start(Timer::Secure, CLOCK_HZ);
    firmware!(QEMU_MPS2_AN505, &Solo, stack_used_bytes)
        .begin(|| Uart::start(Line::AN505, CLOCK_HZ), &mut timer)
}
