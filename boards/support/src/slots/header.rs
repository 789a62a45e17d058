//! The header of a slot: which model lies behind it, and how new it is.

use sprat::format::{FormatError, HEADER_BYTES as FILE_HEADER_BYTES, PackedFile, crc32};

use super::SlotError;

/// The first eight bytes of a slot with a model.
pub const MAGIC: [u8; 8] = *b"\x89SLOT\r\n\x1a";
/// A reader refuses any other version.
pub const VERSION: u16 = 1;
/// Bytes of the header; what follows up to the model stays erased.
pub const HEADER_BYTES: usize = 32;

/// The header of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The larger one is the newer model.
    pub sequence: u32,
    /// Bytes of the packed file.
    pub model_bytes: u32,
    /// The packed file's checksum of its header and section table.
    pub model_checksum: u32,
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Header {
    /// The header for a packed file.
    ///
    /// # Errors
    /// The bytes are no packed file. Its sections are not checked.
    pub fn of(packed: &[u8], sequence: u32) -> Result<Self, FormatError> {
        PackedFile::sections_of(packed)?;
        // What is longer fits no slot, which is for whoever writes it to say.
        let model_bytes = u32::try_from(packed.len()).unwrap_or(u32::MAX);
        Ok(Self { sequence, model_bytes, model_checksum: checksum_of(packed)? })
    }

    /// As it lies in flash.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        for (at, number) in [(12, self.sequence), (16, self.model_bytes), (20, self.model_checksum)] {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// From what lies in flash.
    ///
    /// # Errors
    /// Nothing, or nothing that this reader knows, or it is damaged.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, SlotError> {
        if bytes[..8] != MAGIC {
            return Err(SlotError::NoHeader);
        }
        let (recorded, computed) = (u32_at(bytes, 28), crc32(&bytes[..28]));
        if recorded != computed {
            return Err(SlotError::HeaderChecksum { recorded, computed });
        }
        let found = u16::from_le_bytes([bytes[8], bytes[9]]);
        if found != VERSION {
            return Err(SlotError::Version { found, supported: VERSION });
        }
        Ok(Self {
            sequence: u32_at(bytes, 12),
            model_bytes: u32_at(bytes, 16),
            model_checksum: u32_at(bytes, 20),
        })
    }
}

/// A packed file's checksum of its header and section table, which is the end of its header.
pub(super) fn checksum_of(packed: &[u8]) -> Result<u32, FormatError> {
    let (need, have) = (FILE_HEADER_BYTES as u64, packed.len() as u64);
    let header = packed.first_chunk::<FILE_HEADER_BYTES>().ok_or(FormatError::TooShort { need, have })?;
    Ok(header.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
}
