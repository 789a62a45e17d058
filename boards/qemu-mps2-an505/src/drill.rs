//! The firmware of this board that fails on purpose.
#![no_std]
#![no_main]

use sprat_board_support::cortex_m::undefined;
use sprat_board_support::drill;

/// Nothing is there on this board, neither memory nor a device.
const UNMAPPED: usize = 0x0700_0000;

#[cortex_m_rt::entry]
fn main() -> ! {
    drill::run(UNMAPPED, undefined)
}
