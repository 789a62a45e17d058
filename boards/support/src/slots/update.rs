//! Writing a model into the slot that is not in use, as it comes over a wire.
//!
//! Pieces of any size are gathered into pages. Flash is erased piece by piece as the model gets there, so that no call
//! takes longer than an erasure and a page. Every page is compared with what was meant, the whole file is checked as
//! it is at boot, and only then the header is written: a model that would not run is never chosen.

use embedded_storage::nor_flash::{NorFlash, NorFlashError as _, NorFlashErrorKind};
use sprat::ImageError;
use sprat::format::messages;

use super::{HEADER_BYTES, Header, MODEL_OFFSET, Room, Slot, SlotError, Slots};

/// What erased flash reads as.
const ERASED: u8 = 0xff;

/// Flash that can also be read in place, as models are.
pub trait MappedFlash: NorFlash {
    /// All of it, as it is now: behind a cache that no longer holds what was there before.
    fn mapped(&self) -> &[u8];
}

/// Why a model was not written. The slot that is in use is as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateError {
    /// The slots do not lie where this flash can be erased, or not in it.
    Geometry {
        /// Bytes of a slot.
        slot_bytes: u32,
        /// Bytes that are erased at a time.
        erase_bytes: u32,
        /// Bytes of the flash.
        flash_bytes: u32,
    },
    /// The model is larger than a slot.
    TooLarge {
        /// Bytes of the model.
        need: u32,
        /// Bytes for it.
        have: u32,
    },
    /// More bytes came than were announced.
    TooMany {
        /// Bytes announced.
        announced: u32,
    },
    /// The model was ended before its end.
    Incomplete {
        /// Bytes that came.
        have: u32,
        /// Bytes announced.
        announced: u32,
    },
    /// The flash did not erase or write.
    Flash(NorFlashErrorKind),
    /// The flash does not hold what was written to it.
    Worn {
        /// Offset in the slot of the first byte written.
        at: u32,
    },
    /// The model is damaged, or none that this firmware runs.
    Refused(SlotError),
}

messages!(UpdateError {
    Self::Geometry { slot_bytes, erase_bytes, flash_bytes } => (
        "slots of {} bytes do not fit a flash of {} bytes that is erased {} at a time",
        slot_bytes,
        flash_bytes,
        erase_bytes,
    ),
    Self::TooLarge { need, have } => ("the model has {} bytes, a slot has room for {}", need, have),
    Self::TooMany { announced } => ("more than the {} bytes that were announced", announced),
    Self::Incomplete { have, announced } => ("{} of {} bytes came: send the model again", have, announced),
    Self::Flash(kind) => ("the flash does not erase or write: {}", kind),
    Self::Worn { at } => ("the flash does not keep what is written at {} of the slot: it is worn or locked", at),
    Self::Refused(error) => ("{}", error),
});

impl core::error::Error for UpdateError {}

/// A model that is in its slot, to be used from the next boot on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The slot.
    pub slot: Slot,
    /// The sequence number.
    pub sequence: u32,
}

/// A model on its way into a slot. Dropping it leaves the slot without a model, as a power cut does.
///
/// `PAGE` bytes are written at a time: a multiple of what the flash asks for, best its page.
#[derive(Debug)]
pub struct Updater<'f, F, const PAGE: usize = 256> {
    flash: &'f mut F,
    slots: Slots,
    slot: Slot,
    sequence: u32,
    /// Offset in the slot behind the model.
    end: u32,
    /// Offset in the slot of the next byte to come.
    position: u32,
    /// Offset in the slot up to which flash was erased.
    erased: u32,
    /// What came since the last multiple of `PAGE`.
    page: [u8; PAGE],
}

impl<'f, F: MappedFlash, const PAGE: usize> Updater<'f, F, PAGE> {
    /// Begins with a model of `model_bytes` in the slot beside the one to keep, which is the one in use. Without one
    /// in use the older one is given up.
    ///
    /// # Errors
    /// Slots that are not this flash's, or a model larger than they are. Nothing is erased yet.
    pub fn begin(
        flash: &'f mut F,
        slots: Slots,
        keep: Option<Slot>,
        model_bytes: u32,
    ) -> Result<Self, UpdateError> {
        const {
            // A page goes to flash in whole words, from its beginning or from where the model begins.
            assert!(PAGE > 0 && PAGE.is_multiple_of(F::WRITE_SIZE));
            assert!((MODEL_OFFSET as usize).is_multiple_of(F::WRITE_SIZE));
            assert!(F::ERASE_SIZE.is_multiple_of(PAGE));
        }
        let Slots { origin, slot_bytes } = slots;
        let (erase_bytes, flash_bytes) = (F::ERASE_SIZE as u32, flash.capacity() as u32);
        let end = slot_bytes.checked_mul(2).and_then(|bytes| bytes.checked_add(origin));
        let region = end.and_then(|end| flash.mapped().get(origin as usize..end as usize));
        let is_erasable = [origin, slot_bytes].iter().all(|bytes| bytes.is_multiple_of(erase_bytes));
        let Some(region) = region.filter(|_| is_erasable) else {
            return Err(UpdateError::Geometry { slot_bytes, erase_bytes, flash_bytes });
        };
        if model_bytes > slots.model_bytes() {
            return Err(UpdateError::TooLarge { need: model_bytes, have: slots.model_bytes() });
        }
        let [_, oldest] = slots.by_age(region);
        Ok(Self {
            slots,
            slot: keep.map_or(oldest, Slot::other),
            sequence: slots.next_sequence(region),
            end: MODEL_OFFSET + model_bytes,
            position: MODEL_OFFSET,
            erased: 0,
            page: [ERASED; PAGE],
            flash,
        })
    }

    /// Bytes of the model that are still to come.
    pub fn missing_bytes(&self) -> u32 {
        self.end - self.position
    }

    /// Takes the next bytes of the packed file, any number of them.
    ///
    /// # Errors
    /// More than were announced, or the flash fails. There is no use in going on after that.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), UpdateError> {
        if bytes.len() > self.missing_bytes() as usize {
            return Err(UpdateError::TooMany { announced: self.end - MODEL_OFFSET });
        }
        while !bytes.is_empty() {
            let begin = self.position as usize % PAGE;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE - begin));
            self.page[begin..begin + now.len()].copy_from_slice(now);
            self.position += now.len() as u32;
            bytes = later;
            if (self.position as usize).is_multiple_of(PAGE) {
                self.write_page(self.position - PAGE as u32)?;
            }
        }
        Ok(())
    }

    /// Checks the model and makes it the one that is used from the next boot on.
    ///
    /// # Errors
    /// Bytes are missing, the flash fails, or the model would not run in `room`: then the slot has no model.
    pub fn finish(mut self, room: &Room) -> Result<Written, UpdateError> {
        let announced = self.end - MODEL_OFFSET;
        if self.missing_bytes() > 0 {
            return Err(UpdateError::Incomplete { have: announced - self.missing_bytes(), announced });
        }
        let rest = self.position % PAGE as u32;
        if rest > 0 {
            self.write_page(self.position - rest)?;
        }
        let start = self.slots.origin + self.slots.start(self.slot);
        let model = (start + MODEL_OFFSET) as usize..(start + self.end) as usize;
        // In the region that was checked at the beginning.
        let model = self.flash.mapped().get(model).unwrap_or_default();
        let header = Header::of(model, self.sequence);
        let header =
            header.map_err(|error| UpdateError::Refused(SlotError::Model(ImageError::Format(error))))?;
        room.check_model(model).map_err(UpdateError::Refused)?;
        let mut page = [ERASED; MODEL_OFFSET as usize];
        page[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        program(self.flash, start, 0, &page[..HEADER_BYTES.next_multiple_of(F::WRITE_SIZE)])?;
        Ok(Written { slot: self.slot, sequence: self.sequence })
    }

    /// Writes what has come of the page that begins at an offset in the slot.
    fn write_page(&mut self, begin: u32) -> Result<(), UpdateError> {
        let start = self.slots.origin + self.slots.start(self.slot);
        while self.erased < self.position {
            let from = start + self.erased;
            let erased = self.flash.erase(from, from + F::ERASE_SIZE as u32);
            erased.map_err(|error| UpdateError::Flash(error.kind()))?;
            self.erased += F::ERASE_SIZE as u32;
        }
        // The header is not written with the page that it lies in.
        let from = begin.max(MODEL_OFFSET);
        let bytes = ((self.position - begin) as usize).next_multiple_of(F::WRITE_SIZE);
        program(self.flash, start, from, &self.page[(from - begin) as usize..bytes])?;
        self.page = [ERASED; PAGE];
        Ok(())
    }
}

/// Writes at an offset in the slot that begins at `start`, and compares.
fn program<F: MappedFlash>(flash: &mut F, start: u32, at: u32, bytes: &[u8]) -> Result<(), UpdateError> {
    flash.write(start + at, bytes).map_err(|error| UpdateError::Flash(error.kind()))?;
    let from = (start + at) as usize;
    match flash.mapped().get(from..from + bytes.len()) {
        Some(found) if found == bytes => Ok(()),
        _ => Err(UpdateError::Worn { at }),
    }
}
