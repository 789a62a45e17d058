//! Loops over slices that the compiler turns into vector instructions.
//!
//! Sums are kept in [`LANES`] partial sums, whose order is fixed, since a compiler may not reorder a sum of floats. The
//! exponential is a polynomial without branches. Everything is `inline(always)`, to become part of the caller within
//! [`vectorized`], which chooses the instruction set at run time.

/// Partial sums; a multiple of every vector's width.
const LANES: usize = 16;

/// Runs loops with the widest vectors of this machine.
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Added to a small number, its last bit is worth 1: the sum is rounded to an integer, which is in its low bits.
const ROUND: f32 = 12_582_912.0;

/// The nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub fn rounded(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// `e^x`, relative error below 2e-7, for x in [-87, 88]; x beyond is taken for the end that is nearer.
///
/// `x = n ln 2 + r`, `|r| <= ln 2 / 2`; the polynomial of `e^r` is that of Cephes' `expf`.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants as they are published")]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * 0.693_359_375) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_15e-4;
    p = p * r + 1.398_199_950_7e-3;
    p = p * r + 8.333_451_907_3e-3;
    p = p * r + 4.166_579_589_4e-2;
    p = p * r + 1.666_666_545_9e-1;
    p = p * r + 5.000_000_120_1e-1;
    let e = p * (r * r) + r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    e * f32::from_bits(exponent << 23)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Folds pairs of elements in lanes, then the lanes.
#[inline(always)]
fn fold(a: &[f32], b: &[f32], start: f32, mut step: impl FnMut(f32, f32, f32) -> f32) -> [f32; LANES] {
    let mut lanes = [start; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = step(lanes[lane], a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = step(*lane, a, b);
    }
    lanes
}

/// The sum of the lanes, halves first.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The dot product of two slices of one length.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    total(fold(a, b, 0.0, |sum, a, b| sum + a * b))
}

/// The largest element.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let lanes = fold(a, a, f32::NEG_INFINITY, |max, a, _| if a > max { a } else { max });
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The largest magnitude.
#[inline(always)]
pub fn max_magnitude(a: &[f32]) -> f32 {
    let lanes = fold(a, a, 0.0, |max, a, _| if a.abs() > max { a.abs() } else { max });
    lanes.into_iter().fold(0.0, f32::max)
}

/// Makes probabilities of scores and returns the logarithm of the sum of their exponentials.
#[inline(always)]
pub fn softmax(scores: &mut [f32]) -> f32 {
    let max = max(scores);
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] - max);
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, score) in lanes.iter_mut().zip(rest) {
        *score = exp(*score - max);
        *lane += *score;
    }
    let sum = total(lanes);
    let inverse = 1.0 / sum;
    for score in scores {
        *score *= inverse;
    }
    max + sum.ln()
}

/// `a += scale * b`.
#[inline(always)]
pub fn add_scaled(a: &mut [f32], scale: f32, b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += scale * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_near_the_true_one() {
        let worst = (-87_000..88_000).map(|i| {
            let x = i as f32 / 1000.0;
            (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs()
        });
        let worst = worst.fold(0.0, f64::max);
        assert!(worst < 2e-7, "{worst:e}");
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
    }

    #[test]
    fn sums_take_in_every_element() {
        for length in [0, 1, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..length).map(|i| (i % 7) as f32 - 3.0).collect();
            let expected: f32 = a.iter().map(|a| a * a).sum();
            assert_eq!(vectorized(|| dot(&a, &a)), expected);
            let magnitude = a.iter().fold(0f32, |max, a| max.max(a.abs()));
            assert_eq!(max_magnitude(&a), magnitude);
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_large_scores_do_not_overflow() {
        let mut scores: Vec<f32> = (0..37).map(|i| 1000.0 + (i % 5) as f32).collect();
        let log_sum = softmax(&mut scores);
        let expected = (0..37).map(|i| f64::from(i % 5).exp()).sum::<f64>().ln() + 1000.0;
        assert!((f64::from(log_sum) - expected).abs() < 1e-3);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
