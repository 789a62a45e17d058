//! Header, section table and checksums: the reader's way in.
//!
//! [`PackedFile::parse`] checks everything once; whoever holds a [`PackedFile`] can read it without failing.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::checksum::Checksum;
#[cfg(feature = "stream")]
use crate::streamed::Extent;
use crate::tensor::{DataSection, TensorTable};
use crate::{FormatError, Meta, Role, Tensor};

/// The first eight bytes of every packed file.
pub const MAGIC: [u8; 8] = *b"\x89SPRAT\r\n";
/// A reader refuses any other major version.
pub const VERSION_MAJOR: u16 = 2;
/// Additions that an older reader may ignore: 1 has `PRFX`. A file says the least version that has all that it has.
pub const VERSION_MINOR: u16 = 1;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;
/// Bytes of one entry of the section table.
pub const SECTION_BYTES: usize = 32;
/// The most sections that a file may have.
pub const MAX_SECTIONS: u32 = 32;
/// Alignment of sections and tensors in bytes.
pub const ALIGNMENT: u64 = 64;

/// The kinds of sections that this crate knows.
pub mod kind {
    /// The blueprint and what else is said of the model.
    pub const META: [u8; 4] = *b"META";
    /// The tokenizer.
    pub const TOKENIZER: [u8; 4] = *b"TOKN";
    /// The tensor table.
    pub const TENSORS: [u8; 4] = *b"TENS";
    /// The chat template; a model may have none, and a reader need not know it.
    pub const CHAT: [u8; 4] = *b"CHAT";
    /// A text that was read on the laptop; a model may have none, and a reader need not know it.
    pub const PREFIX: [u8; 4] = *b"PRFX";
    /// The tensors' values and scales.
    pub const DATA: [u8; 4] = *b"DATA";
}

/// One section of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Four ASCII characters.
    pub kind: [u8; 4],
    /// Offset in the file.
    pub offset: u64,
    /// Content.
    pub bytes: &'a [u8],
    /// Recorded CRC-32 of the content.
    pub checksum: u32,
    pub(crate) required: bool,
}

/// The sections of a file, in order of offset.
#[derive(Clone, Debug)]
pub struct SectionIter<'a> {
    file: &'a [u8],
    table: &'a [[u8; SECTION_BYTES]],
    /// First offset at which the next section may begin.
    least_offset: u64,
    /// Where the weights lie, of a file of which `file` is what stands before them.
    #[cfg(feature = "stream")]
    pub(crate) streamed: Option<Extent>,
}

impl<'a> Iterator for SectionIter<'a> {
    type Item = Result<Section<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.table.split_first()?;
        self.table = rest;
        Some(self.read(entry))
    }
}

impl<'a> SectionIter<'a> {
    pub(crate) fn new(file: &'a [u8], table: &'a [[u8; SECTION_BYTES]]) -> Self {
        Self {
            file,
            table,
            least_offset: (HEADER_BYTES + SECTION_BYTES * table.len()) as u64,
            #[cfg(feature = "stream")]
            streamed: None,
        }
    }

    fn read(&mut self, entry: &[u8; SECTION_BYTES]) -> Result<Section<'a>, FormatError> {
        let kind = [entry[0], entry[1], entry[2], entry[3]];
        let checksum = u32_at::<4, SECTION_BYTES>(entry);
        let offset = u64_at::<8, SECTION_BYTES>(entry);
        let length = u64_at::<16, SECTION_BYTES>(entry);
        let flags = u32_at::<24, SECTION_BYTES>(entry);
        let reserved = u32_at::<28, SECTION_BYTES>(entry);
        let wrong = |field, found| FormatError::Section { kind, field, found };
        if !offset.is_multiple_of(ALIGNMENT) || offset < self.least_offset {
            return Err(wrong("offset", offset));
        }
        let end = offset.checked_add(length).ok_or(wrong("length", length))?;
        let bytes = self.content(offset, end).ok_or(wrong("length", length))?;
        if flags > 1 {
            return Err(wrong("flags", flags.into()));
        }
        if reserved != 0 {
            return Err(wrong("reserved", reserved.into()));
        }
        self.least_offset = end;
        Ok(Section { kind, offset, bytes, checksum, required: flags & 1 != 0 })
    }

    fn content(&self, offset: u64, end: u64) -> Option<&'a [u8]> {
        #[cfg(feature = "stream")]
        if let Some(extent) = &self.streamed {
            return extent.content(self.file, offset, end);
        }
        self.file.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// A packed file that was checked as a whole.
///
/// Holding one guarantees: magic and version are known, every section lies in the file and matches its
/// checksum, the configuration is possible, the tensor table holds every tensor that the configuration needs
/// and no other, each with the right shape and inside the `DATA` section. The tokenizer's section is checked
/// by [`tokenizer`](crate::tokenizer) when it is opened, the chat template's by [`chat`](crate::chat), a text that was
/// read by [`prefix`](crate::prefix).
#[derive(Clone, Debug)]
pub struct PackedFile<'a> {
    pub(crate) sections: SectionIter<'a>,
    meta: Meta<'a>,
    tokenizer: &'a [u8],
    pub(crate) tensors: TensorTable<'a>,
}

impl<'a> PackedFile<'a> {
    /// Checks `bytes`, which may be longer than the file (a flash region).
    ///
    /// # Errors
    /// The first thing found wrong, by field and value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        Self::parse_with(bytes, Checksum::of)
    }

    /// The same with the caller's way of computing a section's CRC-32, for who reads files larger than memory.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(bytes: &'a [u8], checksum_of: impl Fn(&'a [u8]) -> u32) -> Result<Self, FormatError> {
        Self::check(Self::sections_of(bytes)?, |section| {
            let Section { kind, bytes, checksum: recorded, .. } = *section;
            let computed = checksum_of(bytes);
            match computed == recorded {
                true => Ok(()),
                false => Err(FormatError::SectionChecksum { kind, recorded, computed }),
            }
        })
    }

    /// Checks all but the content of sections, which is for `verify`.
    pub(crate) fn check(
        sections: SectionIter<'a>,
        verify: impl Fn(&Section<'a>) -> Result<(), FormatError>,
    ) -> Result<Self, FormatError> {
        let mut known: [Option<&'a [u8]>; 4] = [None; 4];
        for section in sections.clone() {
            let section = section?;
            let Section { kind, bytes, required, .. } = section;
            let slot =
                [kind::META, kind::TOKENIZER, kind::TENSORS, kind::DATA].iter().position(|&k| k == kind);
            match slot {
                Some(slot) if known[slot].is_some() => {
                    return Err(FormatError::Section { kind, field: "kind (twice)", found: 2 });
                }
                Some(slot) => known[slot] = Some(bytes),
                None if required => return Err(FormatError::UnknownSection { kind }),
                None => {}
            }
            verify(&section)?;
        }
        let present = |slot: usize, kind| known[slot].ok_or(FormatError::MissingSection { kind });
        let meta = Meta::decode(present(0, kind::META)?).ok_or(FormatError::Meta)?;
        meta.validate()?;
        let data = DataSection {
            bytes: present(3, kind::DATA)?,
            #[cfg(feature = "stream")]
            streamed: sections.streamed.as_ref().map(Extent::data),
        };
        let tensors = TensorTable::parse(present(2, kind::TENSORS)?, data, &meta.config)?;
        Ok(Self { sections, tokenizer: present(1, kind::TOKENIZER)?, tensors, meta })
    }

    /// Reads header and section table only: enough to look into a damaged or newer file.
    ///
    /// # Errors
    /// What is wrong with header or section table.
    pub fn sections_of(bytes: &'a [u8]) -> Result<SectionIter<'a>, FormatError> {
        let Head { table, file, .. } = Head::of(bytes, true)?;
        Ok(SectionIter::new(file, table))
    }

    /// What the file says of its model.
    pub fn meta(&self) -> &Meta<'a> {
        &self.meta
    }

    /// The tokenizer's section.
    pub fn tokenizer_section(&self) -> &'a [u8] {
        self.tokenizer
    }

    /// The chat template's section, if there is one: see [`chat`](crate::chat).
    pub fn chat_section(&self) -> Option<&'a [u8]> {
        self.section(kind::CHAT)
    }

    /// The section of a text that was read when the file was packed, if there is one: see [`prefix`](crate::prefix).
    pub fn prefix_section(&self) -> Option<&'a [u8]> {
        self.section(kind::PREFIX)
    }

    fn section(&self, kind: [u8; 4]) -> Option<&'a [u8]> {
        self.sections().find(|section| section.kind == kind).map(|section| section.bytes)
    }

    /// The tensor of `role`, in `layer` for a role that occurs in every layer (ignored for the others).
    /// `None` when the model has no such tensor or no such layer.
    pub fn tensor(&self, role: Role, layer: usize) -> Option<Tensor<'a>> {
        self.tensors.get(role, layer)
    }

    /// All tensors in the order of the file, with role and, inside the layers, the layer's number.
    pub fn tensors(&self) -> impl Iterator<Item = (Role, Option<usize>, Tensor<'a>)> + '_ {
        self.tensors.iter()
    }

    /// All sections in the order of the file.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + '_ {
        self.sections.clone().flatten()
    }
}

/// The beginning of a file, whose checksum is right.
pub(crate) struct Head<'a> {
    #[cfg_attr(
        not(feature = "stream"),
        allow(dead_code, reason = "a whole file says no more than its sections")
    )]
    pub header: &'a [u8; HEADER_BYTES],
    pub table: &'a [[u8; SECTION_BYTES]],
    /// The file, or what of it is needed: header and section table.
    pub file: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads header and section table, of a file that is there as a whole or not.
    pub(crate) fn of(bytes: &'a [u8], whole: bool) -> Result<Self, FormatError> {
        let have = bytes.len() as u64;
        let header: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or(FormatError::TooShort { need: HEADER_BYTES as u64, have })?;
        let [m0, m1, m2, m3, m4, m5, m6, m7, ..] = *header;
        let found = [m0, m1, m2, m3, m4, m5, m6, m7];
        if found != MAGIC {
            return Err(FormatError::Magic { found });
        }
        let major = u16_at::<8, HEADER_BYTES>(header);
        if major != VERSION_MAJOR {
            return Err(FormatError::Version { found: major, supported: VERSION_MAJOR });
        }
        let count = u32_at::<12, HEADER_BYTES>(header);
        if count == 0 || count > MAX_SECTIONS {
            return Err(FormatError::SectionCount { found: count, most: MAX_SECTIONS });
        }
        let table_end = HEADER_BYTES + SECTION_BYTES * count as usize;
        let file_bytes = if whole { u64_at::<16, HEADER_BYTES>(header) } else { 0 };
        let need = file_bytes.max(table_end as u64);
        let file = usize::try_from(need)
            .ok()
            .and_then(|n| bytes.get(..n))
            .ok_or(FormatError::TooShort { need, have })?;
        let (table, _) = file[HEADER_BYTES..table_end].as_chunks();
        let recorded = u32_at::<28, HEADER_BYTES>(header);
        let mut digest = Checksum::new();
        digest.update(&header[..28]);
        digest.update(table.as_flattened());
        let computed = digest.value();
        if recorded != computed {
            return Err(FormatError::HeaderChecksum { recorded, computed });
        }
        Ok(Self { header, table, file })
    }
}
