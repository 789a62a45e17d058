//! Where the devices of each generation of Raspberry Pis lie, mapped one to one for all of them at once.
//!
//! One image is for all: what is mapped and not there is not touched.

use super::start::TABLE;

/// What an entry maps: a gigabyte.
const LOG2_OF_GIGABYTE: u32 = 30;
const ENTRIES: usize = 512;
const NEXT_TABLE: usize = 0b11;
const VALID_BLOCK: usize = 0b01;
const DEVICE_MEMORY: usize = 1 << 2;
const ACCESSED: usize = 1 << 10;
const NEVER_EXECUTE: usize = 0b11 << 53;
/// The devices of a Raspberry Pi 4 are at the end of 4 GiB, those of a 5 within the 66th; a 3 has them in the first.
/// (BCM2711 ARM Peripherals, 1.2; the device tree of BCM2712.)
const DEVICES: [usize; 2] = [0xfe00_0000, 0x10_7c00_0000];

/// A table of translations, which the hardware reads. Its entries are addresses of the linker or numbers.
#[repr(C, align(4096))]
pub(super) struct Root([*const u8; ENTRIES]);

// SAFETY: nobody but the hardware reads it, and nobody writes it.
unsafe impl Sync for Root {}

/// Where translations begin.
pub(super) static ROOT: Root = Root({
    let mut entries = [core::ptr::null(); ENTRIES];
    entries[0] = (&raw const TABLE).cast::<u8>().wrapping_add(NEXT_TABLE);
    let mut device = 0;
    while device < DEVICES.len() {
        let gigabyte = DEVICES[device] >> LOG2_OF_GIGABYTE;
        let flags = VALID_BLOCK | DEVICE_MEMORY | ACCESSED | NEVER_EXECUTE;
        entries[gigabyte] = core::ptr::without_provenance((gigabyte << LOG2_OF_GIGABYTE) | flags);
        device += 1;
    }
    entries
});
