//! The firmware of QEMU's RISC-V machine with a 32-bit core: its counter, its guarded stack and its serial line,
//! around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat::Solo;
use sprat_board_support::firmware;
#[cfg(not(feature = "heap"))]
use sprat_board_support::memory::QEMU_VIRT_RISCV32;
use sprat_board_support::ns16550::Uart;
use sprat_board_support::riscv::{InstructionCounter, guard_stack, stack_used_bytes};

#[cfg(not(feature = "heap"))]
#[riscv_rt::entry]
fn main() -> ! {
    guard_stack();
    firmware!(QEMU_VIRT_RISCV32, &Solo, stack_used_bytes).begin(Uart::start, &mut InstructionCounter)
}

/// The same with its arena in RAM that the machine's description, which it is given, tells of.
#[cfg(feature = "heap")]
#[allow(unsafe_code)]
#[riscv_rt::entry]
fn main(_core: usize, description: usize) -> ! {
    use sprat_board_support::device_tree::ram_behind;
    use sprat_board_support::memory::QEMU_VIRT_RISCV32_HEAP;

    guard_stack();
    // SAFETY: as the emulator starts it, this is the description; the linker script uses no memory beyond this.
    let ram = unsafe { ram_behind(&QEMU_VIRT_RISCV32_HEAP.ram, description) };
    let firmware = firmware!(QEMU_VIRT_RISCV32_HEAP, &Solo, stack_used_bytes).in_found(ram);
    firmware.begin(Uart::start, &mut InstructionCounter)
}
