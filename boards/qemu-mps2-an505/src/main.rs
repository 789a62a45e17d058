//! The firmware of the emulated MPS2 AN505: its clock, around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::cmsdk::{InstructionTimer, Timer};
use sprat_board_support::cortex_m::stack_used_bytes;
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_MPS2_AN505;

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut timer = InstructionTimer::start(Timer::Secure, 20_000_000);
    firmware!(QEMU_MPS2_AN505, &Solo, stack_used_bytes).run(&mut timer)
}
