//! What can be wrong with a packed file, with the numbers that a person needs to act on it.
//!
//! The errors are small and `Copy`: a device can log them, a host tool wraps them with the file's name.

use core::fmt;

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
struct Kind([u8; 4]);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&b| {
            let shown = if b.is_ascii_graphic() { b as char } else { '?' };
            fmt::Write::write_char(f, shown)
        })
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort { need, have } => {
                write!(f, "file is cut short: {need} bytes needed, {have} present")
            }
            Self::Magic { found } => write!(f, "not a packed file: it begins with {found:02x?}"),
            Self::Version { found, supported } => {
                write!(
                    f,
                    "packed file of version {found}, this reader knows version {supported}: pack it again"
                )
            }
            Self::SectionCount { found, most } => write!(f, "section count is {found}, expected 1 to {most}"),
            Self::HeaderChecksum { recorded, computed } => {
                write!(f, "header is damaged: checksum {computed:08x}, recorded {recorded:08x}")
            }
            Self::Section { kind, field, found } => {
                write!(f, "section {}: {field} cannot be {found}", Kind(kind))
            }
            Self::SectionChecksum { kind, recorded, computed } => {
                write!(
                    f,
                    "section {} is damaged: checksum {computed:08x}, recorded {recorded:08x}",
                    Kind(kind)
                )
            }
            Self::MissingSection { kind } => write!(f, "section {} is missing", Kind(kind)),
            Self::UnknownSection { kind } => {
                write!(f, "section {} is needed and not known to this reader: use a newer one", Kind(kind))
            }
            Self::Meta => write!(f, "section META cannot be decoded"),
            Self::Config(error) => write!(f, "section META: {error}"),
            Self::Tensor { index, field, found, expected } => {
                write!(f, "tensor {index}: {field} is {found}, expected {expected}")
            }
            Self::MissingTensor { role } => write!(f, "tensor {role} is missing"),
            Self::UnexpectedTensor { role } => write!(f, "tensor {role} does not belong to such a model"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, found, least, most } = *self;
        write!(f, "{field} is {found}, expected {least} to {most}")
    }
}

impl core::error::Error for FormatError {}
impl core::error::Error for ConfigError {}
