//! Bytes of files and large buffers as memory maps.
//!
//! A checkpoint may be larger than the machine's memory, so its tensors are read through a map, one at a time.
//! Packed models and arenas are aligned like a page, which serves every load that the runtime makes.
#![allow(unsafe_code)] // Mapping a file is unsafe in Rust: see the notes at the blocks.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut, Range};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use memmap2::{Mmap, MmapMut};

/// A file's bytes, read-only.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// The file cannot be opened, is a directory, or is empty.
    pub fn open(path: &Path) -> Result<Self> {
        let what = || format!("cannot read {}", path.display());
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                anyhow!("cannot read {}: there is no such file; check the path", path.display())
            }
            _ => anyhow::Error::new(error).context(what()),
        })?;
        let metadata = file.metadata().with_context(what)?;
        ensure!(metadata.is_file(), "{} is not a file", path.display());
        ensure!(
            metadata.len() > 0,
            "{} is empty (0 bytes), expected a whole file: copy or download it again",
            path.display()
        );
        // SAFETY: the map is private and read-only. The one hazard is another process that truncates or
        // rewrites the file while it is mapped: a checkpoint is a finished file, and the tools write their own
        // output under a temporary name and rename it, so they never change a file that someone has mapped.
        let map = unsafe { Mmap::map(&file) }.with_context(what)?;
        Ok(Self(map))
    }

    /// CRC-32 of a part of the file, of which no more than a piece is in memory at once.
    ///
    /// # Panics
    /// When `part` is not within the map.
    pub fn checksum(&self, part: &[u8]) -> u32 {
        const PIECE: usize = 4 << 20;
        let mut at = part.as_ptr().addr() - self.0.as_ptr().addr();
        let mut checksum = crc32fast::Hasher::new();
        for piece in part.chunks(PIECE) {
            checksum.update(piece);
            self.release(at..at + piece.len());
            at += piece.len();
        }
        checksum.finalize()
    }

    /// Whether two ranges hold the same bytes, of which no more than a piece is in memory at once.
    ///
    /// # Panics
    /// When a range is not within its file.
    pub fn equal(one: (&Self, Range<usize>), other: (&Self, Range<usize>)) -> bool {
        const PIECE: usize = 1 << 20;
        let length = one.1.len();
        length == other.1.len()
            && (0..length).step_by(PIECE).all(|from| {
                let parts = [&one, &other].map(|(file, range)| {
                    (file, range.start + from..range.end.min(range.start + from + PIECE))
                });
                let same = parts[0].0[parts[0].1.clone()] == parts[1].0[parts[1].1.clone()];
                parts.into_iter().for_each(|(file, part)| file.release(part));
                same
            })
    }

    /// Lets go of the memory that holds a range; whoever reads it again gets it from the file again. Systems that
    /// have no such thing keep it until they need the memory.
    ///
    /// # Panics
    /// When the range is not within the file.
    pub fn release(&self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.0.len(), "a range of the file");
        #[cfg(unix)]
        if !range.is_empty() {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is shared and read-only, so that dropped pages come back from the file with the same
            // bytes (see `open` for who may change the file): no reference into the map sees another value. A system
            // that refuses keeps the pages, which is as good.
            let _ = unsafe { self.0.unchecked_advise_range(advice, range.start, range.len()) };
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Zeroed memory that begins at a page: an arena, or a model packed in memory.
#[derive(Debug)]
pub struct PageBuffer(MmapMut);

impl PageBuffer {
    /// `bytes` zeros.
    ///
    /// # Errors
    /// The system has no such amount of memory.
    pub fn zeroed(bytes: usize) -> Result<Self> {
        let map = MmapMut::map_anon(bytes.max(1)).with_context(|| format!("no memory for {bytes} bytes"))?;
        // Large pages spare the processor most of its address translation; a system that has none to give, or was told
        // not to, gives small ones.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// The system has no such amount of memory.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut buffer = Self::zeroed(bytes.len())?;
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(buffer)
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
