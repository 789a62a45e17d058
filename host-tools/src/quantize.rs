//! Numbers of a checkpoint as the elements of a packed file: `f32`, `f16` or `q8`.
//!
//! `q8` is symmetric rounding to nearest. The scale is rounded to half precision first and the values are
//! computed with the rounded scale, so the error of a weight is at most half a step of what the device uses.

use std::fmt;

use half::f16;
use sprat_format::{BLOCK_ROWS, Element, Layout, Tensor, TensorSpec, WORD};

/// The largest magnitude of a `q8` value.
const Q8_MAX: f32 = 127.0;

/// A tensor's bytes as the packed file holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Values, row by row, padded as the element type says.
    pub values: Vec<u8>,
    /// Scales, row by row; empty but for `q8`.
    pub scales: Vec<u8>,
}

/// Why a tensor cannot be stored as wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EncodeError {
    /// A weight is infinite or not a number.
    NotFinite {
        /// Position in the tensor, row by row.
        index: usize,
        /// The weight.
        value: f32,
    },
    /// A weight is beyond the largest half-precision number.
    BeyondF16 {
        /// Position in the tensor, row by row.
        index: usize,
        /// The weight.
        value: f32,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { index, value } => write!(f, "element {index} is {value}"),
            Self::BeyondF16 { index, value } => write!(
                f,
                "element {index} is {value:e}, beyond half precision (65504): pack this tensor as f32"
            ),
        }
    }
}

impl std::error::Error for EncodeError {}

impl EncodeError {
    /// The same for a band of a tensor that begins `by` elements after the tensor.
    pub fn shifted(self, by: usize) -> Self {
        match self {
            Self::NotFinite { index, value } => Self::NotFinite { index: index + by, value },
            Self::BeyondF16 { index, value } => Self::BeyondF16 { index: index + by, value },
        }
    }
}

/// Encodes `weights`, rows of `cols` numbers each.
///
/// # Errors
/// A weight that the element type cannot hold.
///
/// # Panics
/// When the number of weights is no multiple of `cols`.
pub fn encode(element: Element, cols: usize, weights: &[f32]) -> Result<Encoded, EncodeError> {
    assert!(cols > 0 && weights.len().is_multiple_of(cols), "weights are whole rows");
    if let Some(index) = first_not_finite(weights) {
        return Err(EncodeError::NotFinite { index, value: weights[index] });
    }
    let plain = |values| Encoded { values, scales: Vec::new() };
    match element {
        Element::F32 => Ok(plain(weights.iter().flat_map(|weight| weight.to_le_bytes()).collect())),
        Element::F16 => {
            let beyond = |weight: &f32| f16::from_f32(*weight).is_infinite();
            if let Some(index) = weights.iter().position(beyond) {
                return Err(EncodeError::BeyondF16 { index, value: weights[index] });
            }
            Ok(plain(weights.iter().flat_map(|&weight| f16::from_f32(weight).to_le_bytes()).collect()))
        }
        Element::Q8 { group } => encode_q8(usize::from(group), cols, weights),
    }
}

/// Position of the first number that is infinite or not a number.
pub(crate) fn first_not_finite(numbers: &[f32]) -> Option<usize> {
    /// Looked at together, without a branch for each.
    const PIECE: usize = 4096;
    // Without its sign, infinity is the smallest bit pattern of those.
    let all_finite = |piece: &&[f32]| largest(piece).to_bits() < f32::INFINITY.to_bits();
    let before = numbers.chunks(PIECE).take_while(all_finite).map(<[f32]>::len).sum();
    let inside = numbers[before..].iter().position(|number| !number.is_finite())?;
    Some(before + inside)
}

fn encode_q8(group: usize, cols: usize, weights: &[f32]) -> Result<Encoded, EncodeError> {
    let (rows, groups) = (weights.len() / cols, cols.div_ceil(group));
    let mut values = vec![0; rows * groups * group];
    let mut scales = Vec::with_capacity(rows * groups * 2);
    let stored = values.chunks_exact_mut(groups * group);
    for (row_index, (row, stored)) in weights.chunks_exact(cols).zip(stored).enumerate() {
        for (group_index, (weights, stored)) in
            row.chunks(group).zip(stored.chunks_exact_mut(group)).enumerate()
        {
            let Some(scale) = q8_scale(weights) else {
                let index = row_index * cols + group_index * group;
                return Err(EncodeError::BeyondF16 { index, value: largest(weights) });
            };
            scales.extend(scale.to_le_bytes());
            q8_values(weights, scale.to_f32(), stored);
        }
    }
    Ok(Encoded { values, scales })
}

/// The largest magnitude: without its sign, a larger number is a larger bit pattern, and what is no number the largest.
fn largest(weights: &[f32]) -> f32 {
    let magnitude = |weight: &f32| (weight.to_bits() & !SIGN) as i32;
    f32::from_bits(weights.iter().map(magnitude).fold(0, i32::max) as u32)
}

/// The scale of a group: the largest magnitude becomes 127, or less than half a step more. `None` when it is
/// beyond half precision.
pub(crate) fn q8_scale(weights: &[f32]) -> Option<f16> {
    let largest = largest(weights);
    let scale = f16::from_f32(largest / Q8_MAX);
    // Among the subnormal numbers rounding to nearest may lose more than half a step: take the next one.
    let short = largest > (Q8_MAX + 0.5) * scale.to_f32();
    let scale = if short { f16::from_bits(scale.to_bits() + 1) } else { scale };
    scale.is_finite().then_some(scale)
}

/// weight / scale, rounded to the nearest whole number, ties to even; `out` is as zeros before.
fn q8_values(weights: &[f32], scale: f32, out: &mut [u8]) {
    if scale == 0.0 {
        return;
    }
    for (out, weight) in out.iter_mut().zip(weights) {
        // The sum has no bits below one, so adding rounds; its low bits are the whole number. In this form a compiler
        // does several at a time on every processor.
        let rounded = (weight / scale).clamp(-Q8_MAX, Q8_MAX) + ROUNDER;
        *out = rounded.to_bits() as u8;
    }
}

/// 1.5 x 2^23: numbers of this size have a last bit of one.
const ROUNDER: f32 = 12_582_912.0;
/// The bit of a number's sign.
const SIGN: u32 = 1 << 31;

/// Arranges the bytes of [`encode`] as the tensor's layout has them. A band of rows, whole blocks of them but for the
/// tensor's end, is arranged as a tensor of its own and is then what the whole tensor has there.
pub fn arrange(spec: &TensorSpec, encoded: Encoded) -> Encoded {
    if spec.layout == Layout::Rows {
        return encoded;
    }
    let bias = u32::from_le_bytes(spec.layout.bias());
    let rows = spec.rows as usize;
    let mut values = vec![0; spec.value_bytes() as usize];
    let stride = encoded.values.len() / rows;
    let (words, _) = encoded.values.as_chunks::<WORD>();
    let blocks = values.chunks_exact_mut(BLOCK_ROWS * stride);
    for (block, rows) in blocks.zip(words.chunks(BLOCK_ROWS * stride / WORD)) {
        let (block, _) = block.as_chunks_mut::<WORD>();
        for lane in 0..BLOCK_ROWS {
            // The last block is filled up with rows of zeros.
            let row = rows.get(lane * stride / WORD..(lane + 1) * stride / WORD);
            let places = block.iter_mut().skip(lane).step_by(BLOCK_ROWS);
            match row {
                Some(row) => places.zip(row).for_each(|(to, from)| {
                    *to = (u32::from_le_bytes(*from) ^ bias).to_le_bytes();
                }),
                None => places.for_each(|to| *to = bias.to_le_bytes()),
            }
        }
    }
    let (by_row, _) = encoded.scales.as_chunks::<2>();
    let groups = by_row.len() / rows;
    let mut scales = vec![[0; 2]; spec.scale_bytes() as usize / 2];
    for (row, of_row) in by_row.chunks_exact(groups).enumerate() {
        for (group, &scale) in of_row.iter().enumerate() {
            scales[spec.layout.scale_at(groups, row, group)] = scale;
        }
    }
    Encoded { values, scales: scales.into_flattened() }
}

/// The numbers that a packed tensor stands for, row by row, without padding.
pub fn decode(tensor: &Tensor<'_>) -> Vec<f32> {
    let (rows, cols) = (tensor.rows as usize, tensor.cols as usize);
    let half = |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]).to_f32();
    match tensor.element {
        Element::F32 => tensor.values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Element::F16 => (0..rows * cols).map(|at| half(tensor.values, at)).collect(),
        Element::Q8 { group } => {
            let group = usize::from(group);
            let (stride, groups) = (cols.next_multiple_of(group), cols.div_ceil(group));
            let (layout, bias) = (tensor.layout, tensor.layout.bias());
            let number = |row: usize, col: usize| {
                let value = tensor.values[layout.value_at(stride, row, col)] ^ bias[col % WORD];
                f32::from(value as i8) * half(tensor.scales, layout.scale_at(groups, row, col / group))
            };
            (0..rows)
                .flat_map(|row| (0..cols).map(move |col| (row, col)))
                .map(|(r, c)| number(r, c))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sprat_format::Role;

    use super::*;

    fn any_row() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => -2.0f32..2.0,
            1 => Just(0.0f32),
            1 => -1e-6f32..1e-6,
            1 => -1e6f32..1e6,
        ]
    }

    proptest! {
        #[test]
        fn q8_errs_by_at_most_half_a_step(
            weights in prop::collection::vec(any_row(), 1..200),
            group in 1u16..=64,
            rows in 1usize..4,
        ) {
            let group = group * 4;
            let cols = weights.len();
            let all: Vec<f32> = (0..rows).flat_map(|row| weights.iter().map(move |w| w / (1 + row) as f32)).collect();
            let element = Element::Q8 { group };
            let encoded = encode(element, cols, &all).unwrap();
            let (shape_rows, shape_cols) = (rows as u32, cols as u32);
            prop_assert_eq!(encoded.values.len() as u64, element.value_bytes(shape_rows, shape_cols));
            prop_assert_eq!(encoded.scales.len() as u64, element.scale_bytes(shape_rows, shape_cols));
            prop_assert!(encoded.values.iter().all(|&value| value as i8 != i8::MIN));
            let role = Role::Up;
            let spec = |layout| TensorSpec { role, layer: None, element, layout, rows: shape_rows, cols: shape_cols };
            let decoded_from = |layout| {
                let Encoded { values, scales } = arrange(&spec(layout), encoded.clone());
                let (rows, cols) = (shape_rows, shape_cols);
                decode(&Tensor { rows, cols, element, layout, values: &values, scales: &scales })
            };
            for layout in [Layout::Interleaved, Layout::InterleavedBiased] {
                let (spec, expected) = (spec(layout), arrange(&spec(layout), encoded.clone()));
                let values: Vec<i8> = encoded.values.iter().map(|&value| value as i8).collect();
                let mut values_out = vec![0; spec.value_bytes() as usize];
                let mut scales_out = vec![[0; 2]; spec.scale_bytes() as usize / 2];
                let scales = encoded.scales.as_chunks::<2>().0;
                layout.arrange(rows, &values, scales, &mut values_out, &mut scales_out);
                prop_assert_eq!((&expected.values, &expected.scales), (&values_out, &scales_out.into_flattened()));
            }
            let decoded = decoded_from(Layout::Rows);
            prop_assert_eq!(&decoded, &decoded_from(Layout::Interleaved));
            prop_assert_eq!(&decoded, &decoded_from(Layout::InterleavedBiased));
            let groups = cols.div_ceil(usize::from(group));
            for (index, (&weight, &decoded)) in all.iter().zip(&decoded).enumerate() {
                let at = index / cols * groups + index % cols / usize::from(group);
                let scale = f16::from_le_bytes([encoded.scales[2 * at], encoded.scales[2 * at + 1]]).to_f32();
                let error = (f64::from(weight) - f64::from(decoded)).abs();
                prop_assert!(error <= f64::from(scale) * 0.500_001, "{weight} became {decoded}, scale {scale}");
            }
            for row in encoded.values.chunks_exact(cols.next_multiple_of(usize::from(group))) {
                prop_assert!(row[cols..].iter().all(|&padding| padding == 0));
            }
        }

        #[test]
        fn f16_and_f32_round_to_nearest(weights in prop::collection::vec(-65000.0f32..65000.0, 1..50)) {
            let again = |element| {
                let Encoded { values, scales } = encode(element, 1, &weights).unwrap();
                let (rows, cols, layout) = (weights.len() as u32, 1, Layout::Rows);
                decode(&Tensor { rows, cols, element, layout, values: &values, scales: &scales })
            };
            prop_assert_eq!(&again(Element::F32), &weights);
            for (weight, found) in weights.iter().zip(again(Element::F16)) {
                prop_assert!((weight - found).abs() <= weight.abs() / 2048.0 + 3e-8);
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_and_ties_to_even() {
        for sixteenths in -2048i32..=2048 {
            let weight = sixteenths as f32 / 16.0;
            let mut found = [0];
            q8_values(&[weight], 1.0, &mut found);
            let expected = weight.round_ties_even().clamp(-Q8_MAX, Q8_MAX) as i8;
            assert_eq!(found[0] as i8, expected, "{weight}");
        }
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let encoded = encode(Element::Q8 { group: 4 }, 6, &[0.0; 12]).unwrap();
        assert_eq!(encoded, Encoded { values: vec![0; 16], scales: vec![0; 8] });
    }

    #[test]
    fn the_largest_weight_of_a_group_is_127() {
        let encoded = encode(Element::Q8 { group: 4 }, 4, &[0.5, -1.0, 0.25, 0.0]).unwrap();
        let values: Vec<i8> = encoded.values.iter().map(|&value| value as i8).collect();
        assert_eq!(values[1], -127);
        assert_eq!(values[3], 0);
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_its_position() {
        let refused = |element, weights: &[f32]| encode(element, weights.len(), weights).unwrap_err();
        let q8 = Element::Q8 { group: 4 };
        assert_eq!(
            refused(q8, &[0.0, f32::INFINITY]),
            EncodeError::NotFinite { index: 1, value: f32::INFINITY }
        );
        assert!(matches!(refused(Element::F32, &[f32::NAN]), EncodeError::NotFinite { index: 0, .. }));
        assert_eq!(refused(Element::F16, &[1.0, -7e4]), EncodeError::BeyondF16 { index: 1, value: -7e4 });
        assert_eq!(refused(q8, &[1.0, 1e9]), EncodeError::BeyondF16 { index: 0, value: 1e9 });
    }
}
