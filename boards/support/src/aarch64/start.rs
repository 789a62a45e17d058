//! From the boot loader, or the emulator, to Rust: each core at exception level 1, with memory mapped and caches on.
//!
//! A Raspberry Pi's boot loader enters the first core at level 2 and lets the others wait until an address for them
//! stands in a table of its own; an emulator may enter all of them at level 3. The others therefore wait here the
//! same way. The first gigabyte is mapped one to one by a single table: RAM, above it the devices, and nothing below each
//! stack. (Arm Architecture Reference Manual, D1, D8; the boot loader's `armstub8.S`.)

use core::arch::global_asm;
use core::ops::Range;

use super::explain_fault;
use crate::team;

/// What an entry of the table maps.
const BLOCK: u64 = 2 << 20;
const BLOCKS: usize = 512;
/// Where the devices of a Raspberry Pi 3 begin.
const DEVICES: u64 = 0x3f00_0000;

/// Where the first core's stack begins, at the lower end of RAM.
const RAM: u64 = crate::memory::QEMU_RASPI3B.ram.origin;
/// The other cores' stacks: each a block, with an unmapped one below it and below the first core's.
const STACKS: Range<u64> = RAM - 7 * BLOCK..RAM;
const _: () = assert!(crate::memory::QEMU_RASPI3B.model.end() <= STACKS.start);
/// Addresses in which a fault is an outgrown stack.
pub(super) const GUARDED: Range<usize> = STACKS.start as usize..STACKS.end as usize;

/// A table of translations, which the hardware reads.
#[repr(C, align(4096))]
pub(super) struct Table([u64; BLOCKS]);

pub(super) static TABLE: Table = Table({
    const VALID_BLOCK: u64 = 0b01;
    const DEVICE_MEMORY: u64 = 1 << 2;
    const INNER_SHAREABLE: u64 = 0b11 << 8;
    const ACCESSED: u64 = 1 << 10;
    const NEVER_EXECUTE: u64 = 0b11 << 53;
    let mut table = [0; BLOCKS];
    let mut index = 0;
    while index < BLOCKS {
        let address = index as u64 * BLOCK;
        let between_stacks = address >= STACKS.start && address < STACKS.end;
        // A real board's image lies behind the first block, where a secure side may have the memory for itself.
        let is_theirs = cfg!(feature = "raspberry-pi") && index == 0;
        table[index] = if is_theirs {
            0
        } else if address >= DEVICES {
            address | VALID_BLOCK | DEVICE_MEMORY | ACCESSED | NEVER_EXECUTE
        } else if between_stacks && ((address - STACKS.start) / BLOCK).is_multiple_of(2) {
            0
        } else {
            address | VALID_BLOCK | INNER_SHAREABLE | ACCESSED
        };
        index += 1;
    }
    table
});

/// Where translations begin: the first gigabyte is all.
#[cfg(not(feature = "raspberry-pi"))]
use self::TABLE as ROOT;
/// Where translations begin: the first gigabyte, and those with the devices of each generation.
#[cfg(feature = "raspberry-pi")]
use super::devices::ROOT;

/// Memory types by number: 0 is RAM, written back and read ahead; 1 is devices, nothing merged or reordered.
const MEMORY_TYPES: u64 = 0x04ff;
/// Bits of address that are not translated: with 30 that are, one table is all; with 39 there is one before it.
const UNTRANSLATED: u64 = if cfg!(feature = "raspberry-pi") { 25 } else { 34 };
/// The size of what addresses lead to: 40 bits, of which an emulated board needs 32.
const PHYSICAL: u64 = if cfg!(feature = "raspberry-pi") { 0b010 << 32 } else { 0 };
/// The table's own reads are cached; nothing in the upper half.
const TRANSLATION: u64 = UNTRANSLATED | PHYSICAL | 1 << 8 | 1 << 10 | 0b11 << 12 | 1 << 23;
/// Bits that are always set; translation, data cache, stack alignment, instruction cache.
const SYSTEM: u64 = 0x30d0_0800 | 1 | 1 << 2 | 1 << 3 | 1 << 12;

/// The number of this core, in x0.
#[cfg(not(feature = "raspberry-pi"))]
macro_rules! number_of_core {
    () => {
        "mrs x0, mpidr_el1\nand x0, x0, #3"
    };
}

/// The same where each core is a cluster of its own, as in a Cortex-A76: bit 24 says so.
#[cfg(feature = "raspberry-pi")]
macro_rules! number_of_core {
    () => {
        "mrs x0, mpidr_el1\ntbz x0, #24, 9f\nlsr x0, x0, #8\n9: and x0, x0, #3"
    };
}

/// All cores of an emulated board run from the beginning.
#[cfg(not(feature = "raspberry-pi"))]
macro_rules! call_sleepers {
    () => {
        ""
    };
}

/// Those of a Raspberry Pi 5 are off, and what lies at the loader's table is not ours: the firmware of the secure side
/// starts them at x1. (Arm Power State Coordination Interface, 5.4: CPU_ON; SMC Calling Convention.)
#[cfg(feature = "raspberry-pi")]
macro_rules! call_sleepers {
    () => {
        "mrs x0, mpidr_el1
        tbz x0, #24, 9f
        mov x19, x1
        mov x20, #1
        19: ldr x0, =0xc4000003
        lsl x1, x20, #8
        mov x2, x19
        mov x3, xzr
        smc #0
        add x20, x20, #1
        cmp x20, #4
        b.lo 19b
        b 4f
        9:"
    };
}

global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    "_start:",
    number_of_core!(),
    "mov x3, #{table_of_loader}",
    "cbnz x0, 3f",
    // Variables begin as zeros.
    "ldr x1, =__sbss",
    "ldr x2, =__ebss",
    "1: cmp x1, x2",
    "b.hs 2f",
    "stp xzr, xzr, [x1], #16",
    "b 1b",
    // Calls the others, whichever loop they wait in.
    "2: adr x1, 4f",
    call_sleepers!(),
    "str x1, [x3, #8]",
    "str x1, [x3, #16]",
    "str x1, [x3, #24]",
    "dsb sy",
    "sev",
    "b 4f",
    "3: wfe",
    "ldr x1, [x3, x0, lsl #3]",
    "cbz x1, 3b",
    "br x1",
    // Every core, in whatever level it is.
    "4:",
    number_of_core!(),
    "mrs x1, CurrentEL",
    "cmp x1, #(2 << 2)",
    "b.eq 5f",
    "b.lo 6f",
    // From level 3 to a level 2 in AArch64, not secure.
    "mov x1, #0x5b1",
    "msr scr_el3, x1",
    "msr cptr_el3, xzr",
    "mov x1, #0x3c9",
    "msr spsr_el3, x1",
    "adr x1, 5f",
    "msr elr_el3, x1",
    "eret",
    // From level 2 to a level 1 in AArch64 that has floating point, its own identity and all counters.
    "5: mov x1, #(1 << 31)",
    "msr hcr_el2, x1",
    "mov x1, #0x33ff",
    "msr cptr_el2, x1",
    "mrs x1, midr_el1",
    "msr vpidr_el2, x1",
    "mrs x1, mpidr_el1",
    "msr vmpidr_el2, x1",
    "mrs x1, pmcr_el0",
    "ubfx x1, x1, #11, #5",
    "msr mdcr_el2, x1",
    "mov x1, #0x3c5",
    "msr spsr_el2, x1",
    "adr x1, 6f",
    "msr elr_el2, x1",
    "eret",
    "6: mov x1, #(3 << 20)",
    "msr cpacr_el1, x1",
    "ldr x1, =.Lvectors",
    "msr vbar_el1, x1",
    "ldr x1, ={memory_types}",
    "msr mair_el1, x1",
    "ldr x1, ={translation}",
    "msr tcr_el1, x1",
    "ldr x1, ={table}",
    "msr ttbr0_el1, x1",
    "dsb sy",
    "tlbi vmalle1",
    "ic iallu",
    "dsb sy",
    "isb",
    "ldr x1, ={system}",
    "msr sctlr_el1, x1",
    "isb",
    "cbnz x0, 7f",
    "ldr x1, =_stack_start",
    "mov sp, x1",
    "bl sprat_main",
    // The other cores' stacks lie two blocks apart, the first one a block below RAM.
    "7: ldr x1, =_stack_end",
    "add x1, x1, #{block}",
    "sub x1, x1, x0, lsl #{log2_of_two_blocks}",
    "mov sp, x1",
    "b {member}",
    ".ltorg",
    // Sixteen entries of 128 bytes; all lead to the same place.
    ".balign 2048",
    ".Lvectors:",
    ".rept 16",
    ".balign 128",
    "b 8f",
    ".endr",
    "8: mov x0, sp",
    "ldr x1, =_stack_start",
    "mov sp, x1",
    "b {fault}",
    ".ltorg",
    table_of_loader = const 0xd8,
    memory_types = const MEMORY_TYPES,
    translation = const TRANSLATION,
    system = const SYSTEM,
    table = sym ROOT,
    block = const BLOCK,
    log2_of_two_blocks = const (2 * BLOCK).trailing_zeros(),
    member = sym team::work,
    fault = sym explain_fault,
);
