//! The firmware of the emulated MPS3 AN547: its clock and its serial line, around the application of all boards.
//!
//! The model lies in the external memory, where the emulator loads that part of the image, as a programmer writes
//! external flash.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::cmsdk::{Line, Uart};
use sprat_board_support::cortex_m::stack_used_bytes;
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_MPS3_AN547;

mod counter;

/// What the serial line is clocked with.
const CLOCK_HZ: u32 = 32_000_000;

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut counter = counter::SystemCounter::start();
    firmware!(QEMU_MPS3_AN547, &Solo, stack_used_bytes)
        .begin(|| Uart::start(Line::AN547, CLOCK_HZ), &mut counter)
}
