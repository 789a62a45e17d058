//! The calculator: exact arithmetic for a model that only has to know what is to be computed.
//!
//! Numbers are ratios of whole numbers with up to 36 digits, so nothing is rounded before the result is written.

use super::expression::evaluate;
use super::ratio::MOST_DIGITS;
use super::{Text, Tool, ToolError};
use crate::grammar::{EXPRESSION, Grammar};

/// Evaluates whole and decimal numbers with `+ - * / % ^`, parentheses and a minus before an operand.
///
/// `^` is a power with a whole exponent and is computed from the right; `%` is the remainder of a division rounded
/// towards zero. A result that does not come out in the calculator's number of decimals is rounded to the nearest,
/// halves away from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calculator {
    decimals: u8,
}

impl Calculator {
    /// A calculator that writes at most 6 decimals.
    pub const fn new() -> Self {
        Self { decimals: 6 }
    }

    /// Writes at most so many decimals instead, at most 30.
    pub const fn with_decimals(self, decimals: u8) -> Self {
        Self { decimals: if decimals < MOST_DIGITS { decimals } else { MOST_DIGITS } }
    }
}

impl Default for Calculator {
    fn default() -> Self {
        Self::new()
    }
}

impl Tool for Calculator {
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        let (value, length) = evaluate(arguments.as_bytes(), None)?;
        if length < arguments.len() {
            return Err(ToolError("malformed"));
        }
        value.write(self.decimals, out);
        Ok(())
    }

    fn arguments(&self) -> Grammar<'_> {
        EXPRESSION
    }
}
