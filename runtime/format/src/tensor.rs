//! Tensors: how their elements are stored, and the table that finds them in flash.
//!
//! Entries have a fixed size and a fixed order, so that nothing is searched on the device and every size follows
//! from the configuration.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::container::ALIGNMENT;
use crate::role::Presence;
use crate::{Config, FormatError, Layout, Role};

/// Bytes of one entry of the tensor table.
pub const TENSOR_BYTES: usize = 48;

/// The layer number in the table of a tensor that belongs to no layer.
pub(crate) const NO_LAYER: u16 = 0xffff;

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

    pub(crate) const fn from_numbers(number: u8, group: u16) -> Option<Self> {
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

/// The section of values and scales.
#[derive(Clone, Debug)]
pub(crate) struct DataSection<'a> {
    /// What of it is in memory.
    pub bytes: &'a [u8],
    /// The section's place in a file that is streamed; its vectors alone are in memory then.
    #[cfg(feature = "stream")]
    pub streamed: Option<core::ops::Range<u64>>,
}

impl DataSection<'_> {
    /// Bytes of the section.
    fn length(&self) -> u64 {
        #[cfg(feature = "stream")]
        if let Some(place) = &self.streamed {
            return place.end - place.start;
        }
        self.bytes.len() as u64
    }
}

/// The tensor table, checked against a configuration.
#[derive(Clone, Debug)]
pub(crate) struct TensorTable<'a> {
    pub(crate) entries: &'a [[u8; TENSOR_BYTES]],
    pub(crate) data: DataSection<'a>,
    layers: usize,
    /// Entries of one layer.
    stride: usize,
    /// Position of each role within its layer, or behind the layers; `ABSENT` for a role that is not there.
    slots: [u8; Role::COUNT],
}

const ABSENT: u8 = 0xff;

impl<'a> TensorTable<'a> {
    pub(crate) fn parse(
        table: &'a [u8],
        data: DataSection<'a>,
        config: &Config,
    ) -> Result<Self, FormatError> {
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
        let have = self.data.length();
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
        #[cfg(feature = "stream")]
        if self.data.streamed.is_some() && crate::streamed::is_matrix(entry) {
            return None;
        }
        let span = |at: u64, bytes: u64| self.data.bytes.get(at as usize..)?.get(..bytes as usize);
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
        self.at(self.index(role, layer)?)
    }

    /// The position of a tensor in the table.
    #[inline]
    pub(crate) fn index(&self, role: Role, layer: usize) -> Option<usize> {
        let slot = self.slots[role as usize];
        if slot == ABSENT || (role.in_layers() && layer >= self.layers) {
            return None;
        }
        let base = if role.in_layers() { layer } else { self.layers } * self.stride;
        Some(base + usize::from(slot))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Role, Option<usize>, Tensor<'a>)> + '_ {
        (0..self.entries.len()).filter_map(|index| {
            let role = Role::from_number(u16_at::<0, TENSOR_BYTES>(&self.entries[index]))?;
            let layer = role.in_layers().then(|| index / self.stride.max(1));
            Some((role, layer, self.at(index)?))
        })
    }
}
