//! A model larger than what is mapped: its matrices are fetched while they are multiplied.
//!
//! What a pass reads all the time lies in memory: the head of the file, with the tokenizer, and the vectors. Matrices
//! stay where they are, in SPI flash, on a card, in a file, and come through a window of two halves: one is multiplied
//! while the other is read. A chunk of a prompt multiplies what was read for all of its tokens, so that a prompt costs
//! one reading of the model for each chunk. The numbers are the same bits as those of a mapped model, since a row's
//! product does not depend on the rows that are multiplied with it.

use core::cell::RefCell;

use sprat_format::streamed::{Extent, Vectors};
use sprat_format::{Checksum, FormatError, PackedFile, messages};

use crate::image::{Image, ImageError};
use crate::plan::ARENA_ALIGNMENT;

mod order;
mod plan;
mod rows;
mod source;
mod window;

pub use self::plan::StreamPlan;
pub(crate) use self::rows::Rows;
pub use self::source::{Blocking, Piece, Read, SourceError, SourceFault, WeightSource};
pub(crate) use self::window::Chunks;
use self::window::Window;

/// A model whose matrices are elsewhere, and the window through which they come.
///
/// Holding one guarantees what an [`Image`] does: the weights' checksum was compared when it was opened. What a source
/// reads later is not checked again.
pub struct StreamedImage<'m, 'w, S> {
    image: Image<'m>,
    plan: StreamPlan,
    window: RefCell<Window<'w, S>>,
}

/// Why a model cannot be streamed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StreamError {
    /// The source failed.
    Source(SourceError),
    /// What it reads is not a model that this runtime can run.
    Image(ImageError),
    /// The window is too small for the largest rows that are stored together, in each half.
    Window {
        /// Bytes needed.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// The memory for what is always there is too small.
    Memory {
        /// Bytes needed.
        need: u64,
        /// Bytes given.
        have: usize,
    },
    /// Window or memory do not begin at a multiple of 16.
    Misaligned {
        /// Bytes beyond the last multiple of the alignment.
        by: usize,
    },
}

messages!(StreamError {
    Self::Source(error) => ("{}", error),
    Self::Image(error) => ("{}", error),
    Self::Window { need, have } => ("the window has {} bytes, at least {} are needed", have, need),
    Self::Memory { need, have } => (
        "what stays in memory of a streamed model needs {} bytes, {} were given",
        need,
        have,
    ),
    Self::Misaligned { by } => (
        "window or memory begins {} bytes behind a multiple of {}: align it",
        by,
        ARENA_ALIGNMENT,
    ),
});

impl core::error::Error for StreamError {}

fn format(error: FormatError) -> StreamError {
    StreamError::Image(ImageError::Format(error))
}

impl<'m, 'w, S: WeightSource<'w>> StreamedImage<'m, 'w, S> {
    /// Opens the model with whose first byte `source` begins: reads what is always there into `memory`, and all of the
    /// weights once for their checksum. [`StreamPlan`] tells how large `memory` and `window` must be; both begin at a
    /// multiple of 16.
    ///
    /// # Errors
    /// A source that fails, a model that cannot be run, too little memory, with the numbers.
    pub fn open(source: S, window: &'w mut [u8], memory: &'m mut [u8]) -> Result<Self, StreamError> {
        for start in [window.as_ptr().addr(), memory.as_ptr().addr()] {
            match start % ARENA_ALIGNMENT {
                0 => {}
                by => return Err(StreamError::Misaligned { by }),
            }
        }
        let window_bytes = window.len();
        let mut window = Window::new(source, window)?;
        let extent = read_head(&mut window, memory)?;
        let have = memory.len();
        let head = PackedFile::parse_head(memory).map_err(format)?;
        let need = head.resident_bytes();
        if need > have as u64 {
            return Err(StreamError::Memory { need, have });
        }
        let mut vectors = Vectors::of(&head);
        while let Some((from, to)) = vectors.move_next(memory) {
            let vector = memory.get_mut(to).ok_or(StreamError::Memory { need, have })?;
            window.copy(from, vector).map_err(StreamError::Source)?;
        }
        let image = Image::check(memory, PackedFile::parse_moved).map_err(StreamError::Image)?;
        let plan = StreamPlan::new(image.file(), window_bytes)?;
        let mut checksum = Checksum::new();
        window.each_piece(extent.data(), |bytes| checksum.update(bytes)).map_err(StreamError::Source)?;
        extent.verify(&checksum).map_err(format)?;
        Ok(Self { image, plan, window: RefCell::new(window) })
    }

    /// The model.
    pub fn image(&self) -> &Image<'m> {
        &self.image
    }

    /// What is where.
    pub fn plan(&self) -> &StreamPlan {
        &self.plan
    }

    /// Gives the source back.
    pub fn into_source(self) -> S {
        self.window.into_inner().into_source()
    }
}

/// Reads all that stands before the weights: header, section table, and the rest.
fn read_head<'w, S: WeightSource<'w>>(
    window: &mut Window<'w, S>,
    memory: &mut [u8],
) -> Result<Extent, StreamError> {
    let header = Extent::HEADER_BYTES;
    read_part(window, memory, 0, header as u64)?;
    // A header that cannot be is refused below.
    let table = Extent::table_bytes(memory).unwrap_or(header);
    read_part(window, memory, header, table as u64)?;
    let extent = Extent::of(memory.get(..table).unwrap_or_default()).map_err(format)?;
    read_part(window, memory, table, extent.data().start)?;
    Ok(extent)
}

/// Reads the file's bytes from `from` to `to` to the same place in memory.
fn read_part<'w, S: WeightSource<'w>>(
    window: &mut Window<'w, S>,
    memory: &mut [u8],
    from: usize,
    to: u64,
) -> Result<(), StreamError> {
    let have = memory.len();
    let part = usize::try_from(to).ok().and_then(|to| memory.get_mut(from.min(to)..to));
    let part = part.ok_or(StreamError::Memory { need: to, have })?;
    window.copy(from as u64, part).map_err(StreamError::Source)
}
