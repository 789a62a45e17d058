//! Putting a section into a file that is already packed.
//!
//! Some sections can be computed only from the file itself, such as what its model keeps of a text. Offsets inside
//! sections count from their own start, so a longer table moves the sections and changes nothing in them.

use core::fmt;

use heapless::Vec;

use crate::bytes::align_up;
use crate::checksum::Checksum;
use crate::container::{ALIGNMENT, HEADER_BYTES, MAX_SECTIONS, SECTION_BYTES, Section};
use crate::writer::{Entry, Sink, WriteError, header};
use crate::{FormatError, PackedFile};

/// The most sections.
const MOST: usize = MAX_SECTIONS as usize;

/// Why a section could not be put into a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InsertError<E> {
    /// It is no packed file.
    Format(FormatError),
    /// The file has as many sections as there can be.
    Full,
    /// The file could not be written.
    Write(WriteError<E>),
}

impl<E: fmt::Display> fmt::Display for InsertError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Full => write!(f, "the file has {MAX_SECTIONS} sections already"),
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for InsertError<E> {}

/// Copies a packed file with one more section behind its last, which a reader need not know, or with this section
/// instead of one of the same kind. Returns the sink and the file's length.
///
/// # Errors
/// What is wrong with header, section table or sink.
pub fn insert_section<S: Sink>(
    file: &[u8],
    kind: [u8; 4],
    content: &[u8],
    mut sink: S,
) -> Result<(S, u64), InsertError<S::Error>> {
    let mut sections = Vec::<Section<'_>, MOST>::new();
    for section in PackedFile::sections_of(file).map_err(InsertError::Format)? {
        let section = section.map_err(InsertError::Format)?;
        if section.kind != kind {
            sections.push(section).map_err(|_| InsertError::Full)?;
        }
    }
    let checksum = Checksum::of(content);
    let added = Section { kind, offset: 0, bytes: content, checksum, required: false };
    sections.push(added).map_err(|_| InsertError::Full)?;
    let mut entries = Vec::<Entry, MOST>::new();
    let mut end = (HEADER_BYTES + sections.len() * SECTION_BYTES) as u64;
    let too_large = InsertError::Write(WriteError::TooLarge);
    for &Section { kind, bytes, checksum, required, .. } in &sections {
        let Some(offset) = align_up(end, ALIGNMENT) else { return Err(too_large) };
        let length = bytes.len() as u64;
        let Some(behind) = offset.checked_add(length) else { return Err(too_large) };
        end = behind;
        entries.push(Entry { kind, offset, length, checksum, required }).map_err(|_| InsertError::Full)?;
    }
    let mut buffer = [0; HEADER_BYTES + MOST * SECTION_BYTES];
    let contents = entries.iter().zip(&sections).map(|(entry, section)| (entry.offset, section.bytes));
    for (offset, bytes) in contents.chain([(0, header(&entries, end, &mut buffer))]) {
        sink.write_at(offset, bytes).map_err(|error| InsertError::Write(WriteError::Sink(error)))?;
    }
    Ok((sink, end))
}
