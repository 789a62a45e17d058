//! The checksum of header and sections: CRC-32/ISO-HDLC, half a byte at a time.
//!
//! Written out for its table of 64 bytes: crates have one of 1 KiB or more, or none and eight steps a byte. On a
//! device a file is checked once, so that flash is dearer than time. A laptop has it the other way round and packs
//! gigabytes: with the feature `std` it is the crate `crc32fast`.

#[cfg(feature = "std")]
pub use fast::Checksum;
#[cfg(not(feature = "std"))]
pub use small::Checksum;

/// CRC-32/ISO-HDLC of `bytes`, as the file has it of its header and sections.
pub fn crc32(bytes: &[u8]) -> u32 {
    Checksum::of(bytes)
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

impl Checksum {
    /// Of all of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut checksum = Self::new();
        checksum.update(bytes);
        checksum.value()
    }
}

#[cfg(any(test, not(feature = "std")))]
mod small {
    /// The reversed polynomial.
    const POLYNOMIAL: u32 = 0xedb8_8320;

    /// What four bits that leave the register put into it.
    static TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut bits = 0;
        while bits < 16 {
            let mut value = bits as u32;
            let mut step = 0;
            while step < 4 {
                value = if value & 1 != 0 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
                step += 1;
            }
            table[bits] = value;
            bits += 1;
        }
        table
    };

    /// A checksum under way.
    #[derive(Clone, Copy, Debug)]
    pub struct Checksum(u32);

    impl Checksum {
        /// Of no bytes.
        pub const fn new() -> Self {
            Self(u32::MAX)
        }

        /// Takes in the bytes that follow.
        #[inline(never)]
        pub fn update(&mut self, bytes: &[u8]) {
            let step = |register: u32| register >> 4 ^ TABLE[(register & 15) as usize];
            self.0 = bytes.iter().fold(self.0, |register, byte| step(step(register ^ u32::from(*byte))));
        }

        /// Of the bytes so far.
        pub const fn value(&self) -> u32 {
            !self.0
        }
    }
}

#[cfg(feature = "std")]
mod fast {
    /// A checksum under way.
    #[derive(Clone, Debug)]
    pub struct Checksum(crc32fast::Hasher);

    impl Checksum {
        /// Of no bytes.
        pub fn new() -> Self {
            Self(crc32fast::Hasher::new())
        }

        /// Takes in the bytes that follow.
        pub fn update(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// Of the bytes so far.
        pub fn value(&self) -> u32 {
            self.0.clone().finalize()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Checksum;
    use super::small::Checksum as Small;

    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(Checksum::of(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn equals_the_crate_for_any_bytes_in_any_parts(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut checksum = Checksum::new();
            checksum.update(first);
            checksum.update(second);
            let expected = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes);
            prop_assert_eq!(checksum.value(), expected);
            let mut small = Small::new();
            small.update(first);
            small.update(second);
            prop_assert_eq!(small.value(), expected);
        }
    }
}
