//! The firmware of the emulated Raspberry Pi 3B: its four cores, their counter and its serial line, around the
//! application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat_board_support::aarch64::{CycleCounter, paint_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_RASPI3B;
use sprat_board_support::pl011::Uart;
use sprat_board_support::team::Cores;

sprat_board_support::aarch64_entry!(main);

fn main() -> ! {
    paint_stack();
    firmware!(QEMU_RASPI3B, &Cores::<4>, stack_used_bytes).begin(Uart::start, &mut CycleCounter::start())
}
