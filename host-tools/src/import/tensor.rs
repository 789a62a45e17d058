//! A tensor of a checkpoint: where its numbers lie, and how they become a matrix of `f32`.
//!
//! Checkpoints store matrices transposed, fused or in half precision. Each is described as a strided view of a
//! range of a mapped file, so that nothing is read before it is wanted and no more than one tensor at a time.

use half::f16;

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
    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Name as listings give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// A matrix of `rows` x `cols` within a stored tensor; all numbers count elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub rows: usize,
    pub cols: usize,
    pub start: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl View {
    /// The whole of a tensor that is stored as `rows` x `cols`.
    pub const fn whole(rows: usize, cols: usize) -> Self {
        Self { rows, cols, start: 0, row_stride: cols, col_stride: 1 }
    }

    /// `outputs` columns from column `first` of a tensor that is stored as inputs x `stored_outputs`.
    pub const fn transposed(inputs: usize, stored_outputs: usize, first: usize, outputs: usize) -> Self {
        Self { rows: outputs, cols: inputs, start: first, row_stride: 1, col_stride: stored_outputs }
    }

    /// `count` numbers from `first` of a vector.
    pub const fn slice(first: usize, count: usize) -> Self {
        Self { rows: 1, cols: count, start: first, row_stride: count, col_stride: 1 }
    }

    fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.rows).flat_map(move |row| {
            (0..self.cols).map(move |col| self.start + row * self.row_stride + col * self.col_stride)
        })
    }

    /// Reads the view out of the little-endian `bytes` of the whole stored tensor, row by row.
    pub fn read(self, dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
        match dtype {
            Dtype::F32 => self.gather(bytes.as_chunks().0, |&b| f32::from_le_bytes(b)),
            Dtype::F16 => self.gather(bytes.as_chunks().0, |&b| f16::from_le_bytes(b).to_f32()),
            Dtype::Bf16 => {
                self.gather(bytes.as_chunks().0, |&b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))
            }
        }
    }

    fn gather<const N: usize>(self, elements: &[[u8; N]], convert: impl Fn(&[u8; N]) -> f32) -> Vec<f32> {
        if self.col_stride == 1 && self.row_stride == self.cols {
            let (from, count) = (self.start, self.rows * self.cols);
            return elements[from..from + count].iter().map(convert).collect();
        }
        self.indices().map(|index| convert(&elements[index])).collect()
    }
}

/// Where the numbers of a tensor come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A view of the bytes `offset..offset + bytes` of a mapped file.
    Mapped { file: usize, offset: usize, bytes: usize, dtype: Dtype, view: View },
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

    /// Type in the checkpoint.
    pub fn dtype(&self) -> Dtype {
        match &self.source {
            Source::Mapped { dtype, .. } => *dtype,
            Source::Computed(_) => Dtype::F32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn a_fused_transposed_matrix_is_cut_out() {
        // Stored 2 inputs x 3 outputs; outputs 1 and 2 are wanted as rows.
        let stored = bytes(&[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        let view = View::transposed(2, 3, 1, 2);
        assert_eq!(view.read(Dtype::F32, &stored), [1.0, 11.0, 2.0, 12.0]);
        assert_eq!(View::slice(4, 2).read(Dtype::F32, &stored), [11.0, 12.0]);
        assert_eq!(View::whole(2, 3).read(Dtype::F32, &stored), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
    }

    #[test]
    fn half_precisions_are_exact() {
        let view = View::whole(1, 2);
        let half: Vec<u8> = [1.5f32, -65504.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(view.read(Dtype::F16, &half), [1.5, -65504.0]);
        let brain: Vec<u8> =
            [1.5f32, -3e38].iter().flat_map(|&v| v.to_bits().to_le_bytes()[2..].to_vec()).collect();
        assert_eq!(view.read(Dtype::Bf16, &brain)[0], 1.5);
        assert!((view.read(Dtype::Bf16, &brain)[1] / -3e38 - 1.0).abs() < 0.01);
    }
}
