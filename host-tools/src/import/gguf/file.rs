//! The head of a GGUF file: metadata and the directory of tensors.
//!
//! After the magic come a version, the numbers of tensors and of keys, the keys with their values, and for each tensor
//! its name, dimensions (the innermost first), type and offset. Tensors begin at the next multiple of the alignment.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::super::ggml::Blocks;
use super::super::tensor::{Dtype, Storage};
use super::metadata::Metadata;
use super::reader::Reader;

/// The first bytes of a file.
pub(in super::super) const MAGIC: &[u8] = b"GGUF";
/// Dimensions of a tensor at most.
const MAX_DIMENSIONS: u32 = 4;
/// What tensors are aligned to when the file does not say.
const ALIGNMENT: u32 = 32;

/// A tensor as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The outermost dimension first, as Hugging Face has it.
    pub shape: Vec<usize>,
    pub storage: Storage,
    /// Offset in the file; as many bytes as shape and storage need are there.
    pub offset: usize,
}

/// The head of a file, checked.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    pub version: u32,
    pub metadata: Metadata<'a>,
    pub tensors: BTreeMap<&'a str, Entry>,
}

/// Types of tensors that are read.
const TYPES: [(u32, Storage); 13] = [
    (0, Storage::Plain(Dtype::F32)),
    (1, Storage::Plain(Dtype::F16)),
    (30, Storage::Plain(Dtype::Bf16)),
    (2, Storage::Blocks(Blocks::Q4_0)),
    (3, Storage::Blocks(Blocks::Q4_1)),
    (6, Storage::Blocks(Blocks::Q5_0)),
    (7, Storage::Blocks(Blocks::Q5_1)),
    (8, Storage::Blocks(Blocks::Q8_0)),
    (10, Storage::Blocks(Blocks::Q2K)),
    (11, Storage::Blocks(Blocks::Q3K)),
    (12, Storage::Blocks(Blocks::Q4K)),
    (13, Storage::Blocks(Blocks::Q5K)),
    (14, Storage::Blocks(Blocks::Q6K)),
];

/// Names of the types that are known and not read.
const OTHER_TYPES: [(u32, &str); 20] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

fn storage(number: u32, name: &str) -> Result<Storage> {
    if let Some((_, storage)) = TYPES.iter().find(|(known, _)| *known == number) {
        return Ok(*storage);
    }
    let supported: Vec<_> = TYPES.iter().map(|(_, storage)| storage.name().to_uppercase()).collect();
    let other =
        OTHER_TYPES.iter().find(|(known, _)| *known == number).map_or("an unknown type", |(_, name)| name);
    bail!("tensor {name} is stored as {other} (type {number}); supported: {}", supported.join(", "))
}

impl<'a> Head<'a> {
    /// Reads the head of a file.
    ///
    /// # Errors
    /// The first thing found wrong, with its place.
    pub fn read(file: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(file, 0);
        let magic = reader.bytes(MAGIC.len() as u64, "the magic")?;
        ensure!(magic == MAGIC, "the file begins with {magic:02x?}; a GGUF file begins with {MAGIC:02x?}");
        let version = reader.u32("the version")?;
        ensure!(
            !(2..=3).contains(&version.swap_bytes()),
            "it is a GGUF file in big-endian byte order, which is not supported: convert it to little endian"
        );
        ensure!(
            (2..=3).contains(&version),
            "it is a GGUF file of version {version}; supported: 2 and 3: write it again with a tool of today"
        );
        let tensor_count = reader.u64("the number of tensors")?;
        let key_count = reader.u64("the number of keys")?;
        let metadata = Metadata::read(&mut reader, key_count)?;
        let alignment = metadata.count("general.alignment")?.unwrap_or(ALIGNMENT);
        ensure!(
            alignment > 0 && alignment.is_multiple_of(8),
            "GGUF: general.alignment = {alignment}, expected a multiple of 8"
        );

        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let (name, entry) = read_entry(&mut reader)?;
            ensure!(
                entry.offset.is_multiple_of(alignment as usize),
                "tensor {name} begins at {}, which is no multiple of the alignment {alignment}",
                entry.offset
            );
            ensure!(
                tensors.insert(name, entry).is_none(),
                "tensor {name} is there twice: the file is damaged"
            );
        }
        let data = reader.at().next_multiple_of(alignment as usize);
        for (name, entry) in &mut tensors {
            let end = entry.bytes().and_then(|bytes| data.checked_add(entry.offset)?.checked_add(bytes));
            ensure!(
                end.is_some_and(|end| end <= file.len()),
                "tensor {name} of shape {:?} ends at byte {}, the file has {}: it is cut short or damaged",
                entry.shape,
                end.map_or_else(|| "2^64".to_owned(), |end| end.to_string()),
                file.len()
            );
            entry.offset += data;
        }
        Ok(Self { version, metadata, tensors })
    }
}

impl Entry {
    /// Bytes of the whole tensor; `None` when they are more than a machine can address.
    pub fn bytes(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1usize, |count, &dimension| count.checked_mul(dimension))?;
        // No format has more than four bytes a number.
        count.checked_mul(4).map(|_| self.storage.bytes(count))
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Entry)> {
    let name = reader.text("a tensor's name")?;
    let count = reader.u32(name)?;
    ensure!(
        (1..=MAX_DIMENSIONS).contains(&count),
        "tensor {name} has {count} dimensions; expected 1 to {MAX_DIMENSIONS}: the file is damaged"
    );
    let mut shape = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let dimension = reader.u64(name)?;
        let known = usize::try_from(dimension).ok().filter(|&dimension| dimension > 0);
        shape.push(known.ok_or_else(|| anyhow!("tensor {name} has a dimension of {dimension}"))?);
    }
    let storage = storage(reader.u32(name)?, name)?;
    if let Storage::Blocks(blocks) = storage {
        ensure!(
            shape[0].is_multiple_of(blocks.weights()),
            "tensor {name} has rows of {}, which is no multiple of the {} weights of a block of {}",
            shape[0],
            blocks.weights(),
            blocks.name()
        );
    }
    let offset = reader.u64(name)?;
    let offset = usize::try_from(offset).with_context(|| format!("tensor {name} begins at {offset}"))?;
    shape.reverse();
    Ok((name, Entry { shape, storage, offset }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::gguf::{File, Tensor};

    fn some() -> File {
        let mut file = File::default();
        file.entries.text("general.architecture", "llama");
        file.f32("a", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let block = vec![1; Blocks::Q8_0.bytes()];
        file.tensors.push(Tensor { name: "b".into(), dimensions: vec![32, 1], kind: 8, data: block });
        file
    }

    #[test]
    fn both_versions_and_other_alignments_are_read() {
        for (version, alignment) in [(2, 32), (3, 32), (3, 8), (3, 4096)] {
            let mut file = File { version, alignment, ..some() };
            file.entries.u32("general.alignment", alignment as u32);
            let bytes = file.bytes();
            let head = Head::read(&bytes).unwrap();
            assert_eq!((head.version, head.metadata.keys().count()), (version, 2));
            let a = &head.tensors["a"];
            assert_eq!(
                (&a.shape[..], a.storage, a.bytes()),
                (&[2, 3][..], Storage::Plain(Dtype::F32), Some(24))
            );
            assert_eq!(bytes[a.offset + 4..a.offset + 8], 1.0f32.to_le_bytes());
            let b = &head.tensors["b"];
            assert_eq!(
                (&b.shape[..], b.storage, b.bytes()),
                (&[1, 32][..], Storage::Blocks(Blocks::Q8_0), Some(34))
            );
            assert_eq!(bytes[b.offset..], [1; 34]);
        }
    }

    #[track_caller]
    fn refused(file: &File, expected: &str) {
        let error = format!("{:#}", Head::read(&file.bytes()).unwrap_err());
        assert!(error.contains(expected), "expected {expected:?} in: {error}");
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = some().bytes();
        for end in 0..bytes.len() {
            let error = format!("{:#}", Head::read(&bytes[..end]).unwrap_err());
            assert!(error.contains("cut short or damaged"), "{end}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused(&File { version: 1, ..some() }, "version 1; supported: 2 and 3");
        refused(&File { version: 3u32.swap_bytes(), ..some() }, "big-endian");
        let with = |change: fn(&mut Tensor)| {
            let mut file = some();
            change(&mut file.tensors[1]);
            file
        };
        refused(
            &with(|tensor| tensor.kind = 16),
            "tensor b is stored as IQ2_XXS (type 16); supported: F32, F16, BF16",
        );
        refused(&with(|tensor| tensor.kind = 99), "an unknown type (type 99)");
        refused(&with(|tensor| tensor.dimensions = vec![]), "tensor b has 0 dimensions");
        refused(&with(|tensor| tensor.dimensions = vec![32; 5]), "tensor b has 5 dimensions");
        refused(&with(|tensor| tensor.dimensions = vec![32, 0]), "tensor b has a dimension of 0");
        refused(&with(|tensor| tensor.dimensions = vec![31]), "rows of 31");
        refused(&with(|tensor| tensor.dimensions = vec![32, 2]), "tensor b of shape [2, 32] ends at byte");
        refused(&with(|tensor| tensor.dimensions = vec![1 << 40, 1 << 40]), "ends at byte 2^64");
        refused(&with(|tensor| tensor.name = "a".into()), "tensor a is there twice");
        let mut file = some();
        file.entries.u32("general.alignment", 0);
        refused(&file, "general.alignment = 0");
        let mut bytes = some().bytes();
        let offset = bytes.windows(9).rposition(|window| window == [8, 0, 0, 0, 32, 0, 0, 0, 0]).unwrap() + 4;
        bytes[offset] = 33;
        assert!(Head::read(&bytes).unwrap_err().to_string().contains("begins at 33, which is no multiple"));
    }
}
