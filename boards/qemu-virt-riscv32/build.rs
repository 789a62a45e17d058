//! The board's memory, from the packed model, and its linker scripts.

use sprat_board_support::build_script::run;
use sprat_board_support::memory::{QEMU_VIRT_RISCV32, QEMU_VIRT_RISCV32_HEAP};

fn main() {
    run(if cfg!(feature = "heap") { &QEMU_VIRT_RISCV32_HEAP } else { &QEMU_VIRT_RISCV32 });
}
