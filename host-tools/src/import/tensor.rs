//! A tensor of a checkpoint: where its numbers lie, and how they become a matrix of `f32`.
//!
//! Checkpoints store matrices transposed, fused, in half precision or in blocks of a few bits. Each is described as a
//! strided view of a range of a mapped file, so that nothing is read before it is wanted, and no more of it than the
//! rows that are wanted.

use std::ops::Range;

use half::f16;

use super::ggml::Blocks;

/// Type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
}

impl Dtype {
    /// Name as listings give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// One after the other.
    Plain(Dtype),
    /// In ggml's blocks.
    Blocks(Blocks),
    /// Signed bytes, all of them, then an `f32` scale for each `group` of them (llama2.c version 2).
    Groups {
        /// Numbers that share a scale.
        group: usize,
    },
}

impl Storage {
    /// Bytes of `count` numbers, which are whole blocks or groups.
    pub const fn bytes(self, count: usize) -> usize {
        match self {
            Self::Plain(Dtype::F32) => count * 4,
            Self::Plain(Dtype::F16 | Dtype::Bf16) => count * 2,
            Self::Blocks(blocks) => count / blocks.weights() * blocks.bytes(),
            Self::Groups { group } => count + count / group * 4,
        }
    }

    /// Name as listings give it.
    pub fn name(self) -> String {
        match self {
            Self::Plain(dtype) => dtype.name().into(),
            Self::Blocks(blocks) => blocks.name().into(),
            Self::Groups { group } => format!("i8/{group}"),
        }
    }

    /// Appends the numbers of `range` out of the little-endian `bytes` of a whole tensor.
    fn read(self, bytes: &[u8], range: Range<usize>, out: &mut Vec<f32>) {
        match self {
            Self::Plain(Dtype::F32) => {
                out.extend(bytes.as_chunks().0[range].iter().map(|&b| f32::from_le_bytes(b)))
            }
            Self::Plain(Dtype::F16) => {
                out.extend(bytes.as_chunks().0[range].iter().map(|&b| f16::from_le_bytes(b).to_f32()))
            }
            Self::Plain(Dtype::Bf16) => out.extend(
                bytes.as_chunks().0[range]
                    .iter()
                    .map(|&b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            ),
            Self::Blocks(blocks) => {
                let (weights, size) = (blocks.weights(), blocks.bytes());
                let (first, end) = (range.start / weights, range.end.div_ceil(weights));
                let from = out.len();
                out.resize(from + (end - first) * weights, 0.0);
                let stored = bytes[first * size..end * size].chunks_exact(size);
                for (block, out) in stored.zip(out[from..].chunks_exact_mut(weights)) {
                    blocks.decode(block, out);
                }
                // A range may begin and end within a block.
                out.drain(from..from + range.start - first * weights);
                out.truncate(from + range.len());
            }
            Self::Groups { group } => {
                // The bytes are those of the numbers and a scale of 4 bytes for each group.
                let count = bytes.len() / (group + 4) * group;
                let (values, scales) = bytes.split_at(count);
                let scales = scales.as_chunks().0;
                out.extend(
                    range.map(|at| f32::from(values[at] as i8) * f32::from_le_bytes(scales[at / group])),
                );
            }
        }
    }
}

/// What lies in runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunsOf {
    /// The rows of a matrix.
    Rows,
    /// The elements of a vector.
    Elements,
}

/// Outputs that lie in runs: `count` side by side, the next run `stride` elements behind the beginning of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    pub of: RunsOf,
    pub count: usize,
    pub stride: usize,
}

/// A matrix of `rows` x `cols` within a stored tensor; all numbers count elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    pub rows: usize,
    pub cols: usize,
    pub start: usize,
    pub row_stride: usize,
    pub col_stride: usize,
    /// The runs in which the outputs lie; `None` for a single one.
    pub runs: Option<Runs>,
    /// Added to every number.
    pub plus: f32,
}

impl View {
    /// The whole of a tensor that is stored as `rows` x `cols`.
    pub const fn whole(rows: usize, cols: usize) -> Self {
        Self { rows, cols, start: 0, row_stride: cols, col_stride: 1, runs: None, plus: 0.0 }
    }

    /// `outputs` columns from column `first` of a tensor that is stored as inputs x `stored_outputs`.
    pub const fn transposed(inputs: usize, stored_outputs: usize, first: usize, outputs: usize) -> Self {
        let strides = Self { row_stride: 1, col_stride: stored_outputs, ..Self::whole(outputs, inputs) };
        Self { start: first, ..strides }
    }

    /// `count` numbers from `first` of a vector.
    pub const fn slice(first: usize, count: usize) -> Self {
        Self { start: first, ..Self::whole(1, count) }
    }

    /// `rows` rows in so many runs, the first beginning at row `first`, of a tensor of `stored_rows`, which are dealt out
    /// to the runs evenly.
    pub const fn rows_in_runs(
        rows: usize,
        cols: usize,
        first: usize,
        runs: usize,
        stored_rows: usize,
    ) -> Self {
        let runs = Runs { of: RunsOf::Rows, count: rows / runs, stride: stored_rows / runs * cols };
        Self { start: first * cols, runs: Some(runs), ..Self::whole(rows, cols) }
    }

    /// The same for a vector.
    pub const fn slice_in_runs(count: usize, first: usize, runs: usize, stored: usize) -> Self {
        let runs = Runs { of: RunsOf::Elements, count: count / runs, stride: stored / runs };
        Self { runs: Some(runs), ..Self::slice(first, count) }
    }

    /// Reads some rows of the view out of the little-endian `bytes` of the whole stored tensor, row by row.
    pub fn read(self, storage: Storage, bytes: &[u8], rows: Range<usize>) -> Vec<f32> {
        let mut out = self.read_stored(storage, bytes, rows);
        if self.plus != 0.0 {
            out.iter_mut().for_each(|value| *value += self.plus);
        }
        out
    }

    /// The same before anything is added.
    fn read_stored(self, storage: Storage, bytes: &[u8], rows: Range<usize>) -> Vec<f32> {
        let Self { cols, start, row_stride, col_stride, .. } = self;
        let mut out = Vec::with_capacity(rows.len() * cols);
        if let Some(Runs { of, count, stride }) = self.runs {
            let run = |number: usize| start + number * stride;
            for row in rows {
                match of {
                    RunsOf::Rows => {
                        let at = run(row / count) + row % count * row_stride;
                        storage.read(bytes, at..at + cols, &mut out);
                    }
                    RunsOf::Elements => (0..cols / count)
                        .for_each(|number| storage.read(bytes, run(number)..run(number) + count, &mut out)),
                }
            }
            return out;
        }
        let at = |row: usize| start + row * row_stride;
        if col_stride == 1 && row_stride == cols {
            storage.read(bytes, at(rows.start)..at(rows.end), &mut out);
        } else if col_stride == 1 {
            rows.for_each(|row| storage.read(bytes, at(row)..at(row) + cols, &mut out));
        } else if row_stride == 1 {
            // The numbers of a column lie side by side: read them so, and put them where they belong.
            out.resize(rows.len() * cols, 0.0);
            let mut column = Vec::with_capacity(rows.len());
            for col in 0..cols {
                column.clear();
                let first = at(rows.start) + col * col_stride;
                storage.read(bytes, first..first + rows.len(), &mut column);
                column.iter().enumerate().for_each(|(row, &value)| out[row * cols + col] = value);
            }
        } else {
            for row in rows {
                for index in (0..cols).map(|col| at(row) + col * col_stride) {
                    storage.read(bytes, index..index + 1, &mut out);
                }
            }
        }
        out
    }
}

/// Where the numbers of a tensor come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A view of the bytes `offset..offset + bytes` of a mapped file.
    Mapped { file: usize, offset: usize, bytes: usize, storage: Storage, view: View },
    /// Computed while importing (rotary frequencies): one row.
    Computed(Vec<f32>),
}

/// One tensor of a checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its name in the checkpoint.
    pub name: String,
    pub source: Source,
}

impl Stored {
    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        match &self.source {
            Source::Mapped { view, .. } => (view.rows, view.cols),
            Source::Computed(values) => (1, values.len()),
        }
    }

    /// How it is stored in the checkpoint.
    pub fn storage(&self) -> Storage {
        match &self.source {
            Source::Mapped { storage, .. } => *storage,
            Source::Computed(_) => Storage::Plain(Dtype::F32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Storage = Storage::Plain(Dtype::F32);

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn a_fused_transposed_matrix_is_cut_out() {
        // Stored 2 inputs x 3 outputs; outputs 1 and 2 are wanted as rows.
        let stored = bytes(&[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        let view = View::transposed(2, 3, 1, 2);
        let read = |view: View| view.read(PLAIN, &stored, 0..view.rows);
        assert_eq!(read(view), [1.0, 11.0, 2.0, 12.0]);
        assert_eq!(read(View::slice(4, 2)), [11.0, 12.0]);
        assert_eq!(read(View::whole(2, 3)), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
    }

    #[test]
    fn half_precisions_are_exact() {
        let view = View::whole(1, 2);
        let half: Vec<u8> = [1.5f32, -65504.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(view.read(Storage::Plain(Dtype::F16), &half, 0..1), [1.5, -65504.0]);
        let brain: Vec<u8> =
            [1.5f32, -3e38].iter().flat_map(|&v| v.to_bits().to_le_bytes()[2..].to_vec()).collect();
        assert_eq!(view.read(Storage::Plain(Dtype::Bf16), &brain, 0..1)[0], 1.5);
        assert!((view.read(Storage::Plain(Dtype::Bf16), &brain, 0..1)[1] / -3e38 - 1.0).abs() < 0.01);
    }

    #[test]
    fn any_rows_of_any_view_are_those_of_the_whole() {
        let stored: Vec<f32> = (0..60).map(|n| n as f32).collect();
        let stored = bytes(&stored);
        let odd = View { start: 2, row_stride: 15, col_stride: 3, ..View::whole(3, 4) };
        for view in [
            View::whole(6, 10),
            View::transposed(6, 10, 3, 5),
            odd,
            View { row_stride: 20, ..View::whole(3, 4) },
        ] {
            let naive =
                |row: usize, col: usize| (view.start + row * view.row_stride + col * view.col_stride) as f32;
            for first in 0..view.rows {
                for end in first..=view.rows {
                    let expected: Vec<f32> =
                        (first..end).flat_map(|row| (0..view.cols).map(move |col| naive(row, col))).collect();
                    assert_eq!(view.read(PLAIN, &stored, first..end), expected, "{view:?} {first}..{end}");
                }
            }
        }
    }

    #[test]
    fn what_is_fused_head_by_head_comes_apart() {
        // Two heads of two components, one input: queries, keys and values of the first head, then of the second.
        let stored = bytes(&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 2.0, 3.0, 12.0, 13.0, 22.0, 23.0]);
        for (part, expected) in
            [[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0], [20.0, 21.0, 22.0, 23.0]].into_iter().enumerate()
        {
            let rows = View::rows_in_runs(4, 1, 2 * part, 2, 12);
            assert_eq!(rows.read(PLAIN, &stored, 0..4), expected);
            assert_eq!(rows.read(PLAIN, &stored, 1..3), expected[1..3]);
            assert_eq!(View::slice_in_runs(4, 2 * part, 2, 12).read(PLAIN, &stored, 0..1), expected);
        }
        // Two queries for each key and value, two inputs; one run is the whole.
        let stored: Vec<f32> = (0..16).map(|n| n as f32).collect();
        let stored = bytes(&stored);
        let read = |view: View| view.read(PLAIN, &stored, 0..view.rows);
        assert_eq!(read(View::rows_in_runs(4, 2, 0, 2, 8)), [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0]);
        assert_eq!(read(View::rows_in_runs(2, 2, 3, 2, 8)), [6.0, 7.0, 14.0, 15.0]);
        assert_eq!(read(View::rows_in_runs(2, 2, 3, 1, 8)), read(View { start: 6, ..View::whole(2, 2) }));
        assert_eq!(read(View { plus: 1.0, ..View::slice(3, 2) }), [4.0, 5.0]);
    }

    #[test]
    fn blocks_and_groups_are_cut_anywhere() {
        // Two blocks of Q8_0 with the scales 1 and 2.
        let block = |scale: f32, first: i8| {
            let mut block = f16::from_f32(scale).to_le_bytes().to_vec();
            block.extend((0..32).map(|n| (first + n) as u8));
            block
        };
        let stored = [block(1.0, -16), block(2.0, 0)].concat();
        let view = View { start: 4, ..View::whole(3, 20) };
        let weight = |at: i32| if at < 32 { at as f32 - 16.0 } else { 2.0 * (at as f32 - 32.0) };
        let expected: Vec<f32> = (24..64).map(weight).collect();
        assert_eq!(view.read(Storage::Blocks(Blocks::Q8_0), &stored, 1..3), expected);
        assert_eq!(Storage::Blocks(Blocks::Q8_0).bytes(64), 68);

        let groups = [&[1u8, 2, 0xff, 4, 5, 6][..], &bytes(&[0.5, -1.0])].concat();
        let storage = Storage::Groups { group: 3 };
        assert_eq!(View::whole(2, 3).read(storage, &groups, 0..2), [0.5, 1.0, -0.5, -4.0, -5.0, -6.0]);
        assert_eq!(View::whole(3, 2).read(storage, &groups, 1..2), [-0.5, -4.0]);
        assert_eq!((storage.bytes(6), storage.name()), (14, "i8/3".into()));
    }
}
