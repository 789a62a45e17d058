//! Models that are read out of flash which is not mapped: a runtime's source over any driver of `embedded-storage`.
//!
//! Drivers of SPI flash are blocking, so the reading is done while it is waited for. A driver with DMA is a
//! [`WeightSource`](sprat::stream::WeightSource) of its own.

use embedded_storage::nor_flash::{
    ErrorType, NorFlashError as _, NorFlashErrorKind, ReadNorFlash, check_read,
};
use sprat::stream::{Blocking, SourceFault};

/// A source of the model that begins at `base` in `flash`.
///
/// Flash that is read in units takes offsets and lengths that are multiples of its `READ_SIZE`. In an interleaved
/// layout all are multiples of 4; rows of f16, and scales of q8 rows one after the other, may be of 2 only. What is none
/// is an error of the source, [`SourceFault::Unaligned`].
pub fn nor_flash<'w, F: ReadNorFlash>(
    mut flash: F,
    base: u32,
) -> Blocking<'w, impl FnMut(u64, &mut [u8]) -> Result<(), SourceFault>> {
    Blocking::new(move |offset, buffer: &mut [u8]| {
        let at = u32::try_from(offset).ok().and_then(|offset| base.checked_add(offset));
        flash.read(at.ok_or(SourceFault::End)?, buffer).map_err(|error| match error.kind() {
            NorFlashErrorKind::OutOfBounds => SourceFault::End,
            NorFlashErrorKind::NotAligned => SourceFault::Unaligned,
            _ => SourceFault::Device,
        })
    })
}

/// Bytes of the window unless another is chosen: a 27th of the default model.
pub const WINDOW_BYTES: usize = 32 << 10;

/// Mapped flash that is read word by word into a buffer, as SPI flash is: what an emulated board streams from.
#[derive(Clone, Copy, Debug)]
pub struct Unmapped<'f>(pub &'f [u8]);

impl ErrorType for Unmapped<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Unmapped<'_> {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::path::Path;
    use std::vec::Vec;
    use std::{fs, vec};

    use sprat::stream::{SourceError, StreamError, StreamPlan, StreamedImage};
    use sprat::{Engine, Generator, Image, Kernels, Plan, Sampler, SamplerConfig, Solo, Special};

    use super::*;
    use crate::memory::DEFAULT_MODEL;

    /// Of the flash, before the model.
    const BASE: u32 = 4096;

    /// Bytes that begin at a multiple of 64.
    struct Memory(Vec<u8>);

    impl Memory {
        fn new(bytes: usize) -> Self {
            Self(vec![0; bytes + 64])
        }

        fn get(&mut self) -> &mut [u8] {
            let start = self.0.as_ptr().align_offset(64);
            let end = self.0.len() - 64 + start;
            &mut self.0[start..end]
        }
    }

    fn answer(engine: &mut Engine<'_, '_, '_>) -> (Vec<u32>, Option<u64>) {
        engine.prompt("<|user|>What is the capital of France?<|assistant|>", Special::Parse).unwrap();
        let sampler = Sampler::new(SamplerConfig::greedy(), 0);
        let mut generator = Generator::new(engine, sampler, 12).with_logits_hash();
        let mut tokens = vec![];
        while let Some(token) = generator.next_token().unwrap() {
            tokens.push(token);
        }
        (tokens, generator.logits_hash())
    }
    #[test]
    fn a_model_of_many_windows_in_flash_answers_as_a_mapped_one() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = fs::read(workspace.join(DEFAULT_MODEL)).unwrap();
        assert!(file.len() > 4 * WINDOW_BYTES, "{} bytes", file.len());
        let mut mapped = Memory::new(file.len());
        mapped.get().copy_from_slice(&file);
        let image = Image::new(mapped.get()).unwrap();
        let (limits, kernels) = (*image.limits(), Kernels::detect());
        let arena_bytes = Plan::new(image.config(), &limits).unwrap().arena_bytes;
        let plan = StreamPlan::new(image.file(), WINDOW_BYTES).unwrap();
        let mut arena = Memory::new(arena_bytes);
        let expected = answer(&mut Engine::new(&image, limits, arena.get(), kernels).unwrap());
        assert!(expected.0.len() > 2 && expected.1.is_some(), "{expected:?}");

        let flash = [vec![0xff; BASE as usize], file].concat();
        let (mut window, mut resident) =
            (Memory::new(WINDOW_BYTES), Memory::new(plan.resident_bytes as usize));
        let model =
            StreamedImage::open(nor_flash(Unmapped(&flash), BASE), window.get(), resident.get()).unwrap();
        assert_eq!(*model.plan(), plan);
        let mut arena = Memory::new(arena_bytes);
        let mut engine = Engine::streamed(&model, limits, arena.get(), kernels, &Solo).unwrap();
        assert_eq!(answer(&mut engine), expected);
    }

    #[test]
    fn what_the_driver_refuses_is_said_as_what_it_is() {
        for (bytes, base, fault) in [(64, 128, SourceFault::End), (4096, 2, SourceFault::Unaligned)] {
            let (mut window, mut resident) = (Memory::new(1024), Memory::new(1024));
            let flash = vec![0; bytes];
            let source = nor_flash(Unmapped(&flash), base);
            let error = StreamedImage::open(source, window.get(), resident.get()).err();
            let expected = SourceError { offset: 0, bytes: 32, fault };
            assert_eq!(error, Some(StreamError::Source(expected)));
        }
    }
}
