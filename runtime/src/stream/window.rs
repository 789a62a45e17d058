//! Two halves of memory between a source and the kernels: one is read while the other is multiplied.

use core::ops::Range;

use sprat_format::PackedFile;

use super::order::following;
use super::source::{Piece, Read, SourceError, SourceFault, WeightSource};
use super::{Rows, StreamError, StreamedImage};
use crate::plan::ARENA_ALIGNMENT;
use crate::weights::Matrix;

/// The least of a half, with which a header can be read.
pub(super) const LEAST_HALF: usize = 64;

/// What layers see of a source: rows, a window's half at a time.
///
/// A source that fails lets a pass go on without numbers, to its end. Whoever began the pass asks for the failure then.
pub(crate) trait Chunks {
    /// Calls `each` with some of the rows, by number, and what they are, until all were there.
    fn each(&self, rows: &Rows, each: &mut dyn FnMut(Range<usize>, &Matrix<'_>));

    /// Writes one row as `f32`.
    fn row(&self, rows: &Rows, row: usize, out: &mut [f32]);

    /// How the source failed since it was [forgiven](Self::forgive).
    fn failure(&self) -> Option<SourceError>;

    /// Asks the source again from now on.
    fn forgive(&self);
}

/// A source and the memory between it and the kernels.
pub(super) struct Window<'w, S> {
    source: S,
    /// Each is with the source while it is read; never both.
    halves: [&'w mut [u8]; 2],
    half_bytes: usize,
    ahead: Option<Ahead>,
    failure: Option<SourceError>,
}

/// What was read, or is being read, before it was asked for.
#[derive(Clone, Copy)]
struct Ahead {
    pieces: [Piece; 2],
    half: usize,
    is_being_read: bool,
}

impl<'w, S: WeightSource<'w>> Window<'w, S> {
    /// Cuts the memory, which begins at a multiple of [`ARENA_ALIGNMENT`].
    ///
    /// # Errors
    /// It is too small for anything.
    pub(super) fn new(source: S, memory: &'w mut [u8]) -> Result<Self, StreamError> {
        let have = memory.len();
        let half_bytes = have / 2 / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
        if half_bytes < LEAST_HALF {
            return Err(StreamError::Window { need: 2 * LEAST_HALF, have });
        }
        let (first, second) = memory.split_at_mut(half_bytes);
        let halves = [first, &mut second[..half_bytes]];
        Ok(Self { source, halves, half_bytes, ahead: None, failure: None })
    }

    pub(super) fn into_source(mut self) -> S {
        self.settle();
        self.source
    }

    fn begin(&mut self, pieces: [Piece; 2], half: usize) {
        let buffer = core::mem::take(&mut self.halves[half]);
        self.source.begin(Read { pieces, buffer });
    }

    fn wait(&mut self, half: usize) -> Result<(), SourceError> {
        let (buffer, result) = self.source.wait();
        self.halves[half] = buffer;
        result
    }

    /// Waits for what is being read ahead. What failed is read again when it is asked for.
    fn settle(&mut self) {
        let Some(Ahead { half, is_being_read: true, pieces }) = self.ahead else { return };
        let read = self.wait(half).is_ok();
        self.ahead = read.then_some(Ahead { pieces, half, is_being_read: false });
    }

    /// A half that does not hold what was read ahead.
    fn free_half(&self) -> usize {
        self.ahead.map_or(0, |ahead| 1 - ahead.half)
    }

    /// Reads ahead, into a half of which nothing is in use.
    fn begin_ahead(&mut self, pieces: [Piece; 2], half: usize) {
        self.ahead = Some(Ahead { pieces, half, is_being_read: true });
        self.begin(pieces, half);
    }

    /// Brings pieces into a half, whose number it returns, unless they are there. Nothing is read ahead then.
    fn bring(&mut self, pieces: [Piece; 2]) -> Result<usize, SourceError> {
        self.settle();
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.pieces == pieces) {
            return Ok(ahead.half);
        }
        let half = self.free_half();
        self.begin(pieces, half);
        self.wait(half)?;
        self.ahead = None;
        Ok(half)
    }

    /// Calls `each` with the source's bytes in a range, piece by piece, reading the next meanwhile.
    pub(super) fn each_piece(
        &mut self,
        range: Range<u64>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), SourceError> {
        let half_bytes = self.half_bytes as u64;
        let piece_at = |offset: u64| {
            let left = range.end.saturating_sub(offset).min(half_bytes);
            [Piece { offset, bytes: left as usize }, Piece::default()]
        };
        let mut pieces = piece_at(range.start);
        while pieces[0].bytes > 0 {
            let half = self.bring(pieces)?;
            let next = piece_at(pieces[0].offset.saturating_add(half_bytes));
            if next[0].bytes > 0 {
                self.begin_ahead(next, 1 - half);
            }
            each(self.halves[half].get(..pieces[0].bytes).unwrap_or_default());
            pieces = next;
        }
        Ok(())
    }

    /// Copies the source's bytes from an offset on.
    pub(super) fn copy(&mut self, from: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let mut done = 0;
        self.each_piece(from..from.saturating_add(out.len() as u64), |bytes| {
            if let Some(place) = out.get_mut(done..done + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            done += bytes.len();
        })
    }

    /// Calls `each` with all of the rows, as many at a time as a half holds.
    fn each_chunk(
        &mut self,
        file: &PackedFile<'_>,
        rows: &Rows,
        each: &mut dyn FnMut(Range<usize>, &Matrix<'_>),
    ) -> Result<(), SourceError> {
        let mut done = 0;
        while done < rows.count() {
            let chunk = rows.part(done..rows.count()).fitting(self.half_bytes);
            let pieces = chunk.pieces();
            let [Piece { offset, bytes }, _] = pieces;
            let half = self.bring(pieces)?;
            let own = done..done + chunk.count();
            done = own.end;
            let next = match done < rows.count() {
                true => Some(rows.part(done..rows.count())),
                false => following(file, rows),
            };
            if let Some(next) = next {
                self.begin_ahead(next.fitting(self.half_bytes).pieces(), 1 - half);
            }
            // The plan has made sure that a half holds rows, and its alignment that they can be used in place.
            let unusable = SourceError { offset, bytes, fault: SourceFault::Unaligned };
            let matrix = chunk.matrix(self.halves[half]).filter(|_| !own.is_empty()).ok_or(unusable)?;
            each(own, &matrix);
        }
        Ok(())
    }

    fn one_row(&mut self, rows: &Rows, row: usize, out: &mut [f32]) -> Result<(), SourceError> {
        let unit = rows.unit();
        let first = row / unit * unit;
        if row >= rows.count() {
            return Ok(());
        }
        let stored = rows.part(first..rows.count().min(first + unit));
        let pieces = stored.pieces();
        self.settle();
        // What is read ahead stays, in the other half.
        let half = self.free_half();
        self.begin(pieces, half);
        self.wait(half)?;
        let [Piece { offset, bytes }, _] = pieces;
        let unusable = SourceError { offset, bytes, fault: SourceFault::Unaligned };
        stored.matrix(self.halves[half]).ok_or(unusable)?.row(row - first, out);
        Ok(())
    }

    /// Does something unless the source has failed, and keeps how it fails.
    fn attempt(&mut self, action: impl FnOnce(&mut Self) -> Result<(), SourceError>) {
        if self.failure.is_none() {
            self.failure = action(self).err();
        }
    }
}

// Nothing that is called while the window is borrowed comes back to it.
impl<'w, S: WeightSource<'w>> Chunks for StreamedImage<'_, 'w, S> {
    fn each(&self, rows: &Rows, each: &mut dyn FnMut(Range<usize>, &Matrix<'_>)) {
        let file = self.image.file();
        self.window.borrow_mut().attempt(|window| window.each_chunk(file, rows, each));
    }

    fn row(&self, rows: &Rows, row: usize, out: &mut [f32]) {
        self.window.borrow_mut().attempt(|window| window.one_row(rows, row, out));
    }

    fn failure(&self) -> Option<SourceError> {
        self.window.borrow().failure
    }

    fn forgive(&self) {
        self.window.borrow_mut().failure = None;
    }
}
