//! The boards that there is firmware for: a name, a target, and three stretches of memory each.
//!
//! All that the shared build script, linker script and planner know of a board is here.

use super::{Board, HEAP_STATICS_BYTES, KIB, MIB, Region};

/// Statics beside arena and request: the logger, the once-flags.
pub const STATICS_BYTES: u64 = 2 * KIB;
/// Stack above the runtime's: the application's frames and a fault's.
pub const STACK_BYTES: u64 = 3 * KIB;

pub(super) const fn region(origin: u64, bytes: u64) -> Region {
    Region { origin, bytes }
}

/// The emulated Arm MPS2 board with application note 386: a Cortex-M4F with 4 MiB each of code memory and RAM.
pub const QEMU_MPS2_AN386: Board = Board {
    name: "qemu-mps2-an386",
    feature: "",
    target: "thumbv7em-none-eabihf",
    cpu: "",
    profile: "firmware",
    cores: 1,
    firmware: region(0, 256 * KIB),
    model: region(256 * KIB, 4 * MIB - 256 * KIB),
    // Nothing needs to be erased here; what most flash asks for.
    model_erase_bytes: 4096,
    ram: region(0x2000_0000, 4 * MIB),
    stack: None,
    external_ram: None,
    boot_script: "",
    hal_script: "",
    windows: &[],
    statics_bytes: STATICS_BYTES,
    stack_bytes: STACK_BYTES,
};

/// The same board with application note 500: a Cortex-M7.
pub const QEMU_MPS2_AN500: Board = Board { name: "qemu-mps2-an500", ..QEMU_MPS2_AN386 };

/// The same board with application note 505: a Cortex-M33 with DSP extension and FPU, in its secure state.
pub const QEMU_MPS2_AN505: Board = Board {
    name: "qemu-mps2-an505",
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m33",
    firmware: region(0x1000_0000, 256 * KIB),
    model: region(0x1004_0000, 4 * MIB - 256 * KIB),
    ram: region(0x3800_0000, 4 * MIB),
    ..QEMU_MPS2_AN386
};

/// The emulated Arm MPS3 board with application note 547: a Cortex-M55 with Helium. Its code memory holds no model, so
/// that one lies in the external memory.
pub const QEMU_MPS3_AN547: Board = Board {
    name: "qemu-mps3-an547",
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m55",
    profile: "firmware-vectors",
    firmware: region(0, 512 * KIB),
    model: region(0x6000_0000, 256 * MIB),
    ram: region(0x2100_0000, 4 * MIB),
    ..QEMU_MPS2_AN386
};

/// QEMU's generic RISC-V machine with a 32-bit core without floating-point instructions, as the ESP32-C3 and C6 have
/// one. It has nothing but RAM; the end of it holds the description of the machine.
pub const QEMU_VIRT_RISCV32: Board = Board {
    name: "qemu-virt-riscv32",
    target: "riscv32imac-unknown-none-elf",
    firmware: region(0x8000_0000, MIB),
    model: region(0x8010_0000, 62 * MIB),
    ram: region(0x8400_0000, 56 * MIB),
    // Floats in software have frames of their own.
    stack_bytes: 5 * KIB,
    ..QEMU_MPS2_AN386
};

/// The same machine whose firmware finds at boot how much RAM there is behind the memory that it is linked for, puts the
/// arena there, and copies the model there if there is room. The region here is what it needs at least.
pub const QEMU_VIRT_RISCV32_HEAP: Board = Board {
    name: "qemu-virt-riscv32-heap",
    feature: "heap",
    external_ram: Some(region(QEMU_VIRT_RISCV32.ram.end(), 4 * MIB)),
    statics_bytes: STATICS_BYTES + HEAP_STATICS_BYTES,
    ..QEMU_VIRT_RISCV32
};

/// The emulated Raspberry Pi 3B without an operating system: four Cortex-A53. The image lies where the boot loader puts
/// one; between model and RAM lie the stacks of the other cores, with nothing mapped around them.
pub const QEMU_RASPI3B: Board = Board {
    name: "qemu-raspi3b",
    target: "aarch64-unknown-none",
    profile: "firmware-vectors",
    cores: 4,
    firmware: region(0x8_0000, 2 * MIB - 512 * KIB),
    model: region(2 * MIB, 46 * MIB),
    ram: region(64 * MIB, 896 * MIB),
    // Registers and pointers have twice the bytes.
    stack_bytes: 12 * KIB,
    ..QEMU_MPS2_AN386
};

/// Every emulated board; `sprat plan` knows more.
pub const BOARDS: &[Board] = &[
    QEMU_MPS2_AN386,
    QEMU_MPS2_AN500,
    QEMU_MPS2_AN505,
    QEMU_MPS3_AN547,
    QEMU_VIRT_RISCV32,
    QEMU_VIRT_RISCV32_HEAP,
    QEMU_RASPI3B,
];
