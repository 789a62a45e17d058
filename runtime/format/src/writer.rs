//! Writing a packed file, one tensor at a time.
//!
//! Sizes are known before values: the whole layout follows from the tensors' shapes, so a converter streams
//! tensors through and never holds more than a piece of one. Only the header, which has the checksums, is written last;
//! a file without its header is not a packed file, so an interrupted writer leaves nothing that loads.

use core::fmt;

use heapless::Vec;

use crate::bytes::align_up;
use crate::checksum::Checksum;
use crate::container::{ALIGNMENT, HEADER_BYTES, MAGIC, SECTION_BYTES, VERSION_MAJOR, VERSION_MINOR, kind};
use crate::tensor::{TENSOR_BYTES, TensorSpec};

/// Where a packed file is written.
pub trait Sink {
    /// Why a write failed.
    type Error;

    /// Writes `bytes` at `offset` from the start. Offsets ascend, but for the last call, which is at 0.
    ///
    /// # Errors
    /// The sink's own.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Why a packed file could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError<E> {
    /// The sink refused.
    Sink(E),
    /// Tensors are not given in ascending order of layer, then role.
    Order {
        /// Position of the first that is out of order.
        index: usize,
    },
    /// The bytes given for a tensor are not as many as its shape and type need.
    TensorBytes {
        /// Position of the tensor.
        index: usize,
        /// Bytes of values and scales needed.
        need: u64,
        /// Bytes given.
        have: u64,
    },
    /// Fewer or more tensors were written than announced.
    TensorCount {
        /// Tensors announced.
        need: usize,
        /// Tensors written.
        have: usize,
    },
    /// The file would be larger than its length field can say.
    TooLarge,
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink(error) => write!(f, "cannot write: {error}"),
            Self::Order { index } => write!(f, "tensor {index} is out of order"),
            Self::TensorBytes { index, need, have } => {
                write!(f, "tensor {index}: {have} bytes given, {need} needed")
            }
            Self::TensorCount { need, have } => write!(f, "{have} tensors written, {need} announced"),
            Self::TooLarge => write!(f, "the file would be too large for its length field"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for WriteError<E> {}

/// The most sections that are written.
const SECTIONS: usize = 5;

/// An entry of the section table.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub kind: [u8; 4],
    pub offset: u64,
    pub length: u64,
    pub checksum: u32,
    /// Whether a reader that does not know it must refuse the file.
    pub required: bool,
}

/// A packed file in the making.
pub struct Writer<'s, S: Sink> {
    sink: S,
    specs: &'s [TensorSpec],
    written: usize,
    /// Bytes of values of the tensor that is being written.
    value_bytes: u64,
    sections: Vec<Entry, SECTIONS>,
    data: Checksum,
    data_at: u64,
    data_bytes: u64,
}

impl<'s, S: Sink> Writer<'s, S> {
    /// Writes everything but tensors and header. `meta` comes from [`Meta::encode`](crate::Meta::encode), `tokenizer`
    /// and `chat` are these sections, empty for a model without; an empty `chat` makes no section. The
    /// `specs` are sorted by layer (those outside the layers last), then by role.
    ///
    /// # Errors
    /// Specs out of order, or the sink's error.
    pub fn begin(
        mut sink: S,
        meta: &[u8],
        tokenizer: &[u8],
        chat: &[u8],
        specs: &'s [TensorSpec],
    ) -> Result<Self, WriteError<S::Error>> {
        if let Some(index) = specs.windows(2).position(|pair| pair[0].key() >= pair[1].key()) {
            return Err(WriteError::Order { index: index + 1 });
        }
        let lengths = [
            (kind::META, meta.len()),
            (kind::TOKENIZER, tokenizer.len()),
            (kind::CHAT, chat.len()),
            (kind::TENSORS, specs.len() * TENSOR_BYTES),
            (kind::DATA, 0),
        ];
        let wanted = lengths.into_iter().filter(|&(kind, length)| kind != kind::CHAT || length > 0);
        let mut end = (HEADER_BYTES + wanted.clone().count() * SECTION_BYTES) as u64;
        let mut sections = Vec::<_, SECTIONS>::new();
        for (kind, length) in wanted {
            let offset = align_up(end, ALIGNMENT).ok_or(WriteError::TooLarge)?;
            end = offset.checked_add(length as u64).ok_or(WriteError::TooLarge)?;
            let length = length as u64;
            sections.extend([Entry { kind, offset, length, checksum: 0, required: kind != kind::CHAT }]);
        }
        for section in &mut sections {
            let bytes = match section.kind {
                kind::META => meta,
                kind::TOKENIZER => tokenizer,
                kind::CHAT => chat,
                _ => break,
            };
            section.checksum = Checksum::of(bytes);
            sink.write_at(section.offset, bytes).map_err(WriteError::Sink)?;
        }
        let offset_of =
            |kind| sections.iter().find(|section| section.kind == kind).map_or(0, |section| section.offset);
        let (table_at, data_at) = (offset_of(kind::TENSORS), offset_of(kind::DATA));
        let (mut digest, mut at, mut data_end) = (Checksum::new(), table_at, 0u64);
        for spec in specs {
            let values_at = data_end;
            let scales_at = next(values_at, spec.value_bytes())?;
            data_end = next(scales_at, spec.scale_bytes())?;
            let entry = spec.entry(values_at, scales_at);
            digest.update(&entry);
            sink.write_at(at, &entry).map_err(WriteError::Sink)?;
            at += TENSOR_BYTES as u64;
        }
        set_checksum(&mut sections, kind::TENSORS, digest.value());
        let data = Checksum::new();
        Ok(Self { sink, specs, written: 0, value_bytes: 0, sections, data, data_at, data_bytes: 0 })
    }

    /// Writes the next tensor of the announced ones.
    ///
    /// # Errors
    /// A wrong number of bytes, a tensor too many, or the sink's error.
    pub fn tensor(&mut self, values: &[u8], scales: &[u8]) -> Result<(), WriteError<S::Error>> {
        self.values(values)?;
        self.scales(scales)
    }

    /// Writes a piece of the values of the next tensor, the pieces in order; [`scales`](Self::scales) ends it.
    ///
    /// # Errors
    /// More bytes than the tensor has, a tensor too many, or the sink's error.
    pub fn values(&mut self, piece: &[u8]) -> Result<(), WriteError<S::Error>> {
        let need = self.spec()?.value_bytes();
        let have = self.value_bytes + piece.len() as u64;
        if have > need {
            return Err(WriteError::TensorBytes { index: self.written, need, have });
        }
        self.append(piece)?;
        self.value_bytes = have;
        Ok(())
    }

    /// Writes the scales of a tensor whose values are written.
    ///
    /// # Errors
    /// As [`values`](Self::values), or values that are still missing.
    pub fn scales(&mut self, scales: &[u8]) -> Result<(), WriteError<S::Error>> {
        let spec = self.spec()?;
        for (have, need) in
            [(self.value_bytes, spec.value_bytes()), (scales.len() as u64, spec.scale_bytes())]
        {
            if have != need {
                return Err(WriteError::TensorBytes { index: self.written, need, have });
            }
        }
        self.pad()?;
        self.append(scales)?;
        self.pad()?;
        self.value_bytes = 0;
        self.written += 1;
        Ok(())
    }

    fn spec(&self) -> Result<&'s TensorSpec, WriteError<S::Error>> {
        let need = self.specs.len();
        self.specs.get(self.written).ok_or(WriteError::TensorCount { need, have: self.written + 1 })
    }

    fn pad(&mut self) -> Result<(), WriteError<S::Error>> {
        let padding = (ALIGNMENT - self.data_bytes % ALIGNMENT) % ALIGNMENT;
        self.append(&[0; ALIGNMENT as usize][..padding as usize])
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError<S::Error>> {
        self.data.update(bytes);
        self.sink.write_at(self.data_at + self.data_bytes, bytes).map_err(WriteError::Sink)?;
        self.data_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the header, which makes the file valid, and returns the sink and the file's length.
    ///
    /// # Errors
    /// Tensors that are still missing, or the sink's error.
    pub fn finish(self) -> Result<(S, u64), WriteError<S::Error>> {
        let Self { mut sink, specs, written, mut sections, data, data_at, data_bytes, .. } = self;
        if written != specs.len() {
            return Err(WriteError::TensorCount { need: specs.len(), have: written });
        }
        set_checksum(&mut sections, kind::DATA, data.value());
        if let Some(section) = sections.last_mut() {
            section.length = data_bytes;
        }
        let length = data_at + data_bytes;
        let mut buffer = [0; HEADER_BYTES + SECTIONS * SECTION_BYTES];
        let head = header(&sections, length, &mut buffer);
        sink.write_at(0, head).map_err(WriteError::Sink)?;
        Ok((sink, length))
    }
}

/// Header and section table of a file of so many bytes, in as much of `buffer` as they need.
pub(crate) fn header<'b>(sections: &[Entry], length: u64, buffer: &'b mut [u8]) -> &'b [u8] {
    let head = &mut buffer[..HEADER_BYTES + sections.len() * SECTION_BYTES];
    // The least version that has everything that the file has.
    let minor = if sections.iter().any(|section| section.kind == kind::PREFIX) { VERSION_MINOR } else { 0 };
    head[0..8].copy_from_slice(&MAGIC);
    head[8..10].copy_from_slice(&VERSION_MAJOR.to_le_bytes());
    head[10..12].copy_from_slice(&minor.to_le_bytes());
    head[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    head[16..24].copy_from_slice(&length.to_le_bytes());
    for (section, entry) in sections.iter().zip(head[HEADER_BYTES..].chunks_exact_mut(SECTION_BYTES)) {
        entry[0..4].copy_from_slice(&section.kind);
        entry[4..8].copy_from_slice(&section.checksum.to_le_bytes());
        entry[8..16].copy_from_slice(&section.offset.to_le_bytes());
        entry[16..24].copy_from_slice(&section.length.to_le_bytes());
        entry[24..28].copy_from_slice(&u32::from(section.required).to_le_bytes());
    }
    let mut digest = Checksum::new();
    digest.update(&head[..28]);
    digest.update(&head[HEADER_BYTES..]);
    head[28..32].copy_from_slice(&digest.value().to_le_bytes());
    head
}

fn set_checksum(sections: &mut [Entry], kind: [u8; 4], checksum: u32) {
    sections
        .iter_mut()
        .filter(|section| section.kind == kind)
        .for_each(|section| section.checksum = checksum);
}

/// The aligned offset behind `bytes` at `at`.
fn next<E>(at: u64, bytes: u64) -> Result<u64, WriteError<E>> {
    at.checked_add(bytes).and_then(|end| align_up(end, ALIGNMENT)).ok_or(WriteError::TooLarge)
}
