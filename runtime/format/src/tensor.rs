//! Tensors: their roles, their shapes, and the table that finds them in flash.
//!
//! A tensor is known by its role and layer, not by a name, so that a device finds it by arithmetic and every
//! shape follows from the configuration.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::container::ALIGNMENT;
use crate::{Config, FeedForward, FormatError, Norm, Position};

/// Bytes of one entry of the tensor table.
pub const TENSOR_BYTES: usize = 48;

/// The layer number in the table of a tensor that belongs to no layer.
pub(crate) const NO_LAYER: u16 = 0xffff;

/// What a tensor is for. The numbers are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Role {
    /// V x H: a row for each token; also the output head when there is no [`Role::Head`].
    TokenEmbedding = 0,
    /// max_positions x H: a row for each position.
    PositionEmbedding = 1,
    /// 1 x dims/2: radians a position, for each rotated pair.
    RotaryFrequencies = 2,
    /// 1 x H: weight of the norm before the head.
    FinalNorm = 3,
    /// 1 x H: bias of the norm before the head.
    FinalNormBias = 4,
    /// V x H: the output head, when it is not the token embedding.
    Head = 5,
    /// 1 x V: bias of the head.
    HeadBias = 6,
    /// 1 x H: weight of the norm before attention.
    AttentionNorm = 16,
    /// 1 x H: bias of the norm before attention.
    AttentionNormBias = 17,
    /// heads*head_dim x H: queries.
    Query = 18,
    /// 1 x heads*head_dim.
    QueryBias = 19,
    /// kv_heads*head_dim x H: keys.
    Key = 20,
    /// 1 x kv_heads*head_dim.
    KeyBias = 21,
    /// kv_heads*head_dim x H: values.
    Value = 22,
    /// 1 x kv_heads*head_dim.
    ValueBias = 23,
    /// H x heads*head_dim: mixes the heads.
    AttentionOutput = 24,
    /// 1 x H.
    AttentionOutputBias = 25,
    /// 1 x H: weight of the norm before the feed-forward block.
    FeedForwardNorm = 26,
    /// 1 x H: bias of the norm before the feed-forward block.
    FeedForwardNormBias = 27,
    /// F x H: the gate of a gated feed-forward block.
    Gate = 28,
    /// 1 x F.
    GateBias = 29,
    /// F x H: the keys of the feed-forward memory.
    Up = 30,
    /// 1 x F.
    UpBias = 31,
    /// H x F: the values of the feed-forward memory.
    Down = 32,
    /// 1 x H.
    DownBias = 33,
}

/// Whether a model must have a tensor, may have it, or cannot have it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Needed,
    Optional,
    Absent,
}

const fn needed_if(condition: bool) -> Presence {
    if condition { Presence::Needed } else { Presence::Absent }
}

const fn optional_if(condition: bool) -> Presence {
    if condition { Presence::Optional } else { Presence::Absent }
}

impl Role {
    /// All roles in ascending order.
    pub const ALL: [Self; 25] = {
        use Role::*;
        [
            TokenEmbedding,
            PositionEmbedding,
            RotaryFrequencies,
            FinalNorm,
            FinalNormBias,
            Head,
            HeadBias,
            AttentionNorm,
            AttentionNormBias,
            Query,
            QueryBias,
            Key,
            KeyBias,
            Value,
            ValueBias,
            AttentionOutput,
            AttentionOutputBias,
            FeedForwardNorm,
            FeedForwardNormBias,
            Gate,
            GateBias,
            Up,
            UpBias,
            Down,
            DownBias,
        ]
    };

    /// One more than the largest number of a role.
    const COUNT: usize = 34;

    fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|&role| role as u16 == number)
    }

    /// Whether every layer has this tensor (otherwise it occurs once).
    pub const fn in_layers(self) -> bool {
        self as u16 >= Self::AttentionNorm as u16
    }

    /// Whether this is a matrix that multiplies activations or is looked up by row, and may be quantized.
    /// The others are vectors and always `f32`.
    pub const fn is_matrix(self) -> bool {
        use Role::*;
        matches!(
            self,
            TokenEmbedding
                | PositionEmbedding
                | Head
                | Query
                | Key
                | Value
                | AttentionOutput
                | Gate
                | Up
                | Down
        )
    }

    /// Rows and columns in a model of this configuration.
    pub const fn shape(self, config: &Config) -> (u32, u32) {
        use Role::*;
        let (hidden, query, kv, ffn) =
            (config.hidden_size, config.query_size(), config.kv_size(), config.ffn_size);
        match self {
            TokenEmbedding | Head => (config.vocab_size, hidden),
            PositionEmbedding => (config.max_positions, hidden),
            RotaryFrequencies => (1, config.rotary_dims() / 2),
            HeadBias => (1, config.vocab_size),
            Query => (query, hidden),
            Key | Value => (kv, hidden),
            AttentionOutput => (hidden, query),
            Gate | Up => (ffn, hidden),
            Down => (hidden, ffn),
            QueryBias => (1, query),
            KeyBias | ValueBias => (1, kv),
            GateBias | UpBias => (1, ffn),
            FinalNorm | FinalNormBias | AttentionNorm | AttentionNormBias | AttentionOutputBias
            | FeedForwardNorm | FeedForwardNormBias | DownBias => (1, hidden),
        }
    }

    const fn presence(self, config: &Config) -> Presence {
        use Role::*;
        let layer_norm = matches!(config.norm, Norm::LayerNorm);
        let gated = matches!(config.feed_forward, FeedForward::Gated(_));
        match self {
            TokenEmbedding | FinalNorm | AttentionNorm | Query | Key | Value | AttentionOutput
            | FeedForwardNorm | Up | Down => Presence::Needed,
            PositionEmbedding => needed_if(matches!(config.position, Position::Learned)),
            RotaryFrequencies => needed_if(matches!(config.position, Position::Rotary { .. })),
            FinalNormBias | AttentionNormBias | FeedForwardNormBias => optional_if(layer_norm),
            Gate => needed_if(gated),
            GateBias => optional_if(gated),
            Head | HeadBias | QueryBias | KeyBias | ValueBias | AttentionOutputBias | UpBias | DownBias => {
                Presence::Optional
            }
        }
    }

    /// Whether a model of this configuration cannot do without the tensor.
    pub fn is_needed(self, config: &Config) -> bool {
        self.presence(config) == Presence::Needed
    }

    /// The role's name, as error messages and listings give it.
    pub const fn name(self) -> &'static str {
        use Role::*;
        match self {
            TokenEmbedding => "token_embedding",
            PositionEmbedding => "position_embedding",
            RotaryFrequencies => "rotary_frequencies",
            FinalNorm => "final_norm",
            FinalNormBias => "final_norm_bias",
            Head => "head",
            HeadBias => "head_bias",
            AttentionNorm => "attention_norm",
            AttentionNormBias => "attention_norm_bias",
            Query => "query",
            QueryBias => "query_bias",
            Key => "key",
            KeyBias => "key_bias",
            Value => "value",
            ValueBias => "value_bias",
            AttentionOutput => "attention_output",
            AttentionOutputBias => "attention_output_bias",
            FeedForwardNorm => "feed_forward_norm",
            FeedForwardNormBias => "feed_forward_norm_bias",
            Gate => "gate",
            GateBias => "gate_bias",
            Up => "up",
            UpBias => "up_bias",
            Down => "down",
            DownBias => "down_bias",
        }
    }
}

/// How a tensor's elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// Signed bytes with one half-precision scale for each row and group of columns.
    Q8 {
        /// Columns that share a scale: 4 to 256, a multiple of 4. A group's dot product of signed bytes then
        /// fits 32 bits in every kernel's form.
        group: u16,
    },
}

impl Element {
    const fn number(self) -> u8 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8 { .. } => 2,
        }
    }

    const fn group(self) -> u16 {
        match self {
            Self::Q8 { group } => group,
            Self::F32 | Self::F16 => 0,
        }
    }

    const fn from_numbers(number: u8, group: u16) -> Option<Self> {
        match (number, group) {
            (0, 0) => Some(Self::F32),
            (1, 0) => Some(Self::F16),
            (2, 4..=256) if group.is_multiple_of(4) => Some(Self::Q8 { group }),
            _ => None,
        }
    }

    /// Columns of a stored row, padding included.
    pub const fn padded_cols(self, cols: u32) -> u32 {
        match self {
            Self::Q8 { group } => cols.next_multiple_of(group as u32),
            Self::F32 | Self::F16 => cols,
        }
    }

    /// Bytes of the values of `rows` (as stored) x `cols`.
    pub const fn value_bytes(self, rows: u32, cols: u32) -> u64 {
        let size = match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8 { .. } => 1,
        };
        rows as u64 * self.padded_cols(cols) as u64 * size
    }

    /// Bytes of the scales of `rows` (as stored) x `cols`.
    pub const fn scale_bytes(self, rows: u32, cols: u32) -> u64 {
        match self {
            Self::Q8 { group } => rows as u64 * cols.div_ceil(group as u32) as u64 * 2,
            Self::F32 | Self::F16 => 0,
        }
    }
}

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
    const fn number(self) -> u8 {
        match self {
            Self::Rows => 0,
            Self::Interleaved => 1,
            Self::InterleavedBiased => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
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

/// What is known of a tensor before its values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// What it is for.
    pub role: Role,
    /// The layer, for a role that every layer has.
    pub layer: Option<u16>,
    /// How its elements are stored.
    pub element: Element,
    /// How they are arranged; other than by rows for q8 only.
    pub layout: Layout,
    /// Outputs.
    pub rows: u32,
    /// Inputs.
    pub cols: u32,
}

impl TensorSpec {
    /// Bytes of values, padding included.
    pub const fn value_bytes(&self) -> u64 {
        self.element.value_bytes(self.layout.padded_rows(self.rows), self.cols)
    }

    /// Bytes of scales, padding included.
    pub const fn scale_bytes(&self) -> u64 {
        self.element.scale_bytes(self.layout.padded_rows(self.rows), self.cols)
    }

    /// The key by which the table is sorted.
    pub(crate) fn key(&self) -> (u16, u16) {
        (self.layer.unwrap_or(NO_LAYER), self.role as u16)
    }

    /// The table's entry for values and scales at these offsets within `DATA`.
    pub(crate) fn entry(&self, values_at: u64, scales_at: u64) -> [u8; TENSOR_BYTES] {
        let mut entry = [0; TENSOR_BYTES];
        let (layer, role) = self.key();
        let Self { element, layout, rows, cols, .. } = *self;
        entry[0..2].copy_from_slice(&role.to_le_bytes());
        entry[2..4].copy_from_slice(&layer.to_le_bytes());
        entry[4] = element.number();
        entry[5] = layout.number();
        entry[6..8].copy_from_slice(&element.group().to_le_bytes());
        entry[8..12].copy_from_slice(&rows.to_le_bytes());
        entry[12..16].copy_from_slice(&cols.to_le_bytes());
        entry[16..24].copy_from_slice(&values_at.to_le_bytes());
        entry[24..32].copy_from_slice(&self.value_bytes().to_le_bytes());
        entry[32..40].copy_from_slice(&scales_at.to_le_bytes());
        entry[40..48].copy_from_slice(&self.scale_bytes().to_le_bytes());
        entry
    }
}

/// A tensor in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Outputs.
    pub rows: u32,
    /// Inputs.
    pub cols: u32,
    /// How its elements are stored.
    pub element: Element,
    /// How they are arranged.
    pub layout: Layout,
    /// rows x padded columns, in that layout.
    pub values: &'a [u8],
    /// rows x groups of `f16`, in that layout; empty unless the element type has scales.
    pub scales: &'a [u8],
}

/// The tensor table, checked against a configuration.
#[derive(Clone, Debug)]
pub(crate) struct TensorTable<'a> {
    entries: &'a [[u8; TENSOR_BYTES]],
    data: &'a [u8],
    layers: usize,
    /// Entries of one layer.
    stride: usize,
    /// Position of each role within its layer, or behind the layers; `ABSENT` for a role that is not there.
    slots: [u8; Role::COUNT],
}

const ABSENT: u8 = 0xff;

impl<'a> TensorTable<'a> {
    pub(crate) fn parse(table: &'a [u8], data: &'a [u8], config: &Config) -> Result<Self, FormatError> {
        let (entries, rest) = table.as_chunks();
        let wrong = |index: usize, field, found, expected| FormatError::Tensor {
            index: index as u32,
            field,
            found,
            expected,
        };
        if !rest.is_empty() {
            return Err(wrong(entries.len(), "entry bytes", rest.len() as u64, TENSOR_BYTES as u64));
        }
        let layers = config.layers as usize;
        let stride = entries.iter().take_while(|e| u16_at::<2, TENSOR_BYTES>(e) == 0).count();
        let mut this = Self { entries, data, layers, stride, slots: [ABSENT; Role::COUNT] };
        for (index, entry) in entries.iter().enumerate() {
            let number = u16_at::<0, TENSOR_BYTES>(entry);
            let role =
                Role::from_number(number).ok_or(wrong(index, "role", number.into(), Role::COUNT as u64))?;
            let (layer, slot) = match index.checked_div(stride) {
                Some(layer) if layer < layers => (layer as u64, index % stride),
                _ => (NO_LAYER.into(), index - stride * layers),
            };
            let found = u64::from(u16_at::<2, TENSOR_BYTES>(entry));
            if found != layer || role.in_layers() != (layer != NO_LAYER.into()) {
                return Err(wrong(index, "layer", found, layer));
            }
            let known = &mut this.slots[role as usize];
            match layer {
                0 | 0xffff if *known == ABSENT && slot < ABSENT.into() => *known = slot as u8,
                1..0xffff if usize::from(*known) == slot => {}
                _ => return Err(wrong(index, "role", number.into(), number.into())),
            }
            this.check_entry(index, role, config)?;
        }
        for role in Role::ALL {
            match (role.presence(config), this.slots[role as usize]) {
                (Presence::Needed, ABSENT) => return Err(FormatError::MissingTensor { role: role.name() }),
                (Presence::Absent, slot) if slot != ABSENT => {
                    return Err(FormatError::UnexpectedTensor { role: role.name() });
                }
                _ => {}
            }
        }
        // With a needed role in every layer, the stride is not zero and the layers are all there.
        if entries.len() < stride * layers {
            return Err(wrong(
                entries.len(),
                "layers",
                (entries.len() / stride.max(1)) as u64,
                layers as u64,
            ));
        }
        Ok(this)
    }

    fn check_entry(&self, index: usize, role: Role, config: &Config) -> Result<(), FormatError> {
        let entry = &self.entries[index];
        let check = |field, found: u64, expected: u64| match found == expected {
            true => Ok(()),
            false => Err(FormatError::Tensor { index: index as u32, field, found, expected }),
        };
        let (number, group) = (entry[4], u16_at::<6, TENSOR_BYTES>(entry));
        let element = Element::from_numbers(number, group).filter(|&e| role.is_matrix() || e == Element::F32);
        let Some(element) = element else {
            check("group of the element type", group.into(), 0)?;
            return check("element type", number.into(), 0);
        };
        if let Element::Q8 { group } = element {
            check("group", group.into(), config.group.into())?;
        }
        let (rows, cols) = role.shape(config);
        let quantized = matches!(element, Element::Q8 { .. });
        let layout = Layout::from_number(entry[5]).filter(|&layout| quantized || layout == Layout::Rows);
        let Some(layout) = layout else { return check("layout", entry[5].into(), 0) };
        let stored = layout.padded_rows(rows);
        check("rows", u32_at::<8, TENSOR_BYTES>(entry).into(), rows.into())?;
        check("columns", u32_at::<12, TENSOR_BYTES>(entry).into(), cols.into())?;
        let have = self.data.len() as u64;
        let span = |at: u64, bytes: u64, names: [&'static str; 2], expected: u64| {
            check(names[1], bytes, expected)?;
            match at.checked_add(bytes) {
                Some(end) if end <= have && at.is_multiple_of(ALIGNMENT) => Ok(()),
                _ => check(names[0], at, have),
            }
        };
        let values = (u64_at::<16, TENSOR_BYTES>(entry), u64_at::<24, TENSOR_BYTES>(entry));
        let scales = (u64_at::<32, TENSOR_BYTES>(entry), u64_at::<40, TENSOR_BYTES>(entry));
        span(values.0, values.1, ["offset of values", "bytes of values"], element.value_bytes(stored, cols))?;
        span(scales.0, scales.1, ["offset of scales", "bytes of scales"], element.scale_bytes(stored, cols))
    }

    fn at(&self, index: usize) -> Option<Tensor<'a>> {
        let entry = self.entries.get(index)?;
        let span = |at: u64, bytes: u64| self.data.get(at as usize..)?.get(..bytes as usize);
        Some(Tensor {
            rows: u32_at::<8, TENSOR_BYTES>(entry),
            cols: u32_at::<12, TENSOR_BYTES>(entry),
            element: Element::from_numbers(entry[4], u16_at::<6, TENSOR_BYTES>(entry))?,
            layout: Layout::from_number(entry[5])?,
            values: span(u64_at::<16, TENSOR_BYTES>(entry), u64_at::<24, TENSOR_BYTES>(entry))?,
            scales: span(u64_at::<32, TENSOR_BYTES>(entry), u64_at::<40, TENSOR_BYTES>(entry))?,
        })
    }

    pub(crate) fn get(&self, role: Role, layer: usize) -> Option<Tensor<'a>> {
        let slot = self.slots[role as usize];
        if slot == ABSENT || (role.in_layers() && layer >= self.layers) {
            return None;
        }
        let base = if role.in_layers() { layer } else { self.layers } * self.stride;
        self.at(base + usize::from(slot))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, Option<usize>, Tensor<'a>)> + '_ {
        (0..self.entries.len()).filter_map(|index| {
            let role = Role::from_number(u16_at::<0, TENSOR_BYTES>(&self.entries[index]))?;
            let layer = role.in_layers().then(|| index / self.stride.max(1));
            Some((role, layer, self.at(index)?))
        })
    }
}
