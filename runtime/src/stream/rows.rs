//! Rows of a matrix that is elsewhere: where their bytes lie, and what they are once they are here.

use core::ops::Range;

use sprat_format::streamed::Place;
use sprat_format::{Element, Tensor};

use super::source::Piece;
use crate::kernels::Q8;
use crate::weights::Matrix;

/// Some rows of a matrix in a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    place: Place,
    /// The first of them, a multiple of [`unit`](Self::unit).
    first: usize,
    count: usize,
}

impl Rows {
    /// All rows.
    pub(crate) fn new(place: Place) -> Self {
        Self { place, first: 0, count: place.rows as usize }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Inputs.
    pub(crate) fn cols(&self) -> usize {
        self.place.cols as usize
    }

    /// Outputs.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Rows that are stored together.
    pub(crate) fn unit(&self) -> usize {
        self.place.layout.padded_rows(1) as usize
    }

    /// Bytes of values and of scales of one stored row.
    fn row_bytes(&self) -> [usize; 2] {
        let Place { element, cols, .. } = self.place;
        [element.value_bytes(1, cols) as usize, element.scale_bytes(1, cols) as usize]
    }

    /// Bytes of the rows that are stored together.
    pub(crate) fn unit_bytes(&self) -> usize {
        let [values, scales] = self.row_bytes();
        self.unit() * (values + scales)
    }

    /// Some of these rows, the first a multiple of those that are stored together.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        Self { first: self.first + rows.start, count: rows.len(), ..*self }
    }

    /// As many rows, or fewer at the end, that follow these in the matrix; `None` at its end.
    pub(crate) fn behind(&self) -> Option<Self> {
        let first = self.first + self.count;
        let left = (self.place.rows as usize).checked_sub(first).filter(|&left| left > 0)?;
        Some(Self { first, count: self.count.min(left), ..*self })
    }

    /// The first rows, as many as fit into so many bytes.
    pub(crate) fn fitting(&self, bytes: usize) -> Self {
        let most = bytes / self.unit_bytes().max(1) * self.unit();
        self.part(0..self.count.min(most))
    }

    /// Where values and scales lie.
    pub(crate) fn pieces(&self) -> [Piece; 2] {
        let Place { values_at, scales_at, .. } = self.place;
        let stored = self.count.next_multiple_of(self.unit());
        let [values, scales] = self.row_bytes();
        let piece = |at, row: usize| Piece { offset: at + (self.first * row) as u64, bytes: stored * row };
        [piece(values_at, values), piece(scales_at, scales)]
    }

    /// The rows as a matrix, from the bytes that were read.
    pub(crate) fn matrix<'b>(&self, bytes: &'b [u8]) -> Option<Matrix<'b>> {
        let [values, scales] = self.pieces().map(|piece| piece.bytes);
        let (values, rest) = bytes.split_at_checked(values)?;
        let Place { cols, element, layout, .. } = self.place;
        let scales = rest.get(..scales)?;
        Matrix::new(Tensor { rows: self.count as u32, cols, element, layout, values, scales })
    }

    /// What a q8 matrix wants of its input, if it is one. There are no values in it.
    pub(crate) fn q8(&self) -> Option<Q8<'static>> {
        let Place { element, layout, cols, .. } = self.place;
        let Element::Q8 { group } = element else { return None };
        let stride = element.padded_cols(cols) as usize;
        Some(Q8 { values: &[], scales: &[], rows: self.count, group: group.into(), stride, layout })
    }
}
