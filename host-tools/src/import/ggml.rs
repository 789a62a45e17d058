//! ggml's block formats: a few weights with their scales in some bytes, as GGUF files have them.
//!
//! Each is decoded with the roundings of ggml's own reference (`ggml-quants.c`): the same products and sums of `f32` in
//! the same order, so that a weight is the bit pattern that llama.cpp computes with. `tests/compare/ggml_blocks.py`
//! makes the blocks and expected values that the tests hold this against.

use half::f16;

/// Weights of a block of the formats whose name ends in K.
const SUPER: usize = 256;
/// Weights of a block of the other formats.
const SMALL: usize = 32;

/// A block format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// 32 weights of 4 bits and a scale.
    Q4_0,
    /// 32 weights of 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 weights of 5 bits and a scale.
    Q5_0,
    /// 32 weights of 5 bits, a scale and a minimum.
    Q5_1,
    /// 32 weights of 8 bits and a scale.
    Q8_0,
    /// 256 weights of 2 bits, scales and minima of 4 bits for each 16.
    Q2K,
    /// 256 weights of 3 bits, scales of 6 bits for each 16.
    Q3K,
    /// 256 weights of 4 bits, scales and minima of 6 bits for each 32.
    Q4K,
    /// 256 weights of 5 bits, scales and minima of 6 bits for each 32.
    Q5K,
    /// 256 weights of 6 bits, scales of 8 bits for each 16.
    Q6K,
}

impl Blocks {
    /// Weights of a block.
    pub const fn weights(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => SMALL,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => SUPER,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Name as ggml gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Decodes a block of [`bytes`](Self::bytes) into [`weights`](Self::weights) numbers.
    ///
    /// # Panics
    /// When either is of another length.
    pub fn decode(self, block: &[u8], out: &mut [f32]) {
        assert_eq!((block.len(), out.len()), (self.bytes(), self.weights()), "a whole block");
        match self {
            Self::Q4_0 => {
                let scale = half(block, 0);
                nibbles(&block[2..], out, |q| (f32::from(q) - 8.0) * scale);
            }
            Self::Q4_1 => {
                let (scale, least) = (half(block, 0), half(block, 2));
                nibbles(&block[4..], out, |q| f32::from(q) * scale + least);
            }
            Self::Q5_0 => {
                let scale = half(block, 0);
                fives(&block[2..], out, |q| (f32::from(q) - 16.0) * scale);
            }
            Self::Q5_1 => {
                let (scale, least) = (half(block, 0), half(block, 2));
                fives(&block[4..], out, |q| f32::from(q) * scale + least);
            }
            Self::Q8_0 => {
                let scale = half(block, 0);
                for (out, &q) in out.iter_mut().zip(&block[2..]) {
                    *out = f32::from(q as i8) * scale;
                }
            }
            Self::Q2K => q2_k(block, out),
            Self::Q3K => q3_k(block, out),
            Self::Q4K => q4_k(block, out),
            Self::Q5K => q5_k(block, out),
            Self::Q6K => q6_k(block, out),
        }
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 16 bytes whose lower halves come first.
fn nibbles(bytes: &[u8], out: &mut [f32], weight: impl Fn(u8) -> f32) {
    let (low, high) = out.split_at_mut(SMALL / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = weight(byte & 15);
        *high = weight(byte >> 4);
    }
}

/// The fifth bits of 32 weights, then their lower four as in [`nibbles`].
fn fives(bytes: &[u8], out: &mut [f32], weight: impl Fn(u8) -> f32) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let fifth = |index: usize| ((bits >> index & 1) as u8) << 4;
    let (low, high) = out.split_at_mut(SMALL / 2);
    for (index, ((low, high), byte)) in low.iter_mut().zip(high).zip(&bytes[4..]).enumerate() {
        *low = weight(byte & 15 | fifth(index));
        *high = weight(byte >> 4 | fifth(index + SMALL / 2));
    }
}

/// Scales and minima (4 bits each) of 16 groups of 16; 64 bytes of 2 bits; scale and scale of the minima.
fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (scale, least) = (half(block, 80), half(block, 82));
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (scale, least) = (scale * f32::from(scales[group] & 15), least * f32::from(scales[group] >> 4));
        // 128 weights lie in 32 bytes, 32 of them at each pair of bits.
        let (bytes, shift) = (&quants[group / 8 * 32 + group % 2 * 16..], group % 8 / 2 * 2);
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = scale * f32::from(byte >> shift & 3) - least;
        }
    }
}

/// 32 bytes of third bits (inverted); 64 bytes of 2 bits; 12 bytes of 16 scales of 6 bits; a scale.
fn q3_k(block: &[u8], out: &mut [f32]) {
    let (mask, quants, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(block, 108);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = scale * f32::from((low | high << 4) as i8 - 32);
        let (half, shift) = (group % 2 * 16, group % 8 / 2 * 2);
        let (bytes, mask) = (&quants[group / 8 * 32 + half..], &mask[half..]);
        for ((out, byte), mask) in out.iter_mut().zip(bytes).zip(mask) {
            let third = mask >> (group / 2) & 1;
            *out = scale * f32::from((byte >> shift & 3) as i8 - if third == 0 { 4 } else { 0 });
        }
    }
}

/// Scale and minimum of 6 bits of the group `group` of 8, out of the 12 bytes that Q4_K and Q5_K have for them.
fn scale_and_least(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = match group {
        0..4 => (packed[group] & 63, packed[group + 4] & 63),
        _ => {
            let (low, scale, least) = (packed[group + 4], packed[group - 4], packed[group]);
            (low & 15 | scale >> 6 << 4, low >> 4 | least >> 6 << 4)
        }
    };
    (f32::from(scale), f32::from(least))
}

/// A scale and one of the minima; 12 bytes of scales and minima; 128 bytes of 4 bits.
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (own_scale, own_least) = scale_and_least(&block[4..16], group);
        let (scale, least) = (scale * own_scale, least * own_least);
        let (bytes, shift) = (&block[16 + group / 2 * 32..], group % 2 * 4);
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = scale * f32::from(byte >> shift & 15) - least;
        }
    }
}

/// As [`q4_k`], with 32 bytes of fifth bits before the others.
fn q5_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (own_scale, own_least) = scale_and_least(&block[4..16], group);
        let (scale, least) = (scale * own_scale, least * own_least);
        let (bytes, shift) = (&block[48 + group / 2 * 32..], group % 2 * 4);
        for ((out, byte), fifth) in out.iter_mut().zip(bytes).zip(&block[16..48]) {
            *out = scale * f32::from(byte >> shift & 15 | (fifth >> group & 1) << 4) - least;
        }
    }
}

/// 128 bytes of lower 4 bits; 64 bytes of upper 2 bits; 16 scales of 8 bits; a scale.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(scales[group] as i8);
        // 128 weights: lower bits in 64 bytes, 64 weights in each half byte; upper bits in 32 bytes.
        let (quarter, half) = (group % 8 / 2, group % 2 * 16);
        let low = &low[group / 8 * 64 + quarter % 2 * 32 + half..];
        let high = &high[group / 8 * 32 + half..];
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            let q = low >> (quarter / 2 * 4) & 15 | (high >> (quarter * 2) & 3) << 4;
            *out = scale * f32::from(q as i8 - 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of random bytes and what the reference makes of them: see `tests/compare/ggml_blocks.py`.
    #[test]
    fn every_format_equals_the_reference_bit_for_bit() {
        let formats: [(Blocks, &[u8]); 10] = [
            (Blocks::Q4_0, include_bytes!("../../../tests/fixtures/ggml/Q4_0.bin")),
            (Blocks::Q4_1, include_bytes!("../../../tests/fixtures/ggml/Q4_1.bin")),
            (Blocks::Q5_0, include_bytes!("../../../tests/fixtures/ggml/Q5_0.bin")),
            (Blocks::Q5_1, include_bytes!("../../../tests/fixtures/ggml/Q5_1.bin")),
            (Blocks::Q8_0, include_bytes!("../../../tests/fixtures/ggml/Q8_0.bin")),
            (Blocks::Q2K, include_bytes!("../../../tests/fixtures/ggml/Q2_K.bin")),
            (Blocks::Q3K, include_bytes!("../../../tests/fixtures/ggml/Q3_K.bin")),
            (Blocks::Q4K, include_bytes!("../../../tests/fixtures/ggml/Q4_K.bin")),
            (Blocks::Q5K, include_bytes!("../../../tests/fixtures/ggml/Q5_K.bin")),
            (Blocks::Q6K, include_bytes!("../../../tests/fixtures/ggml/Q6_K.bin")),
        ];
        for (format, fixture) in formats {
            let record = format.bytes() + 4 * format.weights();
            assert!(fixture.len() >= 4 * record && fixture.len() % record == 0, "{}", format.name());
            for record in fixture.chunks_exact(record) {
                let (block, expected) = record.split_at(format.bytes());
                let mut found = vec![0.0; format.weights()];
                format.decode(block, &mut found);
                for (index, (found, expected)) in found.iter().zip(expected.as_chunks().0).enumerate() {
                    let expected = f32::from_le_bytes(*expected);
                    assert_eq!(found.to_bits(), expected.to_bits(), "{} {index}", format.name());
                }
            }
        }
    }
}
