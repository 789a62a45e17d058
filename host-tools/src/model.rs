//! A model ready to run: a packed file, or a checkpoint packed in memory without rounding.
//!
//! Whatever the user points at, it is run by the device's code. A packed file is used in place from a memory map,
//! as a device uses it from flash.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use sprat::{Engine, Image, ImageError, Kernels, Plan, Team};
use sprat_format::Limits;

use crate::import::{Checkpoint, OpenOptions};
use crate::map::{MappedFile, PageBuffer};
use crate::pack::{self, PackOptions};

/// Tokens of a prompt for each pass over the weights on this machine, whatever a device's file says: the numbers are
/// the same, and memory is no matter here.
pub const HOST_PREFILL_CHUNK: u32 = 64;

/// The bytes of a packed model.
#[derive(Debug)]
pub struct Model {
    bytes: Bytes,
    path: String,
}

#[derive(Debug)]
enum Bytes {
    File(MappedFile),
    Memory(PageBuffer),
}

/// Whether a path leads to a packed file, judging by its first bytes.
pub fn is_packed(path: &Path) -> bool {
    path.is_file() && MappedFile::open(path).is_ok_and(|file| file.starts_with(&sprat_format::MAGIC))
}

impl Model {
    /// Opens a packed file as it is, and a checkpoint in single precision.
    ///
    /// # Errors
    /// Neither can be read.
    pub fn open(path: &Path, options: &OpenOptions, progress: &ProgressBar) -> Result<Self> {
        let bytes = if is_packed(path) {
            Bytes::File(MappedFile::open(path)?)
        } else {
            let checkpoint = Checkpoint::open(path, options)?;
            Bytes::Memory(pack::to_memory(&checkpoint, &PackOptions::exact(), progress)?)
        };
        Ok(Self { bytes, path: path.display().to_string() })
    }

    /// Opens a packed file.
    ///
    /// # Errors
    /// It cannot be read, or is a checkpoint or something else.
    pub fn open_packed(path: &Path) -> Result<Self> {
        ensure!(
            !path.exists() || is_packed(path),
            "{} is no packed file, and one is expected here: pack it first (sprat pack {0} -o OUT.sprat)",
            path.display()
        );
        Ok(Self { bytes: Bytes::File(MappedFile::open(path)?), path: path.display().to_string() })
    }

    /// A model that was packed in memory, under a name for messages.
    pub fn from_memory(bytes: PageBuffer, name: &str) -> Self {
        Self { bytes: Bytes::Memory(bytes), path: name.to_owned() }
    }

    /// Where it came from.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it was a packed file.
    pub fn was_packed(&self) -> bool {
        matches!(self.bytes, Bytes::File(_))
    }

    /// The packed file's bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::File(file) => file,
            Bytes::Memory(buffer) => buffer,
        }
    }

    /// Checks the file and gives access to it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn image(&self) -> Result<Image<'_>> {
        self.usable(Image::new(self.bytes()))
    }

    /// The same for a file of which no weight is needed: no more of it is held in memory than is looked at.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn image_without_weights(&self) -> Result<Image<'_>> {
        match &self.bytes {
            Bytes::File(file) => self.usable(Image::with_checksum(file, |part| file.checksum(part))),
            Bytes::Memory(_) => self.image(),
        }
    }

    fn usable<'m>(&self, image: Result<Image<'m>, ImageError>) -> Result<Image<'m>> {
        image.map_err(|error| anyhow!("{error}")).with_context(|| {
            format!("{} cannot be used: if it was copied, copy it again, else pack it again", self.path)
        })
    }
}

/// Limits for running on this machine: a prompt goes through in long chunks, whatever was packed for a device.
pub fn host_limits(limits: &Limits) -> Limits {
    Limits { prefill_chunk: limits.prefill_chunk.max(HOST_PREFILL_CHUNK), ..*limits }
}

/// Memory for a model under given limits, for a team.
///
/// # Errors
/// Impossible limits, or no such memory.
pub fn arena_for(image: &Image<'_>, limits: &Limits, team: &dyn Team) -> Result<PageBuffer> {
    let plan = Plan::for_team(image.config(), limits, team.size()).map_err(|error| anyhow!("{error}"))?;
    PageBuffer::zeroed(plan.arena_bytes)
}

/// A model at work in an arena.
///
/// # Errors
/// As [`Engine::with_team`].
pub fn engine<'i, 'm, 'a>(
    image: &'i Image<'m>,
    limits: Limits,
    arena: &'a mut [u8],
    kernels: &'static Kernels,
    team: &'a dyn Team,
) -> Result<Engine<'i, 'm, 'a>> {
    Engine::with_team(image, limits, arena, kernels, team).map_err(|error| anyhow!("{error}"))
}

/// The kernels of a name, or the best ones of this machine.
///
/// # Errors
/// A name that this build or machine does not have, with those that it has.
pub fn kernels(name: Option<&str>) -> Result<&'static Kernels> {
    let Some(name) = name else { return Ok(Kernels::detect()) };
    Kernels::by_name(name).ok_or_else(|| {
        let all: Vec<_> = Kernels::available().map(Kernels::name).collect();
        anyhow!("this machine has no kernels {name:?}; it has {}", all.join(", "))
    })
}
