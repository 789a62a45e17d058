//! Every kernel of a table against the portable one, bit for bit: all lengths with tails, extremes, random.
//!
//! It needs neither a heap nor a test harness, so the same battery runs on a laptop, under an emulator and on a
//! board: feature `battery`.

use half::f16;
use sprat_format::{Activation, Layout};

use super::{
    Adjust, Attention, AttentionWork, HEAD_UNIT, Kernels, MIX_BLOCK, PAIR, Prepared, Q8, Q8Heads, portable,
};
use crate::arena::Carver;
use crate::family::EVERY_FAMILY;
use crate::team::Tile;

/// Bytes of work space that the battery needs, 16-byte aligned.
pub const BATTERY_BYTES: usize = 48 * 1024;

/// A kernel that computed other bits than the portable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The kernel.
    pub kernel: &'static str,
    /// Its case: the numbers that describe the shape, in the order of the battery's loops.
    pub case: [usize; 4],
    /// The first output that differs.
    pub index: usize,
    /// Bits computed.
    pub found: u32,
    /// Bits of the portable kernel.
    pub expected: u32,
}

const MOST_ROWS: usize = 20;
const MOST_TOKENS: usize = 9;
const MOST_COLS: usize = 272;
const MOST_POSITIONS: usize = MIX_BLOCK + 9;

/// A generator of inputs (Knuth's linear congruential one).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// A float of some size between 2^-20 and 2^12, of either sign, now and then 0.
    fn float(&mut self) -> f32 {
        let bits = self.next();
        let magnitude = f32::from_bits(((bits >> 5 & 31) + 107) << 23 | self.next() & 0x7f_ffff);
        match bits & 31 {
            0 => 0.0,
            1..16 => magnitude,
            _ => -magnitude,
        }
    }

    /// A value of -127..=127, in every other row of values an extreme one.
    fn byte(&mut self, extreme: bool) -> i8 {
        let bits = self.next();
        match (extreme, bits % 3) {
            (true, 0) => 127,
            (true, 1) => -127,
            _ => ((bits >> 8) as i32 % 255 - 127) as i8,
        }
    }

    /// A half-precision number that is not negative: ordinary, subnormal or 0.
    fn scale(&mut self) -> f16 {
        let bits = self.next();
        f16::from_bits(match bits & 15 {
            0 => 0,
            1 => (bits >> 8 & 0x3ff) as u16,
            _ => 0x1000 + (bits >> 8 & 0x1fff) as u16,
        })
    }
}

fn compare(kernel: &'static str, case: [usize; 4], found: &[f32], expected: &[f32]) -> Result<(), Mismatch> {
    let bits = found.iter().zip(expected).map(|(a, b)| (a.to_bits(), b.to_bits()));
    match bits.enumerate().find(|(_, (a, b))| a != b) {
        Some((index, (found, expected))) => Err(Mismatch { kernel, case, index, found, expected }),
        None => Ok(()),
    }
}

/// Runs every kernel of `kernels` and returns the number of cases that agreed. `work` is
/// [`BATTERY_BYTES`] long.
///
/// # Errors
/// The first case that did not agree.
pub fn battery(kernels: &'static Kernels, work: &mut [u8]) -> Result<usize, Mismatch> {
    let mut random = Random(1);
    Ok(quantizing(kernels, work, &mut random)?
        + q8_products(kernels, work, &mut random)?
        + float_products(kernels, work, &mut random)?
        + rows(kernels, work, &mut random)?
        + q8_attention(kernels, work, &mut random)?
        + float_attention(kernels, work, &mut random)?)
}

const GROUPS: [usize; 9] = [4, 8, 12, 16, 32, 36, 64, 128, 256];

fn quantizing(kernels: &Kernels, work: &mut [u8], random: &mut Random) -> Result<usize, Mismatch> {
    let mut cases = 0;
    for padding in 0..9 {
        for cols in (1..70).chain([127, 128, 129, 255, 256]) {
            let mut carver = Carver::new(work);
            let x: &mut [f32] = carver.take(cols);
            let [found, expected]: [&mut [i8]; 2] =
                [carver.take(cols + padding), carver.take(cols + padding)];
            // Scales from the least half floats to beyond the largest one.
            let size = f32::from_bits((random.next() % 60 + 100) << 23);
            x.iter_mut().for_each(|x| *x = random.float() * size);
            if cols % 7 == 0 {
                x.fill(0.0);
            }
            found.fill(99);
            let case = [cols, padding, 0, 0];
            let scales = [(kernels.quantize)(x, found), (portable::KERNELS.quantize)(x, expected)];
            let scales = scales.map(|scale| f32::from_bits(scale.to_bits().into()));
            compare("quantize's scale", case, &scales[..1], &scales[1..])?;
            if let Some(index) = found.iter().zip(expected.iter()).position(|(a, b)| a != b) {
                let (found, expected) = (found[index] as u32, expected[index] as u32);
                return Err(Mismatch { kernel: "quantize", case, index, found, expected });
            }
            cases += 1;
        }
    }
    Ok(cases)
}

fn q8_products(kernels: &Kernels, work: &mut [u8], random: &mut Random) -> Result<usize, Mismatch> {
    let mut cases = 0;
    for layout in [Layout::Rows, Layout::Interleaved, Layout::InterleavedBiased] {
        for (group, groups) in GROUPS.into_iter().flat_map(|g| [(g, 1), (g, 2), (g, 3), (g, 7)]) {
            let stride = group * groups;
            for (rows, tokens) in
                [(1, 1), (2, 3), (3, 2), (4, 1), (5, 4), (7, 1), (8, 5), (12, 1), (16, 9), (19, 2), (20, 1)]
            {
                let padded = layout.padded_rows(rows as u32) as usize;
                if stride > MOST_COLS || padded > MOST_ROWS || tokens > MOST_TOKENS {
                    continue;
                }
                let mut carver = Carver::new(work);
                let values: &mut [i8] = carver.take(padded * stride);
                let scales: &mut [f16] = carver.take(padded * groups);
                let cols = stride - random.next() as usize % group.min(5);
                let x: &mut [f32] = carver.take(tokens * cols);
                let mut input = Prepared {
                    values: carver.take(2 * tokens * stride),
                    scales: carver.take(tokens * groups),
                    sums: carver.take(tokens * groups),
                };
                let [found, expected]: [&mut [f32]; 2] =
                    [carver.take(tokens * rows), carver.take(tokens * rows)];
                let extreme = random.next().is_multiple_of(2);
                let bias = layout.bias();
                for (i, value) in values.iter_mut().enumerate() {
                    *value = random.byte(extreme) ^ bias[i % bias.len()] as i8;
                }
                scales.iter_mut().for_each(|scale| *scale = random.scale());
                // Extreme inputs are quantized to 127 and -127.
                x.iter_mut()
                    .for_each(|x| *x = if extreme { f32::from(random.byte(true)) } else { random.float() });
                let matrix = Q8 { values, scales, rows, group, stride, layout };
                for (kernels, out) in [(kernels, &mut *found), (&portable::KERNELS, &mut *expected)] {
                    (kernels.prepare)(x, cols, group, layout, &mut input);
                    (kernels.matmul_q8)(&matrix, &input, &mut Tile::new(out, rows));
                }
                compare("matmul_q8", [group, groups, rows, tokens], found, expected)?;
                cases += 1;
            }
        }
    }
    Ok(cases)
}

fn float_products(kernels: &Kernels, work: &mut [u8], random: &mut Random) -> Result<usize, Mismatch> {
    let mut cases = 0;
    for cols in (1..35).chain([63, 64, 65, 100, 128]) {
        for (rows, tokens) in [(1, 1), (2, 3), (3, 1), (4, 2), (5, 9), (9, 1), (16, 4)] {
            let mut carver = Carver::new(work);
            let wide: &mut [f32] = carver.take(rows * cols);
            let narrow: &mut [f16] = carver.take(rows * cols);
            let x: &mut [f32] = carver.take(tokens * cols);
            let [found, expected]: [&mut [f32]; 2] = [carver.take(tokens * rows), carver.take(tokens * rows)];
            for (wide, narrow) in wide.iter_mut().zip(narrow.iter_mut()) {
                let sign = (random.next() & 1) as u16;
                *narrow = f16::from_bits(random.scale().to_bits() | sign << 15);
                *wide = random.float();
            }
            x.iter_mut().for_each(|x| *x = random.float());
            let case = [cols, rows, tokens, 0];
            (kernels.matmul_f32)(wide, cols, x, &mut Tile::new(found, rows));
            (portable::KERNELS.matmul_f32)(wide, cols, x, &mut Tile::new(expected, rows));
            compare("matmul_f32", case, found, expected)?;
            (kernels.matmul_f16)(narrow, cols, x, &mut Tile::new(found, rows));
            (portable::KERNELS.matmul_f16)(narrow, cols, x, &mut Tile::new(expected, rows));
            compare("matmul_f16", case, found, expected)?;
            cases += 2;
        }
    }
    Ok(cases)
}

/// Sums of rows, softmax, and what is done to each element.
fn rows(kernels: &Kernels, work: &mut [u8], random: &mut Random) -> Result<usize, Mismatch> {
    let mut cases = 0;
    for length in (1..70).chain([127, 128, 129, 500]) {
        let mut carver = Carver::new(work);
        let [a, b, found, expected]: [&mut [f32]; 4] = core::array::from_fn(|_| carver.take(length));
        a.iter_mut().chain(b.iter_mut()).for_each(|x| *x = random.float());
        let case = [length, 0, 0, 0];
        compare("dot", case, &[(kernels.dot)(a, b)], &[(portable::KERNELS.dot)(a, b)])?;
        compare("sum", case, &[(kernels.sum)(a)], &[(portable::KERNELS.sum)(a)])?;
        let x = a[0].abs();
        compare("sqrt", case, &[(kernels.sqrt)(x)], &[(portable::KERNELS.sqrt)(x)])?;
        a.iter_mut().for_each(|x| *x *= 0.01);
        found.copy_from_slice(a);
        expected.copy_from_slice(a);
        let sums = [(kernels.softmax)(found), (portable::KERNELS.softmax)(expected)];
        compare("softmax", case, found, expected)?;
        compare("softmax's sum", case, &sums[..1], &sums[1..])?;
        let scale = random.float();
        for (kernels, out) in [(kernels, &mut *found), (&portable::KERNELS, &mut *expected)] {
            (kernels.normalize)(b, a[0], scale, a, out);
            (kernels.add)(a, out);
        }
        compare("add, normalize", case, found, expected)?;
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu] {
            for (kernels, out) in [(kernels, &mut *found), (&portable::KERNELS, &mut *expected)] {
                out.copy_from_slice(b);
                (kernels.activate)(activation, out);
            }
            compare("activate", case, found, expected)?;
            for (kernels, out) in [(kernels, &mut *found), (&portable::KERNELS, &mut *expected)] {
                out.copy_from_slice(a);
                (kernels.gate)(activation, b, out);
            }
            compare("gate", case, found, expected)?;
        }
        cases += 13;
    }
    Ok(cases)
}

/// Components of a head: as small models have them, and with every tail.
const HEAD_DIMS: [usize; 14] = [1, 2, 4, 5, 8, 12, 15, 16, 17, 24, 31, 32, 40, 64];

/// Slopes, a soft cap, positions without weight, or several of these.
fn some_adjustment(number: usize, positions: usize, random: &mut Random) -> Option<Adjust> {
    let slopes = core::array::from_fn(|_| random.float().abs() * 65536.0);
    let (cap, skip) = (random.float().abs() * 65536.0 + 1.0, (random.next() as usize % 4).min(positions - 1));
    let has = |part: usize| (number / 2 % 8) & part != 0;
    Some(Adjust {
        skip: if has(1) { skip } else { 0 },
        slopes: if has(2) { slopes } else { [0.0; PAIR] },
        soft_cap: if has(4) { cap } else { 0.0 },
    })
}

fn q8_attention(kernels: &Kernels, work: &mut [u8], random: &mut Random) -> Result<usize, Mismatch> {
    let mut cases = 0;
    for head_dim in HEAD_DIMS {
        let stride = head_dim.next_multiple_of(HEAD_UNIT);
        for positions in (1..20).chain([31, 32, 33, 100, MIX_BLOCK, MOST_POSITIONS]) {
            for heads in 1..=PAIR {
                // Scores are near each other, far from each other, or beyond what an integer holds.
                let sharpness = [1e-3, 0.1, 1e9][random.next() as usize % 3];
                let padded = positions.next_multiple_of(2);
                let scores = PAIR * padded;
                if 2 * padded * (stride + 2) + 2 * 4 * scores > BATTERY_BYTES - 8192 {
                    continue;
                }
                let mut carver = Carver::new(work);
                let [keys, values]: [&mut [i8]; 2] = core::array::from_fn(|_| carver.take(padded * stride));
                let [key_scales, value_scales]: [&mut [f16]; 2] =
                    core::array::from_fn(|_| carver.take(positions));
                let query: &mut [f32] = carver.take(heads * head_dim);
                let mut space = AttentionWork {
                    scores: carver.take(scores),
                    multipliers: carver.take(padded.min(MIX_BLOCK)),
                    query: carver.take(2 * PAIR * stride),
                };
                let [found, expected]: [&mut [f32]; 2] =
                    core::array::from_fn(|_| carver.take(heads * head_dim));
                let extreme = random.next().is_multiple_of(2);
                for head in keys.chunks_exact_mut(stride).chain(values.chunks_exact_mut(stride)) {
                    let (used, padding) = head.split_at_mut(head_dim);
                    used.iter_mut().for_each(|v| *v = random.byte(extreme));
                    padding.fill(0);
                }
                key_scales.iter_mut().chain(value_scales.iter_mut()).for_each(|s| *s = random.scale());
                query.iter_mut().for_each(|x| *x = random.float());
                let plain = Attention {
                    query,
                    head_dim,
                    scale: sharpness * 65536.0,
                    keys: Q8Heads { values: keys, scales: key_scales, stride },
                    values: Q8Heads { values, scales: value_scales, stride },
                    adjust: None,
                };
                let adjust = some_adjustment(cases, positions, random);
                for (number, adjust) in
                    [None, adjust].into_iter().take(1 + usize::from(EVERY_FAMILY)).enumerate()
                {
                    let attention = Attention { adjust, ..plain };
                    found.fill(9.0);
                    (kernels.attend_q8)(&attention, &mut space, found);
                    (portable::KERNELS.attend_q8)(&attention, &mut space, expected);
                    compare("attend_q8", [head_dim, positions, heads, number], found, expected)?;
                    cases += 1;
                }
            }
        }
    }
    Ok(cases)
}

fn float_attention(kernels: &Kernels, work: &mut [u8], random: &mut Random) -> Result<usize, Mismatch> {
    let mut cases = 0;
    for head_dim in HEAD_DIMS {
        for positions in (1..12).chain([31, 32, 33, 70]) {
            let mut carver = Carver::new(work);
            let wide: &mut [f32] = carver.take(positions * head_dim);
            let narrow: &mut [f16] = carver.take(positions * head_dim);
            let [query, out, expected_out]: [&mut [f32]; 3] = core::array::from_fn(|_| carver.take(head_dim));
            let [found, expected]: [&mut [f32]; 2] = [carver.take(positions), carver.take(positions)];
            wide.iter_mut().chain(query.iter_mut()).for_each(|x| *x = random.float());
            narrow.iter_mut().for_each(|x| *x = random.scale());
            let case = [head_dim, positions, 0, 0];
            (kernels.score_f32)(query, wide, found);
            (portable::KERNELS.score_f32)(query, wide, expected);
            compare("score_f32", case, found, expected)?;
            (kernels.score_f16)(query, narrow, found);
            (portable::KERNELS.score_f16)(query, narrow, expected);
            compare("score_f16", case, found, expected)?;
            found.iter_mut().for_each(|weight| *weight = (random.next() % 1000) as f32 / 999.0);
            out.fill(0.25);
            expected_out.fill(0.25);
            (kernels.mix_f32)(found, wide, out);
            (portable::KERNELS.mix_f32)(found, wide, expected_out);
            compare("mix_f32", case, out, expected_out)?;
            (kernels.mix_f16)(found, narrow, out);
            (portable::KERNELS.mix_f16)(found, narrow, expected_out);
            compare("mix_f16", case, out, expected_out)?;
            cases += 4;
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn every_table_that_this_machine_runs_agrees_with_the_portable_one() {
        let mut work = vec![0u128; BATTERY_BYTES / 16];
        for kernels in Kernels::available() {
            let cases = battery(kernels, bytemuck::cast_slice_mut(&mut work)).unwrap();
            assert!(cases > 3000, "{}: {cases} cases", kernels.name());
            std::println!("{}: {cases} cases equal", kernels.name());
        }
    }

    #[test]
    fn the_battery_finds_a_wrong_kernel() {
        static WRONG: Kernels = Kernels { matmul_q8: |_, _, _| {}, ..portable::KERNELS };
        let mut work = vec![0u128; BATTERY_BYTES / 16];
        let mismatch = battery(&WRONG, bytemuck::cast_slice_mut(&mut work)).unwrap_err();
        assert_eq!(mismatch.kernel, "matmul_q8");
    }
}
