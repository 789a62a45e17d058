//! What can be wrong with a packed file, with the numbers that a person needs to act on it.
//!
//! The errors are small and `Copy`: a device can log them, a host tool wraps them with the file's name.

use core::fmt;

use crate::messages;

/// Why a byte string is not a packed file that this reader can use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FormatError {
    /// Fewer bytes than the header, the section table or the recorded file length need.
    TooShort {
        /// Bytes needed.
        need: u64,
        /// Bytes present.
        have: u64,
    },
    /// The first eight bytes are not [`MAGIC`](crate::MAGIC).
    Magic {
        /// The bytes found.
        found: [u8; 8],
    },
    /// Another major version.
    Version {
        /// The version found.
        found: u16,
        /// The version that this reader knows.
        supported: u16,
    },
    /// The number of sections is zero or more than [`MAX_SECTIONS`](crate::MAX_SECTIONS).
    SectionCount {
        /// The number found.
        found: u32,
        /// The most that is allowed.
        most: u32,
    },
    /// The header or the section table was changed after packing.
    HeaderChecksum {
        /// CRC-32 in the file.
        recorded: u32,
        /// CRC-32 of the bytes present.
        computed: u32,
    },
    /// A field of the section table has a value that cannot be.
    Section {
        /// The section's kind.
        kind: [u8; 4],
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// A section was changed after packing.
    SectionChecksum {
        /// The section's kind.
        kind: [u8; 4],
        /// CRC-32 in the section table.
        recorded: u32,
        /// CRC-32 of the bytes present.
        computed: u32,
    },
    /// A section that every model needs is absent.
    MissingSection {
        /// The section's kind.
        kind: [u8; 4],
    },
    /// A section that this reader does not know and that must not be skipped.
    UnknownSection {
        /// The section's kind.
        kind: [u8; 4],
    },
    /// `META` is not a postcard record of the known fields.
    Meta,
    /// `META` decodes, but describes an impossible model.
    Config(ConfigError),
    /// A field of the tensor table has a value that cannot be.
    Tensor {
        /// Position in the tensor table.
        index: u32,
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The value that the model's configuration asks for; for a range, its end.
        expected: u64,
    },
    /// A tensor that the model's configuration needs is absent.
    MissingTensor {
        /// Name of the tensor's role.
        role: &'static str,
    },
    /// A tensor that the model's configuration has no use for.
    UnexpectedTensor {
        /// Name of the tensor's role.
        role: &'static str,
    },
}

/// A number in the configuration that no model can have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub found: u64,
    /// Least value allowed.
    pub least: u64,
    /// Largest value allowed.
    pub most: u64,
}

impl From<ConfigError> for FormatError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// A section's kind as text, with what is not printable replaced.
#[derive(Clone, Copy)]
struct Kind([u8; 4]);

impl Kind {
    fn characters(self) -> [char; 4] {
        self.0.map(|b| if b.is_ascii_graphic() { b as char } else { '?' })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.characters().iter().try_for_each(|&shown| fmt::Write::write_char(f, shown))
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Kind {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [a, b, c, d] = self.characters();
        defmt::write!(f, "{=char}{=char}{=char}{=char}", a, b, c, d);
    }
}

/// Bytes in hexadecimal.
#[derive(Clone, Copy)]
struct Hexadecimal([u8; 8]);

impl fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Hexadecimal {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=[u8; 8]:02x}", self.0);
    }
}

messages!(FormatError {
    Self::TooShort { need, have } => ("file is cut short: {} bytes needed, {} present", need, have),
    Self::Magic { found } => ("not a packed file: it begins with {}", Hexadecimal(found)),
    Self::Version { found, supported } => (
        "packed file of version {}, this reader knows version {}: pack it again",
        found,
        supported,
    ),
    Self::SectionCount { found, most } => ("section count is {}, expected 1 to {}", found, most),
    Self::HeaderChecksum { recorded, computed } => (
        "header is damaged: checksum {:08x}, recorded {:08x}",
        computed,
        recorded,
    ),
    Self::Section { kind, field, found } => ("section {}: {} cannot be {}", Kind(kind), field, found),
    Self::SectionChecksum { kind, recorded, computed } => (
        "section {} is damaged: checksum {:08x}, recorded {:08x}",
        Kind(kind),
        computed,
        recorded,
    ),
    Self::MissingSection { kind } => ("section {} is missing", Kind(kind)),
    Self::UnknownSection { kind } => (
        "section {} is needed and not known to this reader: use a newer one",
        Kind(kind),
    ),
    Self::Meta => ("section META cannot be decoded"),
    Self::Config(error) => ("section META: {}", error),
    Self::Tensor { index, field, found, expected } => (
        "tensor {}: {} is {}, expected {}",
        index,
        field,
        found,
        expected,
    ),
    Self::MissingTensor { role } => ("tensor {} is missing", role),
    Self::UnexpectedTensor { role } => ("tensor {} does not belong to such a model", role),
});

messages!(ConfigError {
    Self { field, found, least, most } => ("{} is {}, expected {} to {}", field, found, least, most),
});

impl core::error::Error for FormatError {}
impl core::error::Error for ConfigError {}
