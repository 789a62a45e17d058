//! Rounding a matrix so that its outputs err least, not its weights.
//!
//! The errors of a row of weights are not independent: what rounding one weight does to the output, the others can
//! take back in part. With H the second moments of the inputs as the runtime quantizes them, the expected square of the
//! output's error is (w - q) H (w - q). It is made small column by column (GPTQ, Frantar et al. 2022) and then by
//! descent over single codes and scales until neither finds anything better. The target of a row may differ from its
//! weights so that the matrix also takes back what was lost before it (as in GPTAQ, Li et al. 2025): the outputs are to
//! be those of the exact weights on the exact inputs.

use half::f16;
use rayon::prelude::*;

use crate::quantize::{EncodeError, Encoded, q8_scale};

/// The largest magnitude of a code.
const Q8_MAX: f64 = 127.0;
/// Share of the mean second moment that is added to each: what of the text's chance is not to be fitted to.
const DAMPING: f64 = 0.01;
/// Rounds of descent; few rows still change in the last.
const ROUNDS: usize = 4;
/// Scales that are tried for a group, in steps of [`SCALE_STEP`] below the one that fits its largest weight.
const SCALES: usize = 6;
const SCALE_STEP: f32 = 0.008;

/// The inputs of a matrix as far as rounding needs them.
pub(super) struct Inputs {
    cols: usize,
    group: usize,
    /// C x C: damped second moments of the quantized inputs.
    moments: Vec<f64>,
    /// C x C, upper triangle U with U^T U = the inverse of the moments.
    factor: Vec<f64>,
}

/// The bytes that the runtime makes of a row of activations, as the numbers that they stand for.
pub(super) fn quantized_rows(rows: &[f32], cols: usize, group: usize) -> Vec<f32> {
    let mut out = rows.to_vec();
    for group in out.chunks_exact_mut(cols).flat_map(|row| row.chunks_mut(group)) {
        let amplitude = group.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        if amplitude < 1e-20 {
            group.fill(0.0);
            continue;
        }
        let (inverse, scale) = (127.0 / amplitude, amplitude / 127.0);
        group.iter_mut().for_each(|x| *x = (*x * inverse).round_ties_even() * scale);
    }
    out
}

/// The mean over all rows of x_i * y_j: C x C.
pub(super) fn moments(x: &[f32], y: &[f32], cols: usize) -> Vec<f64> {
    let rows = (x.len() / cols).max(1);
    let mut out = vec![0.0; cols * cols];
    out.par_chunks_mut(cols).enumerate().for_each(|(i, out)| {
        let mut sums = vec![0.0f64; cols];
        for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact(cols)) {
            let x = f64::from(x[i]);
            sums.iter_mut().zip(y).for_each(|(sum, &y)| *sum += x * f64::from(y));
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum / rows as f64);
    });
    out
}

/// The lower triangle L of a symmetric positive matrix A = L L^T; `None` where it is not positive.
fn cholesky(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for j in 0..n {
        let (above, below) = a.split_at_mut((j + 1) * n);
        let row = &mut above[j * n..];
        let pivot = row[j] - row[..j].iter().map(|x| x * x).sum::<f64>();
        if pivot <= 0.0 {
            return None;
        }
        let root = pivot.sqrt();
        row[j] = root;
        row[j + 1..].fill(0.0);
        let row = &*row;
        below.par_chunks_mut(n).with_min_len(64).for_each(|other| {
            let dot: f64 = other[..j].iter().zip(row).map(|(a, b)| a * b).sum();
            other[j] = (other[j] - dot) / root;
        });
    }
    Some(a)
}

/// The inverse of A = L L^T.
fn inverse(lower: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    out.par_chunks_mut(n).enumerate().for_each(|(column, x)| {
        x[column] = 1.0;
        solve(lower, n, x);
    });
    out
}

/// Replaces b by the solution of L L^T x = b.
fn solve(lower: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let dot: f64 = lower[i * n..i * n + i].iter().zip(&*b).map(|(l, x)| l * x).sum();
        b[i] = (b[i] - dot) / lower[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] /= lower[i * n + i];
        let x = b[i];
        b[..i].iter_mut().zip(&lower[i * n..]).for_each(|(b, l)| *b -= l * x);
    }
}

impl Inputs {
    /// From the second moments of the quantized inputs (C x C); `None` where nothing can be said of them, as when all
    /// inputs were zero.
    pub fn new(mut moments: Vec<f64>, cols: usize, group: usize) -> Option<Self> {
        let trace: f64 = (0..cols).map(|i| moments[i * cols + i]).sum();
        let damping = DAMPING * trace / cols as f64;
        (0..cols).for_each(|i| moments[i * cols + i] += damping);
        let lower = cholesky(moments.clone(), cols)?;
        let mut inverse = inverse(&lower, cols);
        symmetrize(&mut inverse, cols);
        let lower = cholesky(inverse, cols)?;
        let factor = (0..cols * cols).map(|at| lower[at % cols * cols + at / cols]).collect();
        Some(Self { cols, group, moments, factor })
    }

    /// The square of the output's error, expected, of rows that became others.
    #[cfg(test)]
    pub fn error(&self, weights: &[f32], rounded: &[f32]) -> f64 {
        let rows = weights.chunks_exact(self.cols).zip(rounded.chunks_exact(self.cols));
        rows.map(|(w, q)| {
            let e: Vec<f64> = w.iter().zip(q).map(|(w, q)| f64::from(*w) - f64::from(*q)).collect();
            let products = self.times(&e);
            e.iter().zip(products).map(|(e, p)| e * p).sum::<f64>()
        })
        .sum()
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.moments.chunks_exact(self.cols).map(|row| row.iter().zip(x).map(|(h, x)| h * x).sum()).collect()
    }

    /// The rows that make the outputs on quantized inputs most like those of `weights` on exact ones. `lost` (C x C) are
    /// the moments of (exact - quantized) with quantized inputs.
    pub fn targets(&self, weights: &[f32], lost: &[f64]) -> Vec<f32> {
        let n = self.cols;
        let Some(lower) = cholesky(self.moments.clone(), n) else { return weights.to_vec() };
        let mut targets = weights.to_vec();
        targets.par_chunks_mut(n).for_each(|row| {
            let mut b = vec![0.0; n];
            for (w, lost) in row.iter().zip(lost.chunks_exact(n)) {
                b.iter_mut().zip(lost).for_each(|(b, lost)| *b += f64::from(*w) * lost);
            }
            solve(&lower, n, &mut b);
            row.iter_mut().zip(b).for_each(|(w, b)| *w = (f64::from(*w) + b) as f32);
        });
        targets
    }

    /// Rounds rows of weights.
    ///
    /// # Errors
    /// A group whose scale is beyond half precision.
    pub fn round(&self, weights: &[f32]) -> Result<Encoded, EncodeError> {
        let rows: Vec<_> = weights.par_chunks_exact(self.cols).map(|row| self.round_row(row)).collect();
        let mut encoded = Encoded::default();
        let stride = self.cols.next_multiple_of(self.group);
        for (number, row) in rows.into_iter().enumerate() {
            let (codes, scales) = row.map_err(|error| error.shifted(number * self.cols))?;
            encoded.values.extend(codes.iter().map(|&code| code as i8 as u8));
            encoded.values.extend(std::iter::repeat_n(0, stride - self.cols));
            encoded.scales.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
        }
        Ok(encoded)
    }

    fn round_row(&self, row: &[f32]) -> Result<(Vec<f64>, Vec<f16>), EncodeError> {
        let n = self.cols;
        let mut w: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
        let mut codes = vec![0.0; n];
        let mut scales = Vec::with_capacity(n.div_ceil(self.group));
        for start in (0..n).step_by(self.group) {
            let end = n.min(start + self.group);
            let scale = self.scale(start, &w[start..end])?;
            scales.push(scale);
            let scale = f64::from(scale.to_f32());
            for i in start..end {
                codes[i] = code(w[i], scale);
                let error = (w[i] - codes[i] * scale) / self.factor[i * n + i];
                let factors = &self.factor[i * n + i + 1..(i + 1) * n];
                w[i + 1..].iter_mut().zip(factors).for_each(|(w, factor)| *w -= error * factor);
            }
        }
        self.descend(row, &mut codes, &mut scales);
        Ok((codes, scales))
    }

    /// The scale with which a group's rounding to nearest, weighted by the moments, errs least.
    fn scale(&self, start: usize, weights: &[f64]) -> Result<f16, EncodeError> {
        let singles: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
        let Some(most) = q8_scale(&singles) else {
            return Err(EncodeError::BeyondF16 { index: start, value: singles[0] });
        };
        let error = |scale: f16| -> f64 {
            let each = singles.iter().enumerate().map(|(i, &w)| {
                let (w, scale) = (f64::from(w), f64::from(scale.to_f32()));
                let error = w - code(w, scale) * scale;
                error * error * self.moments[(start + i) * (self.cols + 1)]
            });
            each.sum()
        };
        let candidates =
            (0..SCALES).map(|step| f16::from_f32(most.to_f32() * (1.0 - step as f32 * SCALE_STEP)));
        Ok(candidates
            .map(|scale| (error(scale), scale))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(most, |best| best.1))
    }

    /// Changes single codes and scales as long as that makes the error smaller.
    fn descend(&self, row: &[f32], codes: &mut [f64], scales: &mut [f16]) {
        let (n, group) = (self.cols, self.group);
        let scale_of = |scales: &[f16], i: usize| f64::from(scales[i / group].to_f32());
        let error: Vec<f64> = (0..n).map(|i| f64::from(row[i]) - codes[i] * scale_of(scales, i)).collect();
        let mut slope = self.times(&error);
        for _ in 0..ROUNDS {
            let mut changed = false;
            for i in 0..n {
                let scale = scale_of(scales, i);
                let moment = self.moments[i * (n + 1)];
                if scale == 0.0 || moment <= 0.0 {
                    continue;
                }
                let wanted = (codes[i] + (slope[i] / (moment * scale)).round()).clamp(-Q8_MAX, Q8_MAX);
                let step = (wanted - codes[i]) * scale;
                // A step as large as half of what is exact is best; anything else must be better by more than noise.
                if step != 0.0 && step * (2.0 * slope[i] - step * moment) > 1e-12 * moment * scale * scale {
                    codes[i] = wanted;
                    let moments = &self.moments[i * n..(i + 1) * n];
                    slope.iter_mut().zip(moments).for_each(|(slope, h)| *slope -= step * h);
                    changed = true;
                }
            }
            for (number, scale) in scales.iter_mut().enumerate() {
                changed |= self.refit(number, codes, scale, &mut slope);
            }
            if !changed {
                break;
            }
        }
    }

    /// The best scale for the codes of a group, if it differs.
    fn refit(&self, number: usize, codes: &[f64], scale: &mut f16, slope: &mut [f64]) -> bool {
        let (n, start) = (self.cols, number * self.group);
        let end = n.min(start + self.group);
        let mut products = vec![0.0; n];
        for i in (start..end).filter(|&i| codes[i] != 0.0) {
            let moments = &self.moments[i * n..(i + 1) * n];
            products.iter_mut().zip(moments).for_each(|(product, h)| *product += codes[i] * h);
        }
        let along: f64 = (start..end).map(|i| codes[i] * slope[i]).sum();
        let square: f64 = (start..end).map(|i| codes[i] * products[i]).sum();
        let old = f64::from(scale.to_f32());
        let better = f16::from_f64(old + if square > 0.0 { along / square } else { 0.0 });
        let step = f64::from(better.to_f32()) - old;
        if better.is_nan() || better.is_infinite() || f64::from(better.to_f32()) <= 0.0 {
            return false;
        }
        if step == 0.0 || step * (2.0 * along - step * square) <= 0.0 {
            return false;
        }
        *scale = better;
        slope.iter_mut().zip(products).for_each(|(slope, product)| *slope -= step * product);
        true
    }
}

fn symmetrize(a: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            let mean = (a[i * n + j] + a[j * n + i]) / 2.0;
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
}

fn code(weight: f64, scale: f64) -> f64 {
    if scale == 0.0 { 0.0 } else { (weight / scale).round_ties_even().clamp(-Q8_MAX, Q8_MAX) }
}

#[cfg(test)]
mod tests {
    use sprat_format::{Element, Layout, Tensor};

    use super::*;
    use crate::quantize::{decode, encode};

    const COLS: usize = 20;
    const ROWS: u32 = 6;
    const GROUP: usize = 8;

    /// Numbers of a generator (Numerical Recipes' congruential one), around 0.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    /// Inputs that depend on each other, as a model's do.
    fn inputs(seed: u32) -> Vec<f32> {
        let (causes, mixing) = (numbers(400 * 5, seed), numbers(5 * COLS, seed + 1));
        let noise = numbers(400 * COLS, seed + 2);
        let mixed = causes.chunks(5).flat_map(|causes| {
            (0..COLS).map(|col| causes.iter().enumerate().map(|(i, c)| c * mixing[i * COLS + col]).sum())
        });
        mixed.zip(noise).map(|(x, noise): (f32, f32)| x + 0.1 * noise).collect()
    }

    fn numbers_of(encoded: &Encoded) -> Vec<f32> {
        let element = Element::Q8 { group: GROUP as u16 };
        let (values, scales) = (&encoded.values[..], &encoded.scales[..]);
        decode(&Tensor { rows: ROWS, cols: COLS as u32, element, layout: Layout::Rows, values, scales })
    }

    #[test]
    fn outputs_err_less_than_with_rounding_to_nearest() {
        for seed in 0..20 {
            let x = quantized_rows(&inputs(seed), COLS, GROUP);
            let weights = numbers(ROWS as usize * COLS, seed + 100);
            let inputs = Inputs::new(moments(&x, &x, COLS), COLS, GROUP).unwrap();
            let nearest = encode(Element::Q8 { group: GROUP as u16 }, COLS, &weights).unwrap();
            let nearest = inputs.error(&weights, &numbers_of(&nearest));
            let careful = inputs.error(&weights, &numbers_of(&inputs.round(&weights).unwrap()));
            assert!(careful <= 0.6 * nearest, "seed {seed}: {careful:e} and to nearest {nearest:e}");
        }
    }

    #[test]
    fn targets_take_back_what_was_lost_before() {
        let exact = inputs(7);
        // What is lost depends on what is left, so that a matrix can know of it.
        let real: Vec<f32> =
            exact.iter().enumerate().map(|(i, x)| x * (1.0 - 0.02 * (i % 3) as f32)).collect();
        let difference: Vec<f32> = exact.iter().zip(&real).map(|(exact, real)| exact - real).collect();
        let inputs = Inputs::new(moments(&real, &real, COLS), COLS, GROUP).unwrap();
        let weights = numbers(ROWS as usize * COLS, 8);
        let targets = inputs.targets(&weights, &moments(&difference, &real, COLS));
        let error = |found: &[f32]| -> f64 {
            let rows = exact.chunks_exact(COLS).zip(real.chunks_exact(COLS));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            rows.map(|(exact, real)| (dot(exact, &weights[..COLS]) - dot(real, &found[..COLS])).powi(2)).sum()
        };
        assert!(error(&targets) < 0.2 * error(&weights), "{} and {}", error(&targets), error(&weights));
    }

    #[test]
    fn inputs_that_are_all_zero_say_nothing() {
        let zero = vec![0.0; 3 * COLS];
        assert!(Inputs::new(moments(&zero, &zero, COLS), COLS, GROUP).is_none());
    }
}
