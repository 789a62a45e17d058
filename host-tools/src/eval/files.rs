//! The files behind an evaluation, with checksums, so that a report can be traced to what it measured.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A file and its checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSum {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The checksum of a file, or of all files directly in a directory, by name.
///
/// # Errors
/// One cannot be read.
pub(super) fn sums(path: &Path) -> Result<Vec<FileSum>> {
    let what = || format!("cannot read {}", path.display());
    if !path.is_dir() {
        return Ok(vec![sum(path).with_context(what)?]);
    }
    let entries = std::fs::read_dir(path).with_context(what)?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries.collect::<std::io::Result<_>>().with_context(what)?;
    files.retain(|file| file.is_file());
    files.sort_unstable();
    files.iter().map(|file| sum(file).with_context(|| format!("cannot read {}", file.display()))).collect()
}

fn sum(path: &Path) -> Result<FileSum> {
    let mut hasher = Sha256::new();
    let bytes = std::io::copy(&mut File::open(path)?, &mut Hashing(&mut hasher))?;
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileSum { path: path.display().to_string(), bytes, sha256 })
}

/// A hash as something to write to.
struct Hashing<'h>(&'h mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_have_known_sums() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        let found = sums(&path).unwrap();
        // FIPS 180-4's example.
        assert_eq!(found[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(found[0].bytes, 3);
        assert_eq!(sums(directory.path()).unwrap(), found);
        assert!(sums(&directory.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
