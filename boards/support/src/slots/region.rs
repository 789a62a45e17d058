//! The region of the slots as the linker script sets it aside.

unsafe extern "C" {
    /// First byte of the memory for models, from the linker script.
    static __model_region_start: u8;
    /// First byte behind it, from the linker script.
    static __model_region_end: u8;
}

/// The flash for models, as a board's firmware with the feature `slots` has it: the linker places nothing there.
pub fn region() -> &'static [u8] {
    let (start, end) = (&raw const __model_region_start, &raw const __model_region_end);
    // SAFETY: the linker script defines both as the ends of one region of mapped memory that holds no object. It is
    // flash: who writes to it does so for a slot that is not in use, and reads that one through the flash's driver.
    unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
}
