//! Exact rational numbers, and how they are written as decimals.
//!
//! Every number that a calculation can name, and every quotient of two, is a ratio of whole numbers. Computing with
//! ratios, a division that does not come out loses nothing until the result is written: `1/3*3` is 1.

use super::{Text, ToolError};

const OVERFLOW: ToolError = ToolError("overflow");
const DIVISION_BY_ZERO: ToolError = ToolError("division by zero");

/// Largest numerator or denominator: 36 decimal digits, so that a remainder times ten fits.
const MOST: u128 = 10u128.pow(36);

/// A ratio in lowest terms, the denominator positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    pub(super) const ZERO: Self = Self::whole(0);
    pub(super) const ONE: Self = Self::whole(1);

    const fn whole(number: i64) -> Self {
        Self { numerator: number as i128, denominator: 1 }
    }

    fn new(numerator: i128, denominator: i128) -> Result<Self, ToolError> {
        if denominator == 0 {
            return Err(DIVISION_BY_ZERO);
        }
        let common = gcd(numerator.unsigned_abs(), denominator.unsigned_abs());
        let (numerator, denominator) = (quotient(numerator, common), quotient(denominator, common));
        match denominator < 0 {
            true => Self::reduced(numerator.wrapping_neg(), denominator.wrapping_neg()),
            false => Self::reduced(numerator, denominator),
        }
    }

    /// A ratio that is in lowest terms already.
    fn reduced(numerator: i128, denominator: i128) -> Result<Self, ToolError> {
        match numerator.unsigned_abs() <= MOST && denominator.unsigned_abs() <= MOST {
            true => Ok(Self { numerator, denominator }),
            false => Err(OVERFLOW),
        }
    }

    /// Reads digits, at most one point among them, from the beginning of `text`; how many bytes they take. Digits
    /// stand on both sides of the point.
    pub(super) fn read(text: &[u8]) -> Result<(Self, usize), ToolError> {
        let (mut numerator, mut denominator, mut length) = (0i128, 1i128, 0);
        let mut point = None;
        while let Some(&byte) = text.get(length) {
            match byte {
                b'0'..=b'9' => {
                    let digit = i128::from(byte - b'0');
                    let shifted = product(numerator, 10).and_then(|shifted| shifted.checked_add(digit));
                    numerator = shifted.ok_or(OVERFLOW)?;
                    if point.is_some() {
                        denominator = product(denominator, 10).ok_or(OVERFLOW)?;
                    }
                }
                b'.' if point.is_none() && length > 0 => point = Some(length),
                _ => break,
            }
            length += 1;
        }
        if length == 0 || point.is_some_and(|point| point + 1 == length) {
            return Err(ToolError("a number is malformed"));
        }
        Ok((Self::new(numerator, denominator)?, length))
    }

    pub(super) const fn is_zero(self) -> bool {
        self.numerator == 0
    }

    pub(super) fn negate(self) -> Self {
        Self { numerator: -self.numerator, ..self }
    }

    pub(super) fn add(self, other: Self) -> Result<Self, ToolError> {
        let common = gcd(self.denominator.unsigned_abs(), other.denominator.unsigned_abs());
        let (left, right) = (quotient(other.denominator, common), quotient(self.denominator, common));
        let sum = product(self.numerator, left).zip(product(other.numerator, right));
        let sum = sum.and_then(|(left, right)| left.checked_add(right));
        let denominator = product(self.denominator, left);
        let (sum, denominator) = sum.zip(denominator).ok_or(OVERFLOW)?;
        Self::new(sum, denominator)
    }

    pub(super) fn subtract(self, other: Self) -> Result<Self, ToolError> {
        self.add(other.negate())
    }

    pub(super) fn multiply(self, other: Self) -> Result<Self, ToolError> {
        // What cancels is taken out first, so that only a product that is itself too large overflows.
        let across = gcd(self.numerator.unsigned_abs(), other.denominator.unsigned_abs());
        let back = gcd(other.numerator.unsigned_abs(), self.denominator.unsigned_abs());
        let numerator = product(quotient(self.numerator, across), quotient(other.numerator, back));
        let denominator = product(quotient(self.denominator, back), quotient(other.denominator, across));
        let (numerator, denominator) = numerator.zip(denominator).ok_or(OVERFLOW)?;
        Self::reduced(numerator, denominator)
    }

    pub(super) fn divide(self, other: Self) -> Result<Self, ToolError> {
        self.multiply(other.inverse()?)
    }

    fn inverse(self) -> Result<Self, ToolError> {
        let Self { numerator, denominator } = self;
        match numerator.signum() {
            0 => Err(DIVISION_BY_ZERO),
            1 => Ok(Self { numerator: denominator, denominator: numerator }),
            _ => Ok(Self { numerator: -denominator, denominator: -numerator }),
        }
    }

    /// What a division to a whole number, rounded towards zero, leaves: it has the sign of `self`, as in Rust and C.
    pub(super) fn remainder(self, other: Self) -> Result<Self, ToolError> {
        let all = self.divide(other)?;
        let whole = Self::reduced(quotient(all.numerator, all.denominator.unsigned_abs()), 1)?;
        self.subtract(whole.multiply(other)?)
    }

    /// A power with a whole exponent; `0^0` is 1.
    pub(super) fn power(self, exponent: Self) -> Result<Self, ToolError> {
        if exponent.denominator != 1 {
            return Err(ToolError("an exponent is not whole"));
        }
        let mut base = if exponent.numerator < 0 { self.inverse()? } else { self };
        let mut left = exponent.numerator.unsigned_abs();
        let mut product = Self::ONE;
        // Only these do not overflow, however large the exponent.
        if matches!(base.numerator, -1..=1) && base.denominator == 1 {
            left = if left == 0 { 0 } else { 2 - left % 2 };
        }
        while left > 0 {
            if left % 2 == 1 {
                product = product.multiply(base)?;
            }
            left /= 2;
            if left > 0 {
                base = base.multiply(base)?;
            }
        }
        Ok(product)
    }

    pub(super) fn compare(self, other: Self) -> Result<core::cmp::Ordering, ToolError> {
        Ok(self.subtract(other)?.numerator.cmp(&0))
    }

    /// Writes a decimal number with at most `digits` digits behind the point: exact if that is enough, else rounded to
    /// the nearest, halves away from zero; without zeros at its end.
    pub(super) fn write(self, digits: u8, out: &mut Text<'_>) {
        let denominator = self.denominator.unsigned_abs();
        let (mut whole, mut rest) = divided(self.numerator.unsigned_abs(), denominator);
        let mut fraction = [b'0'; MOST_DIGITS as usize];
        let fraction = &mut fraction[..usize::from(digits.min(MOST_DIGITS))];
        for place in fraction.iter_mut() {
            let (digit, left) = divided(rest * 10, denominator);
            *place += digit as u8;
            rest = left;
        }
        if rest * 2 >= denominator {
            // Carries through the nines.
            let nines = fraction.iter().rev().take_while(|digit| **digit == b'9').count();
            let kept = fraction.len() - nines;
            fraction[kept..].fill(b'0');
            match fraction[..kept].last_mut() {
                Some(digit) => *digit += 1,
                None => whole += 1,
            }
        }
        let zeros = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let fraction = &fraction[..fraction.len() - zeros];
        if self.numerator < 0 && (whole > 0 || !fraction.is_empty()) {
            out.push("-");
        }
        write_whole(whole, out);
        if !fraction.is_empty() {
            out.push(".");
            out.push(core::str::from_utf8(fraction).unwrap_or_default());
        }
    }
}

/// The most digits behind the point that can be asked for.
pub(super) const MOST_DIGITS: u8 = 30;

fn write_whole(mut number: u128, out: &mut Text<'_>) {
    // u128 has at most 39 digits.
    let mut digits = [0; 39];
    let mut place = digits.len();
    loop {
        place -= 1;
        let (rest, digit) = divided(number, 10);
        digits[place] = b'0' + digit as u8;
        number = rest;
        if number == 0 || place == 0 {
            break;
        }
    }
    out.push(core::str::from_utf8(&digits[place..]).unwrap_or_default());
}

// What is 128 bits wide stays a function of its own, called from everywhere: inlined at each place, it would be 17 KB of a
// small core's firmware.

/// A product, unless it is too large.
#[inline(never)]
fn product(a: i128, b: i128) -> Option<i128> {
    a.checked_mul(b)
}

/// A quotient, rounded towards zero.
fn quotient(number: i128, divisor: u128) -> i128 {
    let size = divided(number.unsigned_abs(), divisor).0.cast_signed();
    if number < 0 { size.wrapping_neg() } else { size }
}

/// Quotient and remainder, bit by bit; of a division by zero, zero and the number.
#[inline(never)]
fn divided(number: u128, divisor: u128) -> (u128, u128) {
    if divisor == 0 || divisor > number {
        return (0, number);
    }
    let (mut quotient, mut rest) = (0, number);
    let most = divisor.leading_zeros() - number.leading_zeros();
    for shift in (0..=most).rev() {
        let part = divisor << shift;
        if part <= rest {
            rest -= part;
            quotient |= 1 << shift;
        }
    }
    (quotient, rest)
}

/// The greatest common divisor, of zeros 1; by shifts and differences (Stein 1967), since a small core divides 128 bits
/// in thousands of instructions.
#[inline(never)]
fn gcd(mut a: u128, mut b: u128) -> u128 {
    if a == 0 || b == 0 {
        return (a | b).max(1);
    }
    let twos = (a | b).trailing_zeros();
    a >>= a.trailing_zeros();
    while b != 0 {
        b >>= b.trailing_zeros();
        if a > b {
            core::mem::swap(&mut a, &mut b);
        }
        b -= a;
    }
    a << twos
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::SplitMix64;

    #[test]
    fn wide_division_is_that_of_the_language() {
        let mut random = SplitMix64::at(1, 0);
        let mut wide = || {
            let bits = u128::from(random.next()) << 64 | u128::from(random.next());
            bits >> (random.next() % 128)
        };
        for _ in 0..20_000 {
            let (number, divisor) = (wide(), wide().max(1));
            assert_eq!(divided(number, divisor), (number / divisor, number % divisor));
            let (signed, size) = (number.cast_signed(), divisor >> 1);
            if size > 0 {
                assert_eq!(quotient(signed, size), signed.wrapping_div(size.cast_signed()));
            }
        }
        assert_eq!(divided(u128::MAX, 1), (u128::MAX, 0));
        assert_eq!(divided(5, 0), (0, 5));
    }
}
