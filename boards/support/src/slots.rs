//! The model in flash of its own: two slots, of which the newest whole one is used.
//!
//! A model is exchanged without building the firmware anew, over a wire or by a debug probe, and whatever happens on
//! the way the board has one. A new model goes to the slot that is not in use and its header comes last, so that the old
//! one is used until then; when power fails in the middle, the new slot has no header, or one that does not belong to
//! what is there. Which model is used follows from the flash alone: there is no third place that says so.
//!
//! # A slot, byte by byte
//!
//! Little endian, as the packed file. A slot begins and ends where the flash can be erased.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic: `89 53 4C 4F 54 0D 0A 1A` (`\x89SLOT\r\n\x1a`) |
//! | 8 | 2 | version, [`VERSION`]; a reader refuses any other |
//! | 10 | 2 | reserved, zero |
//! | 12 | 4 | sequence number: one more than that of the slot that was in use; it wraps |
//! | 16 | 4 | bytes of the packed file |
//! | 20 | 4 | the packed file's own checksum of its header and section table, its bytes 28 to 31 |
//! | 24 | 4 | reserved, zero |
//! | 28 | 4 | CRC-32 of bytes 0 to 27 |
//! | 32 | 224 | erased: flash with pages of up to 256 bytes writes the header by itself |
//! | 256 | | the packed file, used in place |
//!
//! The packed file's checksum covers the checksums of its sections, so that the header's copy of it stands for the whole
//! file and nothing is checked twice: [`Image::new`] is what finds a model whole.
//!
//! `update` (feature `slots`) is how a board writes a slot, [`Header::of`] how a laptop makes one, `simulated` (feature
//! `simulated-flash`) the flash with power cuts on which both are tested.

use sprat::format::messages;
use sprat::{EngineError, Image, ImageError, Plan};

use crate::memory::limits_for_context;

mod header;
// Symbols of the linker script.
#[cfg(all(feature = "slots", target_os = "none"))]
#[allow(unsafe_code)]
mod region;
#[cfg(any(test, feature = "simulated-flash"))]
pub mod simulated;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "slots"))]
mod update;

pub use header::{HEADER_BYTES, Header, MAGIC, VERSION};
#[cfg(all(feature = "slots", target_os = "none"))]
pub use region::region;
#[cfg(any(test, feature = "slots"))]
pub use update::{MappedFlash, UpdateError, Updater, Written};

/// Where the packed file begins in a slot: behind a page of flash, at a multiple of the file's own alignment.
pub const MODEL_OFFSET: u32 = 256;

/// One of the two places for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first half of the region.
    A,
    /// The second half.
    B,
}

impl Slot {
    /// Both, in the order of their addresses.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The one that this is not.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its letter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// Where the slots lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Where slot A begins, as the flash counts its bytes.
    pub origin: u32,
    /// Bytes of each slot; B follows A.
    pub slot_bytes: u32,
}

/// What a firmware has for a model: it was built around another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tokens of context that it runs every model with.
    pub context_tokens: u32,
    /// Bytes of its arena.
    pub arena_bytes: usize,
    /// Cores that compute together.
    pub cores: usize,
}

/// The model to use.
#[derive(Clone, Copy, Debug)]
pub struct Found<'m> {
    /// Where it lies; `None` for the one that is linked into the firmware.
    pub slot: Option<Slot>,
    /// Its sequence number; 0 for the one that is linked in.
    pub sequence: u32,
    /// The packed file.
    pub model: &'m [u8],
    /// What is wrong with the slots that would have come before it, A and B; `None` of an older one and of itself.
    pub refused: [Option<SlotError>; 2],
}

/// What is wrong with a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SlotError {
    /// No header: nothing was written, or not to its end.
    NoHeader,
    /// A header of another version.
    Version {
        /// The version found.
        found: u16,
        /// The version that this reader knows.
        supported: u16,
    },
    /// The header was changed after it was written, or was not written to its end.
    HeaderChecksum {
        /// CRC-32 in the header.
        recorded: u32,
        /// CRC-32 of the bytes present.
        computed: u32,
    },
    /// More bytes than the slot has.
    Length {
        /// Bytes of the packed file.
        found: u32,
        /// Bytes that the slot has for it.
        most: u32,
    },
    /// What lies behind the header is not the file that it was written for.
    OtherModel {
        /// The packed file's checksum as the header has it.
        recorded: u32,
        /// As the packed file has it.
        found: u32,
    },
    /// The model is damaged, or none that this firmware runs.
    Model(ImageError),
    /// The firmware has no room for the model.
    Room(EngineError),
    /// The model has a text that was read before, and the firmware does not take it over.
    Prefix,
}

messages!(SlotError {
    Self::NoHeader => ("no model was written, or not to its end"),
    Self::Version { found, supported } => (
        "the slot has version {}, this firmware reads version {}: flash a newer firmware",
        found,
        supported,
    ),
    Self::HeaderChecksum { recorded, computed } => (
        "the slot's header is damaged: checksum {:08x}, computed {:08x}",
        recorded,
        computed,
    ),
    Self::Length { found, most } => ("the model has {} bytes, the slot {}", found, most),
    Self::OtherModel { recorded, found } => (
        "the model is not the header's: checksum {:08x}, expected {:08x}",
        found,
        recorded,
    ),
    Self::Model(error) => ("{}", error),
    Self::Room(error) => ("no room for the model: {}", error),
    Self::Prefix => ("the model has a text that was read before: build this firmware with the feature prefix"),
});

impl core::error::Error for SlotError {}

/// Why there is no model to use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoModel {
    /// What is wrong with slot A.
    pub a: SlotError,
    /// What is wrong with slot B.
    pub b: SlotError,
}

messages!(NoModel {
    Self { a, b } => (
        "no whole model, write one with `sprat flash --model`; slot a: {}; slot b: {}",
        a,
        b,
    ),
});

impl core::error::Error for NoModel {}

impl Room {
    /// Whether there is room for a model.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, image: &Image<'_>) -> Result<(), SlotError> {
        if image.file().prefix_section().is_some() && !cfg!(feature = "prefix") {
            return Err(SlotError::Prefix);
        }
        let limits = limits_for_context(image.limits(), self.context_tokens);
        let plan = Plan::for_team(image.config(), &limits, self.cores);
        let need = plan.map_err(|error| SlotError::Room(EngineError::Plan(error)))?.arena_bytes;
        match self.arena_bytes {
            have if have < need => Err(SlotError::Room(EngineError::ArenaTooSmall { need, have })),
            _ => Ok(()),
        }
    }

    /// Whether `model`, a packed file in flash, is whole and has room.
    ///
    /// # Errors
    /// What is wrong with it or missing.
    pub fn check_model(&self, model: &[u8]) -> Result<(), SlotError> {
        self.check(&Image::new(model).map_err(SlotError::Model)?)
    }
}

/// Whether one sequence number comes after another, across the wrap (RFC 1982).
const fn comes_after(one: u32, other: u32) -> bool {
    let distance = one.wrapping_sub(other);
    distance != 0 && distance < 1 << 31
}

impl Slots {
    /// The two largest slots in a region whose first byte is `origin` to the flash, for flash that is erased
    /// `erase_bytes` at a time.
    pub const fn within(origin: u32, bytes: u32, erase_bytes: u32) -> Self {
        Self { origin, slot_bytes: bytes / 2 / erase_bytes * erase_bytes }
    }

    /// Where a slot begins, counted from the beginning of the region.
    pub const fn start(&self, slot: Slot) -> u32 {
        match slot {
            Slot::A => 0,
            Slot::B => self.slot_bytes,
        }
    }

    /// Bytes that the largest packed file may have.
    pub const fn model_bytes(&self) -> u32 {
        self.slot_bytes.saturating_sub(MODEL_OFFSET)
    }

    /// The bytes of a slot in those of the region; none where the region is shorter.
    fn slot<'m>(&self, region: &'m [u8], slot: Slot) -> &'m [u8] {
        let start = self.start(slot) as usize;
        region.get(start..start + self.slot_bytes as usize).unwrap_or_default()
    }

    /// The header of a slot.
    ///
    /// # Errors
    /// There is none, or it is damaged. What lies behind it is not looked at.
    pub fn header(&self, region: &[u8], slot: Slot) -> Result<Header, SlotError> {
        let bytes = self.slot(region, slot).first_chunk().ok_or(SlotError::NoHeader)?;
        let header = Header::read(bytes)?;
        match self.model_bytes() {
            most if header.model_bytes > most => Err(SlotError::Length { found: header.model_bytes, most }),
            _ => Ok(header),
        }
    }

    /// The slots by their headers, the newest first; one without a header comes last, and A when neither has one, so that
    /// it is the first to be written.
    pub fn by_age(&self, region: &[u8]) -> [Slot; 2] {
        let [a, b] = Slot::BOTH.map(|slot| self.header(region, slot).map(|header| header.sequence));
        match (a, b) {
            (Ok(a), Ok(b)) if comes_after(b, a) => [Slot::B, Slot::A],
            (Err(_), _) => [Slot::B, Slot::A],
            _ => Slot::BOTH,
        }
    }

    /// The sequence number of the next model.
    pub fn next_sequence(&self, region: &[u8]) -> u32 {
        let [newest, _] = self.by_age(region);
        self.header(region, newest).map_or(1, |header| header.sequence.wrapping_add(1))
    }

    /// The model in a slot with its sequence number, checked as a whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn model<'m>(&self, region: &'m [u8], slot: Slot, room: &Room) -> Result<(u32, &'m [u8]), SlotError> {
        let header = self.header(region, slot)?;
        let begin = MODEL_OFFSET as usize;
        let model = self.slot(region, slot).get(begin..begin + header.model_bytes as usize);
        let model = model.ok_or(SlotError::NoHeader)?;
        let found =
            header::checksum_of(model).map_err(|error| SlotError::Model(ImageError::Format(error)))?;
        if found != header.model_checksum {
            return Err(SlotError::OtherModel { recorded: header.model_checksum, found });
        }
        room.check_model(model)?;
        Ok((header.sequence, model))
    }

    /// The model to use: the newest of those in `region` that are whole and that there is room for, or else the one that
    /// is linked into the firmware.
    ///
    /// # Errors
    /// Neither slot holds one and none is linked in: what is wrong with each.
    // A stack frame of its own, which ends before the model runs.
    #[inline(never)]
    pub fn boot<'m>(
        &self,
        region: &'m [u8],
        room: &Room,
        linked: Option<&'m [u8]>,
    ) -> Result<Found<'m>, NoModel> {
        let mut refused = [None; 2];
        for slot in self.by_age(region) {
            match self.model(region, slot, room) {
                Ok((sequence, model)) => return Ok(Found { slot: Some(slot), sequence, model, refused }),
                Err(error) => refused[slot as usize] = Some(error),
            }
        }
        let [a, b] = refused.map(|error| error.unwrap_or(SlotError::NoHeader));
        match linked {
            Some(model) => Ok(Found { slot: None, sequence: 0, model, refused }),
            None => Err(NoModel { a, b }),
        }
    }
}
