//! The packed file of Sprat: its specification, its reader and its writer.
//!
//! A `.sprat` file holds everything that a device needs to run one model: the blueprint (sizes and choices),
//! the tokenizer, and the weights, laid out so that a microcontroller uses all of it in place from flash. Host
//! tools write it, devices read it, and both do so through this crate, so that there is one truth about it.
//!
//! The reader is total: no byte string makes it panic or read out of bounds, and every section is covered by
//! a checksum, so that what was packed is what runs.
//!
//! # The file, byte by byte
//!
//! All numbers are little endian. Offsets count from the start of the file unless another origin is named.
//!
//! ## Header, 32 bytes
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic: `89 53 50 52 41 54 0D 0A` (`\x89SPRAT\r\n`; the odd bytes catch transfers in text mode) |
//! | 8 | 2 | major version, [`VERSION_MAJOR`]; a reader refuses any other |
//! | 10 | 2 | minor version, at most [`VERSION_MINOR`]; a reader accepts any |
//! | 12 | 4 | number of sections, 1 to [`MAX_SECTIONS`] |
//! | 16 | 8 | length of the file in bytes; what a flash region holds behind it is ignored |
//! | 24 | 4 | reserved, zero |
//! | 28 | 4 | CRC-32 of bytes 0 to 27 followed by the section table |
//!
//! ## Section table, 32 bytes for each section
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | kind, four ASCII characters |
//! | 4 | 4 | CRC-32 of the section's bytes |
//! | 8 | 8 | offset of the section, a multiple of [`ALIGNMENT`] |
//! | 16 | 8 | length in bytes |
//! | 24 | 4 | flags; bit 0: a reader that does not know this kind must refuse the file |
//! | 28 | 4 | reserved, zero |
//!
//! Sections follow in ascending order of offset and do not overlap; a kind occurs at most once. The gaps are
//! zero-filled by the writer and belong to no section. Unknown sections without flag bit 0 are skipped. The
//! checksum is CRC-32/ISO-HDLC (the one of zlib and Ethernet), which detects every change of up to 32
//! neighbouring bits.
//!
//! ## Sections
//!
//! | kind | content |
//! | --- | --- |
//! | `META` | a [`Meta`], in [postcard](https://postcard.jamesmunns.com/wire-format)'s wire format |
//! | `TOKN` | the tokenizer, see [`tokenizer`]; empty for a model without one |
//! | `CHAT` | the chat template, see [`chat`]; a model without one has no such section (flag bit 0 is not set) |
//! | `PRFX` | a text that was read when the file was packed, see [`prefix`]; most models have none (flag bit 0 is not set) |
//! | `TENS` | the tensor table: one entry of 48 bytes for each tensor |
//! | `DATA` | the tensors' values and scales |
//!
//! ## `TENS`, 48 bytes for each tensor
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 2 | [`Role`] |
//! | 2 | 2 | layer, or `FFFF` for a tensor outside the layers |
//! | 4 | 1 | element type: 0 `f32`, 1 `f16`, 2 `q8` |
//! | 5 | 1 | [`Layout`]: 0 rows, 1 interleaved, 2 interleaved and biased; other than 0 for `q8` only |
//! | 6 | 2 | group: inputs that share a scale; 0 when there are no scales |
//! | 8 | 4 | rows (outputs) |
//! | 12 | 4 | columns (inputs) |
//! | 16 | 8 | offset of the values within `DATA`, a multiple of [`ALIGNMENT`] |
//! | 24 | 8 | bytes of values |
//! | 32 | 8 | offset of the scales within `DATA`, a multiple of [`ALIGNMENT`] |
//! | 40 | 8 | bytes of scales |
//!
//! Entries are sorted by layer, then by role. Every layer has the same roles, so the entry of a tensor is
//! found by arithmetic.
//!
//! ## Values
//!
//! `f32` and `f16`: IEEE 754, rows one after the other, no padding. `q8`: signed bytes in -127..=127; each row
//! is padded with zeros to a multiple of the group; scales are `f16`, one for each row and group. The weight is
//! value x scale. Values and scales are arranged in the tensor's [`Layout`]; every reader knows every layout.
//!
//! The alignment of 64 bytes serves the widest load of any target and is one cache line on the larger ones.
//!
//! # Versions
//!
//! The major version changes when an old reader would misread a file. The minor version changes when something
//! was added that an old reader may ignore: a section kind without flag bit 0, or fields at the end of `META`
//! (a reader ignores bytes behind the fields that it knows). Enum variants in `META` and the numbers of
//! [`Role`] are only ever appended. A writer gives the least minor version that has all that the file has: 1 has `PRFX`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod bytes;
pub mod chat;
mod checksum;
mod config;
mod container;
mod error;
mod layout;
mod messages;
mod meta;
pub mod prefix;
mod role;
mod section;
#[cfg(feature = "stream")]
pub mod streamed;
mod tensor;
pub mod tokenizer;
mod writer;

pub use checksum::{Checksum, crc32};
pub use config::{
    Activation, Block, Config, FeedForward, Layers, Norm, NormPlace, Pairing, Position, QkNorm,
};
pub use container::{
    ALIGNMENT, HEADER_BYTES, MAGIC, MAX_SECTIONS, PackedFile, SECTION_BYTES, Section, SectionIter,
    VERSION_MAJOR, VERSION_MINOR, kind,
};
pub use error::{ConfigError, FormatError};
pub use layout::{BLOCK_ROWS, Layout, WORD};
pub use meta::{KvType, Limits, Meta};
pub use role::Role;
pub use section::{InsertError, insert_section};
pub use tensor::{Element, TENSOR_BYTES, Tensor, TensorSpec};
pub use writer::{Sink, WriteError, Writer};

#[cfg(test)]
mod tests;
