//! The firmware of this board that fails on purpose.
#![no_std]
#![no_main]

use sprat_board_support::drill;
use sprat_board_support::riscv::{guard_stack, undefined};

/// Nothing is there on this board, neither memory nor a device.
const UNMAPPED: usize = 0x0080_0000;

#[riscv_rt::entry]
fn main() -> ! {
    guard_stack();
    drill::run(UNMAPPED, undefined)
}
