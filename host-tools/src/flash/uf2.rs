//! Files in UF2 form: what the boot loader of a Raspberry Pi Pico takes from a drive.
//!
//! A file is a row of blocks of 512 bytes, each with 256 bytes for one place in flash, so that it does not matter in what
//! order an operating system writes them (<https://github.com/microsoft/uf2>).

/// Bytes of flash in a block.
const PAYLOAD_BYTES: usize = 256;
const BLOCK_BYTES: usize = 512;
const MAGIC_START: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const MAGIC_END: u32 = 0x0ab1_6f30;
/// The field behind the number of blocks is a family.
const HAS_FAMILY: u32 = 0x2000;

/// What a block is for (RP2350 Datasheet, 5.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Family {
    /// A program for the Arm cores.
    Rp2350Arm = 0xe48b_ff59,
    /// Bytes at their address, whatever partitions there are.
    Absolute = 0xe48b_ff57,
}

/// A file that writes pieces, each with its address, in their order. Addresses are multiples of 256; a piece that ends
/// in the middle of a block is filled with what erased flash reads as.
pub fn file(family: Family, pieces: &[(u64, &[u8])]) -> Vec<u8> {
    let payloads = |(address, bytes): &(u64, &[u8])| -> Vec<(u32, Vec<u8>)> {
        let places = (*address as u32..).step_by(PAYLOAD_BYTES);
        places.zip(bytes.chunks(PAYLOAD_BYTES).map(<[u8]>::to_vec)).collect()
    };
    let payloads: Vec<_> = pieces.iter().flat_map(payloads).collect();
    let count = payloads.len() as u32;
    let mut file = Vec::with_capacity(payloads.len() * BLOCK_BYTES);
    for (number, (address, mut payload)) in payloads.into_iter().enumerate() {
        payload.resize(PAYLOAD_BYTES, 0xff);
        let [first, second] = MAGIC_START;
        let number = number as u32;
        let header = [first, second, HAS_FAMILY, address, PAYLOAD_BYTES as u32, number, count, family as u32];
        header.iter().for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
        file.extend_from_slice(&payload);
        file.resize(file.len().next_multiple_of(BLOCK_BYTES) - 4, 0);
        file.extend_from_slice(&MAGIC_END.to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_the_specification_has_them() {
        let pieces: [(u64, &[u8]); 2] = [(0x1004_1000, &[7; 300]), (0x1004_0000, &[9; 256])];
        let file = file(Family::Absolute, &pieces);
        assert_eq!(file.len(), 3 * 512);
        let word =
            |block: usize, at: usize| u32::from_le_bytes(file[block * 512 + at..][..4].try_into().unwrap());
        for block in 0..3 {
            assert_eq!(
                [word(block, 0), word(block, 4), word(block, 508)],
                [0x0a32_4655, 0x9e5d_5157, 0x0ab1_6f30]
            );
            assert_eq!([word(block, 8), word(block, 16)], [0x2000, 256]);
            assert_eq!([word(block, 20), word(block, 24), word(block, 28)], [block as u32, 3, 0xe48b_ff57]);
        }
        assert_eq!([0, 1, 2].map(|block| word(block, 12)), [0x1004_1000, 0x1004_1100, 0x1004_0000]);
        assert_eq!(file[32..288], [7; 256]);
        assert_eq!(file[512 + 32..512 + 32 + 44], [7; 44]);
        assert_eq!(file[512 + 32 + 44..512 + 288], [0xff; 212]);
        assert_eq!(file[1024 + 32..1024 + 288], [9; 256]);
        assert!(file[288..508].iter().all(|byte| *byte == 0));
    }
}
