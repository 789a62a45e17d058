//! A file whose weights stay where they are: what stands before them is in memory, and so are the vectors.
//!
//! Norms and biases are small and read all the time, matrices are large and read once a pass. A reader with little
//! memory keeps everything before `DATA`, moves the vectors behind it, and fetches rows of matrices as it needs them.
//! The table's entries of the vectors are changed to say where they lie in memory; those of matrices stay.
//!
//! Sections behind `DATA` are optional ones and count as empty.

use core::ops::Range;

use crate::bytes::{u32_at, u64_at};
use crate::checksum::Checksum;
use crate::container::{HEADER_BYTES, Head, SECTION_BYTES, SectionIter};
use crate::tensor::TENSOR_BYTES;
use crate::{ALIGNMENT, Element, FormatError, Layout, PackedFile, Role, Section, kind};

/// How large a file is, and where in it the weights lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    file_bytes: u64,
    data: Range<u64>,
    checksum: u32,
}

/// Where the values and scales of a matrix lie in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// What it is for.
    pub role: Role,
    /// The layer, for a role that every layer has.
    pub layer: usize,
    /// Outputs.
    pub rows: u32,
    /// Inputs.
    pub cols: u32,
    /// How its elements are stored.
    pub element: Element,
    /// How they are arranged.
    pub layout: Layout,
    /// Offset of the values in the file.
    pub values_at: u64,
    /// Offset of the scales in the file.
    pub scales_at: u64,
}

impl Extent {
    /// Bytes from which [`table_bytes`](Self::table_bytes) tells how long header and table are.
    pub const HEADER_BYTES: usize = HEADER_BYTES;

    /// Bytes of header and section table; `None` for less than a header, and for one that cannot be.
    pub fn table_bytes(header: &[u8]) -> Option<usize> {
        let count = u32_at::<12, HEADER_BYTES>(header.first_chunk()?);
        (count <= crate::MAX_SECTIONS).then_some(HEADER_BYTES + SECTION_BYTES * count as usize)
    }

    /// Reads header and section table, with which `bytes` begin.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(bytes: &[u8]) -> Result<Self, FormatError> {
        let Head { header, table, .. } = Head::of(bytes, false)?;
        let file_bytes = u64_at::<16, HEADER_BYTES>(header);
        let entry = table.iter().find(|entry| entry[..4] == kind::DATA);
        let entry = entry.ok_or(FormatError::MissingSection { kind: kind::DATA })?;
        let (offset, length) = (u64_at::<8, SECTION_BYTES>(entry), u64_at::<16, SECTION_BYTES>(entry));
        let end = offset.checked_add(length).filter(|&end| end <= file_bytes);
        let end = end.ok_or(FormatError::Section { kind: kind::DATA, field: "length", found: length })?;
        Ok(Self { file_bytes, data: offset..end, checksum: u32_at::<4, SECTION_BYTES>(entry) })
    }

    /// Where the weights lie in the file.
    pub fn data(&self) -> Range<u64> {
        self.data.clone()
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Compares the checksum of all weights with the recorded one.
    ///
    /// # Errors
    /// They differ.
    pub fn verify(&self, checksum: &Checksum) -> Result<(), FormatError> {
        let (kind, recorded, computed) = (kind::DATA, self.checksum, checksum.value());
        match recorded == computed {
            true => Ok(()),
            false => Err(FormatError::SectionChecksum { kind, recorded, computed }),
        }
    }

    /// What is in memory of the section from `offset` to `end`; `None` if it cannot lie in the file.
    pub(crate) fn content<'a>(&self, memory: &'a [u8], offset: u64, end: u64) -> Option<&'a [u8]> {
        let from = usize::try_from(offset).ok()?;
        match offset {
            _ if end > self.file_bytes => None,
            _ if offset == self.data.start => memory.get(from..),
            _ if offset > self.data.start => Some(&[]),
            _ => memory.get(from..usize::try_from(end).ok()?),
        }
    }
}

/// Whether an entry of the tensor table is that of a matrix.
pub(crate) fn is_matrix(entry: &[u8; TENSOR_BYTES]) -> bool {
    let number = u16::from_le_bytes([entry[0], entry[1]]);
    Role::from_number(number).is_some_and(Role::is_matrix)
}

/// A vector as stored, rounded up so that the next is aligned as in the file.
fn padded(entry: &[u8; TENSOR_BYTES]) -> u64 {
    u64_at::<24, TENSOR_BYTES>(entry).next_multiple_of(ALIGNMENT)
}

impl<'a> PackedFile<'a> {
    /// Checks what stands before the weights, all of which is in `memory`. Vectors are not there yet.
    ///
    /// # Errors
    /// The first thing found wrong, by field and value.
    pub fn parse_head(memory: &'a [u8]) -> Result<Self, FormatError> {
        let data = Extent::of(memory)?.data.start;
        Self::check(Self::streamed_sections(memory)?, |section| {
            let Section { kind, bytes, checksum: recorded, offset, .. } = *section;
            let computed = if offset < data { Checksum::of(bytes) } else { recorded };
            match recorded == computed {
                true => Ok(()),
                false => Err(FormatError::SectionChecksum { kind, recorded, computed }),
            }
        })
    }

    /// The same once more, after [`Vectors`] has moved them all: the table is not what was packed any more, so its
    /// checksum is not looked at.
    ///
    /// # Errors
    /// As [`parse_head`](Self::parse_head), which has succeeded before.
    pub fn parse_moved(memory: &'a [u8]) -> Result<Self, FormatError> {
        Self::check(Self::streamed_sections(memory)?, |_| Ok(()))
    }

    fn streamed_sections(memory: &'a [u8]) -> Result<SectionIter<'a>, FormatError> {
        let Head { table, .. } = Head::of(memory, false)?;
        let mut sections = SectionIter::new(memory, table);
        sections.streamed = Some(Extent::of(memory)?);
        Ok(sections)
    }

    /// Whether its matrices are elsewhere.
    pub fn is_streamed(&self) -> bool {
        self.sections.streamed.is_some()
    }

    /// Bytes that are in memory when the file is streamed: those before the weights, and the vectors.
    pub fn resident_bytes(&self) -> u64 {
        let vectors = self.tensors.entries.iter().filter(|entry| !is_matrix(entry));
        self.data_at() + vectors.map(padded).sum::<u64>()
    }

    /// Where a matrix lies; `None` when the model has no such tensor or no such layer, or it is a vector.
    pub fn place(&self, role: Role, layer: usize) -> Option<Place> {
        self.place_at(self.data_at(), role, layer)
    }

    fn place_at(&self, data: u64, role: Role, layer: usize) -> Option<Place> {
        let entry = self.tensors.entries.get(self.tensors.index(role, layer)?)?;
        if !role.is_matrix() {
            return None;
        }
        Some(Place {
            role,
            layer,
            rows: u32_at::<8, TENSOR_BYTES>(entry),
            cols: u32_at::<12, TENSOR_BYTES>(entry),
            element: Element::from_numbers(entry[4], u16::from_le_bytes([entry[6], entry[7]]))?,
            layout: Layout::from_number(entry[5])?,
            // Both lie in the section, whose end fits.
            values_at: data + u64_at::<16, TENSOR_BYTES>(entry),
            scales_at: data + u64_at::<32, TENSOR_BYTES>(entry),
        })
    }

    /// All matrices, layer by layer and then those outside the layers.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let (data, layers) = (self.data_at(), self.meta().config.layers as usize);
        let roles = move |inside: bool| Role::ALL.into_iter().filter(move |role| role.in_layers() == inside);
        let inside = (0..layers).flat_map(move |layer| roles(true).map(move |role| (role, layer)));
        let all = inside.chain(roles(false).map(|role| (role, 0)));
        all.filter_map(move |(role, layer)| self.place_at(data, role, layer))
    }

    /// Offset of the section of weights.
    fn data_at(&self) -> u64 {
        if let Some(extent) = &self.sections.streamed {
            return extent.data.start;
        }
        self.sections().find(|section| section.kind == kind::DATA).map_or(0, |section| section.offset)
    }
}

/// The vectors of a file, one after the other, and their move into memory.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// What is left of the tensor table, in memory.
    table: Range<usize>,
    data: u64,
    /// Bytes of vectors moved.
    moved: u64,
}

impl Vectors {
    /// Those of a file whose [head](PackedFile::parse_head) was checked.
    pub fn of(file: &PackedFile<'_>) -> Self {
        let table = file.sections().find(|section| section.kind == kind::TENSORS);
        let table =
            table.map_or(0..0, |table| table.offset as usize..table.offset as usize + table.bytes.len());
        Self { table, data: file.data_at(), moved: 0 }
    }

    /// Says of the next vector where it begins in the file and where its bytes go, and changes its entry in `memory`,
    /// which holds the head, to say so. `None` after the last.
    pub fn move_next(&mut self, memory: &mut [u8]) -> Option<(u64, Range<usize>)> {
        loop {
            let entry: &mut [u8; TENSOR_BYTES] = memory.get_mut(self.table.clone())?.first_chunk_mut()?;
            self.table.start += TENSOR_BYTES;
            if is_matrix(entry) {
                continue;
            }
            let from = self.data + u64_at::<16, TENSOR_BYTES>(entry);
            let start = usize::try_from(self.data + self.moved).ok()?;
            let to = start..start + u64_at::<24, TENSOR_BYTES>(entry) as usize;
            entry[16..24].copy_from_slice(&self.moved.to_le_bytes());
            // A vector has no scales, whose place the check looks at nevertheless.
            entry[32..40].copy_from_slice(&0u64.to_le_bytes());
            self.moved += padded(entry);
            return Some((from, to));
        }
    }
}
