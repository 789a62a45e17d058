//! What of an ELF lies in flash: its loadable segments, at the addresses where they are stored.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use object::Endianness;
use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader as _};

/// Bytes that are kept together: a page of flash.
const PAGE_BYTES: u64 = 256;

/// The flash's content in whole pages, each run of them with its address; what no segment says of a page is erased.
///
/// # Errors
/// The bytes are no 32-bit ELF with something to load.
pub fn of(elf: &[u8]) -> Result<Vec<(u64, Vec<u8>)>> {
    let file = ElfFile32::<Endianness>::parse(elf).context("it is no ELF of a 32-bit core")?;
    let endian = file.endian();
    let mut pages: BTreeMap<u64, [u8; PAGE_BYTES as usize]> = BTreeMap::new();
    for header in file.elf_program_headers().iter().filter(|header| header.p_type(endian) == PT_LOAD) {
        let bytes =
            header.data(endian, elf).map_err(|()| anyhow!("a segment lies behind the end of the ELF"))?;
        for (address, byte) in (u64::from(header.p_paddr(endian))..).zip(bytes) {
            let page = pages.entry(address / PAGE_BYTES).or_insert([0xff; PAGE_BYTES as usize]);
            page[(address % PAGE_BYTES) as usize] = *byte;
        }
    }
    ensure!(!pages.is_empty(), "it has nothing to load");
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (page, bytes) in pages {
        let address = page * PAGE_BYTES;
        match runs.last_mut().filter(|(begin, run)| begin + run.len() as u64 == address) {
            Some((_, run)) => run.extend_from_slice(&bytes),
            None => runs.push((address, bytes.to_vec())),
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF that loads these segments: stored at, run at, bytes.
    fn elf(segments: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let halves = |file: &mut Vec<u8>, halves: &[u16]| {
            halves.iter().for_each(|half| file.extend_from_slice(&half.to_le_bytes()));
        };
        let words = |file: &mut Vec<u8>, words: &[u32]| {
            words.iter().for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
        };
        halves(&mut file, &[2, 40]);
        words(&mut file, &[1, 0, 52, 0, 0]);
        halves(&mut file, &[52, 32, segments.len() as u16, 40, 0, 0]);
        let mut offset = 52 + 32 * segments.len() as u32;
        for (stored, run, bytes) in segments {
            let length = bytes.len() as u32;
            words(&mut file, &[1, offset, *run, *stored, length, length, 5, 4]);
            offset += length;
        }
        segments.iter().for_each(|(_, _, bytes)| file.extend_from_slice(bytes));
        file
    }

    #[test]
    fn segments_are_put_together_where_they_are_stored() {
        // Code, the values of variables behind it in the same page, and something far away.
        let segments: [(u32, u32, &[u8]); 3] = [
            (0x1000_0000, 0x1000_0000, &[1; 300]),
            (0x1000_012c, 0x2000_0000, &[2; 4]),
            (0x1000_1004, 0x1000_1004, &[3]),
        ];
        let found = of(&elf(&segments)).unwrap();
        assert_eq!(
            found.iter().map(|(at, bytes)| (*at, bytes.len())).collect::<Vec<_>>(),
            [(0x1000_0000, 512), (0x1000_1000, 256)]
        );
        assert_eq!(found[0].1[298..306], [1, 1, 2, 2, 2, 2, 255, 255]);
        assert_eq!(found[1].1[..6], [255, 255, 255, 255, 3, 255]);
    }

    #[test]
    fn what_is_no_firmware_is_refused() {
        assert!(of(b"not an ELF").unwrap_err().to_string().contains("no ELF"));
        assert!(of(&elf(&[])).unwrap_err().to_string().contains("nothing to load"));
        let mut cut = elf(&[(0, 0, &[1; 64])]);
        cut.truncate(100);
        assert!(of(&cut).unwrap_err().to_string().contains("behind the end"));
    }
}
