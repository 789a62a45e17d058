//! The temperature of STM32 chips, from their converter's value and what the factory measured.

/// Where a chip keeps what its converter read at 30 and at 110 degrees Celsius, with 3.3 V.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    at_30: *const u16,
    at_110: *const u16,
}

impl Calibration {
    /// STM32F74x: 12 bits. (Data sheet DS10916, table "Temperature sensor calibration values".)
    pub const F7: Self = Self::at(0x1ff0_f44c, 0x1ff0_f44e);
    /// STM32H742, H743 and H747: 16 bits. (Data sheets DS12110 and DS12930, the same table.)
    pub const H7: Self = Self::at(0x1ff1_e820, 0x1ff1_e840);

    const fn at(at_30: usize, at_110: usize) -> Self {
        Self { at_30: core::ptr::without_provenance(at_30), at_110: core::ptr::without_provenance(at_110) }
    }

    /// Hundredths of a degree Celsius on the line through both; `None` when the factory left no values.
    pub fn hundredths(&self, sample: u16) -> Option<i32> {
        // SAFETY: two halfwords of the system memory, which every chip of the kind has and nothing writes.
        let (at_30, at_110) = unsafe { (self.at_30.read_volatile(), self.at_110.read_volatile()) };
        let [sample, at_30, at_110] = [sample, at_30, at_110].map(i32::from);
        // At most 80 degrees times 100 times the converter's 16 bits.
        (sample - at_30).checked_mul(8000)?.checked_div(at_110 - at_30).map(|above| 3000 + above)
    }
}
