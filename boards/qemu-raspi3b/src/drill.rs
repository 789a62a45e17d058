//! The firmware of this board that fails on purpose.
#![no_std]
#![no_main]

use sprat_board_support::aarch64::undefined;
use sprat_board_support::drill;

/// Nothing is mapped there.
const UNMAPPED: usize = 0x8000_0000;

sprat_board_support::aarch64_entry!(main);

fn main() -> ! {
    drill::run(UNMAPPED, undefined)
}
