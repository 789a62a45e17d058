//! The firmware of QEMU's RISC-V machine with a 32-bit core: its counter, its guarded stack and its serial line,
//! around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::firmware;
use sprat_board_support::memory::QEMU_VIRT_RISCV32;
use sprat_board_support::ns16550::Uart;
use sprat_board_support::riscv::{InstructionCounter, guard_stack, stack_used_bytes};

#[riscv_rt::entry]
fn main() -> ! {
    guard_stack();
    firmware!(QEMU_VIRT_RISCV32, &Solo, stack_used_bytes).begin(Uart::start, &mut InstructionCounter)
}
