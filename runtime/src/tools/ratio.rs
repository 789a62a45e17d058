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
        let common = gcd(numerator.unsigned_abs(), denominator.unsigned_abs()).cast_signed();
        let sign = denominator.signum();
        Self::reduced(numerator / common * sign, denominator / common * sign)
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
                    let shifted = numerator.checked_mul(10).and_then(|shifted| shifted.checked_add(digit));
                    numerator = shifted.ok_or(OVERFLOW)?;
                    if point.is_some() {
                        denominator = denominator.checked_mul(10).ok_or(OVERFLOW)?;
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
        let common = gcd(self.denominator.unsigned_abs(), other.denominator.unsigned_abs()).cast_signed();
        let (left, right) = (other.denominator / common, self.denominator / common);
        let sum = self.numerator.checked_mul(left).zip(other.numerator.checked_mul(right));
        let sum = sum.and_then(|(left, right)| left.checked_add(right));
        let denominator = self.denominator.checked_mul(left);
        let (sum, denominator) = sum.zip(denominator).ok_or(OVERFLOW)?;
        Self::new(sum, denominator)
    }

    pub(super) fn subtract(self, other: Self) -> Result<Self, ToolError> {
        self.add(other.negate())
    }

    pub(super) fn multiply(self, other: Self) -> Result<Self, ToolError> {
        // What cancels is taken out first, so that only a product that is itself too large overflows.
        let across = gcd(self.numerator.unsigned_abs(), other.denominator.unsigned_abs()).cast_signed();
        let back = gcd(other.numerator.unsigned_abs(), self.denominator.unsigned_abs()).cast_signed();
        let numerator = (self.numerator / across).checked_mul(other.numerator / back);
        let denominator = (self.denominator / back).checked_mul(other.denominator / across);
        let (numerator, denominator) = numerator.zip(denominator).ok_or(OVERFLOW)?;
        Self::reduced(numerator, denominator)
    }

    pub(super) fn divide(self, other: Self) -> Result<Self, ToolError> {
        self.multiply(other.inverse()?)
    }

    fn inverse(self) -> Result<Self, ToolError> {
        let sign = self.numerator.signum();
        match sign {
            0 => Err(DIVISION_BY_ZERO),
            _ => Ok(Self { numerator: self.denominator * sign, denominator: self.numerator * sign }),
        }
    }

    /// What a division to a whole number, rounded towards zero, leaves: it has the sign of `self`, as in Rust and C.
    pub(super) fn remainder(self, other: Self) -> Result<Self, ToolError> {
        let quotient = self.divide(other)?;
        let whole = Self::reduced(quotient.numerator / quotient.denominator, 1)?;
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
        let mut whole = self.numerator.unsigned_abs() / denominator;
        let mut rest = self.numerator.unsigned_abs() % denominator;
        let mut fraction = [b'0'; MOST_DIGITS as usize];
        let fraction = &mut fraction[..usize::from(digits.min(MOST_DIGITS))];
        for place in fraction.iter_mut() {
            rest *= 10;
            *place += (rest / denominator) as u8;
            rest %= denominator;
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
        digits[place] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || place == 0 {
            break;
        }
    }
    out.push(core::str::from_utf8(&digits[place..]).unwrap_or_default());
}

/// The greatest common divisor, of zeros 1; by shifts and differences (Stein 1967), since a small core divides 128 bits
/// in thousands of instructions.
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
