//! Every transcendental function of the runtime, the same code on every target.
//!
//! The platform's mathematics library would give other bits on a laptop than on a microcontroller. Here is
//! nothing but IEEE additions, multiplications and integer operations in a fixed order, either written out
//! (where a model spends its time: attention's exp, the rotary angles) or in libm, which is compiled from the
//! same Rust source everywhere.

/// e^x: 0 below -87.3 and infinity above 88.7, where the result would soon leave the ordinary numbers.
///
/// In between the error is at most 1.1 units in the last place (measured against double precision, see the test
/// below). No branch, no table, no division: a loop over it can be vectorized. No subnormal number occurs, so
/// vector units that flush them compute the same bits.
///
/// x = n ln 2 + r with |r| <= ln(2)/2; e^r by the minimax polynomial of Cephes' `expf` (Moshier 1989); n is
/// added to the exponent.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (n, whole) = round(x * core::f32::consts::LOG2_E);
    let r = x - whole * LN2_HIGH - whole * LN2_LOW;
    let [mut p, coefficients @ ..] = EXP;
    for coefficient in coefficients {
        p = p * r + coefficient;
    }
    let p = p * (r * r) + r + 1.0;
    let power = f32::from_bits(p.to_bits().wrapping_add((n as u32) << 23));
    let power = if x < -87.3 { 0.0 } else { power };
    if x > 88.7 { f32::INFINITY } else { power }
}

/// ln 2 in two parts; the first has so few bits that a small integer times it is exact.
pub(crate) const LN2_HIGH: f32 = 0.693_359_4;
/// What the first part lacks.
pub(crate) const LN2_LOW: f32 = -2.121_944_4e-4;
/// Coefficients of e^r, of r^7 down to r^2.
pub(crate) const EXP: [f32; 6] =
    [1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_3e-1];
/// 1.5 * 2^23: what is left of a number in a sum with this is its integer part.
pub(crate) const ROUNDER: f32 = 12_582_912.0;

/// As `exp`, in one copy, for loops that no vector unit speeds up.
#[inline(never)]
pub(crate) fn exp_apart(x: f32) -> f32 {
    exp(x)
}

/// The nearest integer, ties to even, as an integer and as a float; for |x| < 2^22.
#[inline(always)]
fn round(x: f32) -> (i32, f32) {
    let sum = x + ROUNDER;
    ((sum.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32), sum - ROUNDER)
}

/// Sine and cosine of an angle in radians, for |x| < 2^24.
///
/// The error is at most 1.2e-7 (measured, see the test below). The angle is reduced to an eighth of a turn in integers:
/// times 2/pi to 64 bits, which keeps every bit of a large position's angle without double precision, which small cores
/// have to imitate. The polynomials are those of Cephes' `sinf` and `cosf`.
pub(crate) fn sin_cos(x: f32) -> (f32, f32) {
    let magnitude = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    let (quadrant, y) =
        if magnitude < core::f32::consts::FRAC_PI_4 { (0, magnitude) } else { reduce(magnitude) };
    let z = y * y;
    let sin = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * y + y;
    let cos = ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * (z * z) - 0.5 * z + 1.0;
    let (sin, cos) = match quadrant {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    };
    (if x.is_sign_negative() { -sin } else { sin }, cos)
}

/// The nearest quarter of a turn, modulo four, and the angle from there, for pi/4 <= x < 2^24.
fn reduce(x: f32) -> (u64, f32) {
    // 2/pi = (HIGH + LOW / 2^32) / 2^32, less what follows.
    const HIGH: u64 = 0xa2f9_836e;
    const LOW: u64 = 0x4e44_1529;
    const UNIT: f32 = core::f32::consts::FRAC_PI_2 / 4_294_967_296.0;
    let mantissa = u64::from(x.to_bits() & 0x7f_ffff | 0x80_0000);
    // x = mantissa / 2^shift.
    let shift = 150_u32.saturating_sub(x.to_bits() >> 23);
    let quarters = (mantissa * HIGH + ((mantissa * LOW) >> 32)) >> shift;
    (((quarters + (1 << 31)) >> 32) & 3, quarters as i32 as f32 * UNIT)
}

/// The square root, correctly rounded.
pub(crate) fn sqrt(x: f32) -> f32 {
    libm::sqrtf(x)
}

/// The hyperbolic tangent. The error is at most 1.8e-7 (measured, see the test below).
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp_apart(2.0 * x))
}

/// x * sigmoid(x).
#[inline]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU by the tanh approximation of Hendrycks and Gimpel (2016), as GPT-2 has it.
///
/// (1 + tanh u) / 2 is the sigmoid of 2u.
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    x / (1.0 + exp_apart(-TWICE_SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

/// GELU by the error function.
///
/// The complement of the error function is a polynomial in 1 / (1 + p |x|) times e^-x^2 with an error of at most
/// 1.5e-7 (Hastings 1955; Abramowitz and Stegun, 7.1.26).
pub(crate) fn gelu_erf(x: f32) -> f32 {
    let z = f32::from_bits(x.to_bits() & 0x7fff_ffff) * core::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p * t + coefficient;
    }
    // Half the complement: what the side of the argument that is nearer to an infinity lacks.
    let tail = 0.5 * (p * t) * exp_apart(-z * z);
    x * if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance of `value` from `exact` in units of the last place of a float of that size.
    fn ulps(value: f32, exact: f64) -> f64 {
        let exponent = libm::ilogb(exact).max(-126);
        (f64::from(value) - exact).abs() / libm::ldexp(1.0, exponent - 23)
    }

    /// Finite floats between two bounds: every `step`th bit pattern.
    fn floats(step: usize, in_range: impl Fn(f32) -> bool) -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(step).map(f32::from_bits).filter(move |x| x.is_finite() && in_range(*x))
    }

    #[test]
    fn exp_errs_by_at_most_the_stated_bound() {
        let mut worst = (0.0, 0.0);
        for x in floats(997, |x| (-87.3..=88.7).contains(&x)) {
            let error = ulps(exp(x), libm::exp(x.into()));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        assert!(worst.0 > 0.5 && worst.0 < 1.1, "{worst:?}");
    }

    #[test]
    fn exp_at_its_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-87.31), 0.0);
        assert!(exp(-87.3) >= f32::MIN_POSITIVE);
        assert!(exp(88.7) < f32::MAX);
        assert_eq!(exp(88.71), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sine_and_cosine_err_by_at_most_the_stated_bound() {
        let mut worst = 0.0f64;
        for x in floats(4999, |x| x.abs() < 16_777_216.0) {
            let (sin, cos) = sin_cos(x);
            worst = worst.max((f64::from(sin) - libm::sin(x.into())).abs());
            worst = worst.max((f64::from(cos) - libm::cos(x.into())).abs());
        }
        assert!(worst > 1e-8 && worst < 1.2e-7, "{worst:e}");
    }

    #[test]
    fn tanh_errs_by_at_most_the_stated_bound() {
        let mut worst = 0.0f64;
        for x in floats(997, |x| x.abs() < 1e3) {
            worst = worst.max((f64::from(tanh(x)) - libm::tanh(x.into())).abs());
        }
        assert!(worst > 1e-8 && worst < 1.8e-7, "{worst:e}");
        assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(0.0)], [1.0, -1.0, 0.0]);
    }

    #[test]
    fn activations_agree_with_double_precision() {
        for x in (-400..=400).map(|i| i as f32 / 20.0) {
            let wide = f64::from(x);
            let tanh = libm::tanh(0.797_884_560_802_865_4 * (wide + 0.044715 * wide * wide * wide));
            let close = |a: f32, b: f64| (f64::from(a) - b).abs() < 2e-6 * (1.0 + b.abs());
            assert!(close(silu(x), wide / (1.0 + libm::exp(-wide))), "silu {x}");
            assert!(close(gelu_tanh(x), 0.5 * wide * (1.0 + tanh)), "gelu_tanh {x}");
            assert!(close(gelu_erf(x), 0.5 * wide * (1.0 + libm::erf(wide / 2f64.sqrt()))), "gelu_erf {x}");
        }
    }
}
