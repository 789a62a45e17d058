//! NOR flash in memory, with a power supply that fails.
//!
//! It is as strict as the hardware: erasing is in whole sectors, writing only clears bits, and no word is written twice.
//! Power fails at one operation, which is then not begun, or half done, or leaves what a person would not have thought
//! of; after that nothing works until the next boot.

extern crate std;

use std::vec;
use std::vec::Vec;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::MappedFlash;

/// Alignment of memory that models are read from in place.
const ALIGNMENT: usize = 64;

/// What becomes of the operation at which power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// It was not begun.
    NotBegun,
    /// Its first half is done, the second is not begun.
    Half,
    /// Every bit that it was to change has changed or not.
    Anyhow,
    /// Of a sector to be erased: any bits at all. Of a page to be written: all of it, but nobody was told.
    Done,
}

impl Torn {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotBegun, Self::Half, Self::Anyhow, Self::Done];
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulatedError {
    /// Power is gone.
    NoPower,
    /// What no flash does: not aligned, not within.
    Refused(NorFlashErrorKind),
}

impl NorFlashError for SimulatedError {
    fn kind(&self) -> NorFlashErrorKind {
        match *self {
            Self::NoPower => NorFlashErrorKind::Other,
            Self::Refused(kind) => kind,
        }
    }
}

/// Flash that is written in words of `WRITE` bytes and erased in sectors of `ERASE`.
#[derive(Debug)]
pub struct SimulatedFlash<const WRITE: usize, const ERASE: usize> {
    memory: Vec<u8>,
    /// Of the first aligned byte in the memory.
    start: usize,
    bytes: usize,
    /// Words that were written since they were erased.
    written: Vec<bool>,
    /// Operations that were begun.
    operations: u32,
    /// The operation at which power fails, and what becomes of it.
    cut: Option<(u32, Torn)>,
}

impl<const WRITE: usize, const ERASE: usize> SimulatedFlash<WRITE, ERASE> {
    /// Erased flash of as many bytes.
    pub fn new(bytes: usize) -> Self {
        Self::holding(&vec![0xff; bytes])
    }

    /// Flash as another one was left: a board that boots again.
    pub fn holding(content: &[u8]) -> Self {
        let mut memory = vec![0xff; content.len() + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        memory[start..start + content.len()].copy_from_slice(content);
        let written = content.chunks(WRITE).map(|word| word.iter().any(|byte| *byte != 0xff)).collect();
        Self { memory, start, bytes: content.len(), written, operations: 0, cut: None }
    }

    /// Lets power fail at the operation that comes after as many others.
    pub fn cut(&mut self, after: u32, torn: Torn) {
        self.cut = Some((self.operations + after, torn));
    }

    /// Operations that were begun.
    pub fn operations(&self) -> u32 {
        self.operations
    }

    fn slice(&mut self, from: usize, to: usize) -> &mut [u8] {
        &mut self.memory[self.start + from..self.start + to]
    }

    /// Counts an operation; what becomes of it if it is the one at which power fails.
    fn begin(&mut self) -> Result<Option<Torn>, SimulatedError> {
        let number = self.operations;
        self.operations += 1;
        match self.cut {
            Some((cut, _)) if number > cut => Err(SimulatedError::NoPower),
            Some((cut, torn)) if number == cut => Ok(Some(torn)),
            _ => Ok(None),
        }
    }

    /// Bytes that depend on the operation alone (SplitMix64, Steele et al. 2014).
    fn noise(&self) -> impl Iterator<Item = u8> + use<WRITE, ERASE> {
        let mut state = u64::from(self.operations);
        core::iter::repeat_with(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed >> 56) as u8
        })
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for SimulatedFlash<WRITE, ERASE> {
    type Error = SimulatedError;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for SimulatedFlash<WRITE, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimulatedError> {
        check_read(self, offset, bytes.len()).map_err(SimulatedError::Refused)?;
        let from = offset as usize;
        bytes.copy_from_slice(self.slice(from, from + bytes.len()));
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for SimulatedFlash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimulatedError> {
        check_erase(self, from, to).map_err(SimulatedError::Refused)?;
        for from in (from as usize..to as usize).step_by(ERASE) {
            let torn = self.begin()?;
            let noise = self.noise();
            let sector = self.slice(from, from + ERASE);
            match torn {
                None => sector.fill(0xff),
                Some(Torn::NotBegun) => {}
                Some(Torn::Half) => sector[..ERASE / 2].fill(0xff),
                Some(Torn::Anyhow) => sector.iter_mut().zip(noise).for_each(|(byte, noise)| *byte |= noise),
                Some(Torn::Done) => sector.iter_mut().zip(noise).for_each(|(byte, noise)| *byte = noise),
            }
            if torn.is_some() {
                return Err(SimulatedError::NoPower);
            }
            self.written[from / WRITE..(from + ERASE) / WRITE].fill(false);
        }
        Ok(())
    }

    /// # Panics
    /// When a word is written that was written since it was erased: hardware with checksums of its own would break it.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimulatedError> {
        check_write(self, offset, bytes.len()).map_err(SimulatedError::Refused)?;
        let torn = self.begin()?;
        let (from, count) = (offset as usize, bytes.len());
        let words = from / WRITE..(from + count) / WRITE;
        assert!(!self.written[words.clone()].contains(&true), "a word at {offset} is written twice");
        self.written[words].fill(true);
        let noise = self.noise();
        let done = if torn == Some(Torn::Half) { count / 2 } else { count };
        let old = self.slice(from, from + done);
        match torn {
            Some(Torn::NotBegun) => {}
            Some(Torn::Anyhow) => {
                old.iter_mut().zip(bytes).zip(noise).for_each(|((old, new), noise)| *old &= new | noise);
            }
            _ => old.iter_mut().zip(bytes).for_each(|(old, new)| *old &= new),
        }
        torn.map_or(Ok(()), |_| Err(SimulatedError::NoPower))
    }
}

impl<const WRITE: usize, const ERASE: usize> MappedFlash for SimulatedFlash<WRITE, ERASE> {
    fn mapped(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Flash = SimulatedFlash<4, 64>;

    #[test]
    fn writing_clears_bits_and_erasing_sets_them() {
        let mut flash = Flash::new(128);
        flash.write(60, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(flash.mapped()[58..70], [255, 255, 1, 2, 3, 4, 5, 6, 7, 8, 255, 255]);
        flash.erase(0, 64).unwrap();
        assert_eq!(flash.mapped()[58..70], [255, 255, 255, 255, 255, 255, 5, 6, 7, 8, 255, 255]);
        assert_eq!(flash.write(2, &[0; 4]), Err(SimulatedError::Refused(NorFlashErrorKind::NotAligned)));
        assert_eq!(flash.erase(64, 192), Err(SimulatedError::Refused(NorFlashErrorKind::OutOfBounds)));
    }

    #[test]
    #[should_panic(expected = "written twice")]
    fn a_word_is_written_once() {
        let mut flash = Flash::new(64);
        flash.write(0, &[0xf0; 8]).unwrap();
        _ = flash.write(4, &[0; 4]);
    }

    #[test]
    fn a_cut_tears_one_operation_and_stops_all_others() {
        for torn in Torn::ALL {
            let mut flash = Flash::new(64);
            flash.write(0, &[0; 64]).unwrap();
            flash.cut(0, torn);
            assert_eq!(flash.erase(0, 64), Err(SimulatedError::NoPower));
            let left = flash.mapped().to_vec();
            let [is_old, is_erased] = [0, 255].map(|value| left.iter().all(|byte| *byte == value));
            assert_eq!(is_old, torn == Torn::NotBegun);
            assert!(!is_erased);
            assert_eq!(flash.write(0, &[0; 4]), Err(SimulatedError::NoPower));
            assert_eq!(flash.mapped(), left);
            assert_eq!(Flash::holding(&left).mapped(), left);
        }
    }
}
