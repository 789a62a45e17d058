//! Registers of devices, by their addresses.

/// Reads a register of one of the devices of a [`Generation`](super::Generation).
pub(super) fn read(address: usize) -> u32 {
    // SAFETY: only this module's parent calls it, with registers of the generation that the core says. They are mapped as
    // devices, and reading one touches no memory of the program.
    unsafe { (address as *const u32).read_volatile() }
}

/// Writes a register of one of the devices of a [`Generation`](super::Generation).
pub(super) fn write(address: usize, value: u32) {
    // SAFETY: as above; what is written makes no device change memory, but for the mailbox, which lends its own.
    unsafe { (address as *mut u32).write_volatile(value) };
}
