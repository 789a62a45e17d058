//! How the bytes of a q8 tensor are arranged, so that one load brings what a kernel multiplies at once.
//!
//! Every layout holds the same numbers, and whoever reads a tensor by row and column reads any of them.

/// How the bytes of a q8 tensor are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    /// Rows one after the other.
    #[default]
    Rows,
    /// Blocks of [`BLOCK_ROWS`] rows, interleaved by words of [`WORD`] columns: the first word of each of the
    /// four rows, then the second word of each, and so on. The last block is padded with rows of zeros. Scales
    /// likewise: block by block, group by group, one for each of the four rows.
    ///
    /// One vector load brings the same columns of four rows (`sdot` by lane, VNNI with a broadcast), one
    /// deinterleaving load brings 16 columns of each of four rows (Helium), one `LDM` brings a word of each.
    Interleaved,
    /// As `Interleaved`, with bytes at even columns biased: XORed with `80`, so that they are the value + 128.
    /// What DSP cores need to multiply a word by two instructions without taking it apart.
    InterleavedBiased,
}

/// Rows of a block of the interleaved layouts.
pub const BLOCK_ROWS: usize = 4;
/// Columns of a word of the interleaved layouts.
pub const WORD: usize = 4;

impl Layout {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Rows => 0,
            Self::Interleaved => 1,
            Self::InterleavedBiased => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Rows),
            1 => Some(Self::Interleaved),
            2 => Some(Self::InterleavedBiased),
            _ => None,
        }
    }

    /// Rows as stored, padding included.
    pub const fn padded_rows(self, rows: u32) -> u32 {
        match self {
            Self::Rows => rows,
            Self::Interleaved | Self::InterleavedBiased => rows.next_multiple_of(BLOCK_ROWS as u32),
        }
    }

    /// What each byte of a word is XORed with.
    pub const fn bias(self) -> [u8; WORD] {
        match self {
            Self::Rows | Self::Interleaved => [0; WORD],
            Self::InterleavedBiased => [0x80, 0, 0x80, 0],
        }
    }

    /// Where the value of a row and column lies, for rows of `stride` columns.
    pub const fn value_at(self, stride: usize, row: usize, col: usize) -> usize {
        match self {
            Self::Rows => row * stride + col,
            Self::Interleaved | Self::InterleavedBiased => {
                let (block, lane) = (row / BLOCK_ROWS, row % BLOCK_ROWS);
                (block * stride + col / WORD * WORD) * BLOCK_ROWS + lane * WORD + col % WORD
            }
        }
    }

    /// Where the scale of a row and group lies, for rows of `groups` groups.
    pub const fn scale_at(self, groups: usize, row: usize, group: usize) -> usize {
        match self {
            Self::Rows => row * groups + group,
            Self::Interleaved | Self::InterleavedBiased => {
                (row / BLOCK_ROWS * groups + group) * BLOCK_ROWS + row % BLOCK_ROWS
            }
        }
    }

    /// Arranges `values` (rows x stride) and `scales` (rows x groups), given row by row, into `values_out` and
    /// `scales_out`, which are of the padded size.
    pub fn arrange<S: Copy + Default>(
        self,
        rows: usize,
        values: &[i8],
        scales: &[S],
        values_out: &mut [u8],
        scales_out: &mut [S],
    ) {
        let (stride, groups) = (values.len() / rows, scales.len() / rows);
        let bias = self.bias();
        for (row, values) in (0..self.padded_rows(rows as u32) as usize)
            .zip(values.chunks_exact(stride).map(Some).chain(core::iter::repeat(None)))
        {
            for col in 0..stride {
                let value = values.map_or(0, |values| values[col]);
                values_out[self.value_at(stride, row, col)] = value as u8 ^ bias[col % WORD];
            }
            for group in 0..groups {
                let scale = if row < rows { scales[row * groups + group] } else { S::default() };
                scales_out[self.scale_at(groups, row, group)] = scale;
            }
        }
    }
}
