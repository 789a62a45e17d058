//! Real boards that there is firmware for, in a workspace of their own.

use super::boards::region;
use super::{
    ASK_STACK_BYTES, ASK_STATICS_BYTES, Board, CONSOLE_STACK_BYTES, CONSOLE_STATICS_BYTES,
    HEAP_STATICS_BYTES, KIB, MIB, QEMU_MPS2_AN386, QEMU_RASPI3B, STACK_BYTES, STATICS_BYTES,
};

/// Stack that a real board needs besides: an interrupt's frames on top of all others.
const INTERRUPT_STACK_BYTES: u64 = KIB;
/// Statics that a real board needs besides: the buffers of a serial line and of the debug probe, peripherals.
const DRIVER_STATICS_BYTES: u64 = 2 * KIB;

/// The nRF52840-DK: a Cortex-M4F.
pub const NRF52840: Board = Board {
    name: "nrf52840",
    profile: "release",
    // Whole pages of 4 KiB. The default model leaves no page more than this.
    firmware: region(0, 144 * KIB),
    model: region(144 * KIB, (1024 - 144) * KIB),
    ram: region(0x2000_0000, 256 * KIB),
    statics_bytes: STATICS_BYTES + ASK_STATICS_BYTES + CONSOLE_STATICS_BYTES + DRIVER_STATICS_BYTES,
    stack_bytes: STACK_BYTES + ASK_STACK_BYTES + CONSOLE_STACK_BYTES + INTERRUPT_STACK_BYTES,
    ..QEMU_MPS2_AN386
};

/// Stack of the second core of an RP2350: it computes rows of matrices and nothing else.
pub const RP2350_SECOND_STACK_BYTES: u64 = 4 * KIB;

/// The Raspberry Pi Pico 2: two Cortex-M33, both of which compute.
pub const RP2350: Board = Board {
    name: "rp2350",
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m33",
    cores: 2,
    firmware: region(0x1000_0000, 256 * KIB),
    model: region(0x1004_0000, 4 * MIB - 256 * KIB),
    // The banks that are striped and the two that are not, which follow them.
    ram: region(0x2000_0000, 520 * KIB),
    statics_bytes: NRF52840.statics_bytes + RP2350_SECOND_STACK_BYTES,
    // The boot ROM looks for the image's definition in the first 4 KiB (RP2350 Datasheet, 5.9).
    boot_script: "SECTIONS
{
  .start_block : ALIGN(4) { KEEP(*(.start_block)); } > FLASH
}
INSERT AFTER .vector_table;
_stext = ADDR(.start_block) + SIZEOF(.start_block);
ASSERT(SIZEOF(.start_block) > 0 && _stext - ORIGIN(FLASH) <= 0x1000, \"
ERROR(rp2350): the boot ROM finds no image definition in the first 4 KiB\");
",
    ..NRF52840
};

/// The NUCLEO-H743ZI2: a Cortex-M7. The stack lies in the tightly coupled memory, the arena in the AXI SRAM.
pub const STM32H743: Board = Board {
    name: "stm32h743",
    // Two sectors of 128 KiB.
    firmware: region(0x0800_0000, 256 * KIB),
    model: region(0x0804_0000, 2 * MIB - 256 * KIB),
    model_erase_bytes: 128 * KIB as u32,
    ram: region(0x2400_0000, 512 * KIB),
    stack: Some(region(0x2000_0000, 128 * KIB)),
    ..NRF52840
};

/// The STM32H747I-DISCO: a Cortex-M7, and a Cortex-M4 that sleeps. That one starts at the beginning of the second bank.
pub const STM32H747: Board = Board {
    name: "stm32h747",
    firmware: region(0x0800_0000, MIB + 128 * KIB),
    model: region(0x0812_0000, MIB - 128 * KIB),
    boot_script: "SECTIONS
{
  .second_core 0x08100000 : { KEEP(*(.second_core)); } > FLASH
}
INSERT AFTER .rodata;
",
    ..STM32H743
};

/// The STM32F746G-DISCO: a Cortex-M7. The stack lies in the tightly coupled memory, the arena in the two banks of SRAM
/// behind it, which are one stretch. The model begins within a sector of the firmware's, so it has no slots.
pub const STM32F746: Board = Board {
    name: "stm32f746",
    firmware: region(0x0800_0000, 144 * KIB),
    model: region(0x0802_4000, (1024 - 144) * KIB),
    ram: region(0x2001_0000, 256 * KIB),
    stack: Some(region(0x2000_0000, 64 * KIB)),
    ..NRF52840
};

/// The same board with the model in the QSPI flash, 16 MiB, and the arena in the SDRAM. The SDRAM is the faster one of both,
/// so that a model is copied there.
pub const STM32F746_QSPI: Board = Board {
    name: "stm32f746-qspi",
    feature: "qspi",
    firmware: region(0x0800_0000, MIB),
    model: region(0x9000_0000, 16 * MIB),
    // A sector of the N25Q128A.
    model_erase_bytes: 64 * KIB as u32,
    external_ram: Some(region(0xc000_0000, 8 * MIB)),
    statics_bytes: STM32F746.statics_bytes + HEAP_STATICS_BYTES,
    ..STM32F746
};

/// The ESP32-C3 with 4 MiB of flash, on the ESP32-C3-DevKit-RUST-1. Code and constants are pages of one flash, behind
/// two windows; the first 64 KiB of it are the boot loader's. Some functions run in RAM, which has two addresses.
pub const ESP32_C3: Board = Board {
    name: "esp32-c3",
    target: "riscv32imc-unknown-none-elf",
    firmware: region(0x3c00_0000, 256 * KIB),
    model: region(0x3c04_0000, 4 * MIB - 64 * KIB - 256 * KIB),
    // What esp-hal leaves to a firmware.
    ram: region(0x3fc8_0000, 313 * KIB),
    hal_script: "linkall.x",
    windows: &[region(0x4200_0000, 4 * MIB), region(0x4038_0000, 313 * KIB - 16 * KIB)],
    // Floats in software have frames of their own, and so has a trap.
    stack_bytes: NRF52840.stack_bytes + 3 * KIB,
    // Functions that run in RAM.
    statics_bytes: NRF52840.statics_bytes + 16 * KIB,
    ..NRF52840
};

/// A Raspberry Pi 3, 4 or 5 without an operating system: four Cortex-A53, A72 or A76. Everything lies in the first
/// gigabyte, less what the GPU has at its end, as on the emulated one.
pub const RASPBERRY_PI_BARE: Board = Board {
    name: "raspberry-pi-bare",
    profile: "release",
    // Not where boot loaders put an image by themselves: below may be what the secure side of a Raspberry Pi 5 has.
    firmware: region(2 * MIB, 2 * MIB),
    model: region(4 * MIB, 44 * MIB),
    statics_bytes: NRF52840.statics_bytes,
    // Registers and pointers have twice the bytes.
    stack_bytes: QEMU_RASPI3B.stack_bytes + 2 * ASK_STACK_BYTES,
    ..QEMU_RASPI3B
};

/// Every real board.
pub const REAL_BOARDS: &[Board] =
    &[NRF52840, RP2350, STM32H743, STM32F746, STM32F746_QSPI, STM32H747, ESP32_C3, RASPBERRY_PI_BARE];
