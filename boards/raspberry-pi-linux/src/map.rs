//! The packed file as memory, and memory for the arena.
//!
//! A map costs no copy: pages of weights come from the card when they are first used, are shared by all programs that
//! use the same file, and are given up first when memory is short.
#![allow(unsafe_code)] // Mapping a file is unsafe in Rust: see the note at the block.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Mmap, MmapMut};

/// A file's bytes, read-only.
///
/// # Errors
/// The file cannot be opened, is no file, or is empty.
pub(crate) fn file(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if !metadata.is_file() {
        return wrong("it is not a file");
    }
    if metadata.len() == 0 {
        return wrong("it is empty (0 bytes), a packed model was expected: copy it again");
    }
    // SAFETY: the map is private and read-only. The one hazard is another process that truncates or rewrites the file
    // while it is mapped: a packed model is a finished file, which the tools write under another name and rename, and the
    // README says to replace it in that way.
    unsafe { Mmap::map(&file) }
}

/// Zeros that begin at a page.
///
/// # Errors
/// The system has no such amount of memory.
pub(crate) fn zeros(bytes: usize) -> io::Result<MmapMut> {
    MmapMut::map_anon(bytes.max(1))
}
