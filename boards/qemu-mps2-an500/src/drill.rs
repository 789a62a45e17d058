//! The firmware of this board that fails on purpose.
#![no_std]
#![no_main]

use sprat_board_support::cortex_m::{guard_stack, undefined};
use sprat_board_support::drill;

/// Nothing is there on this board, neither memory nor a device.
const UNMAPPED: usize = 0x7000_0000;

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    drill::run(UNMAPPED, undefined)
}
