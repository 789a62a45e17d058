//! Arithmetic as people write it, evaluated from left to right with two bounded stacks.
//!
//! Dijkstra's shunting yard (1961): operators wait until one that binds less strongly follows. No recursion, so
//! nesting costs entries of a stack of known size and not the stack of the core.

use core::cmp::Ordering;

use heapless::Vec;

use super::ToolError;
use super::ratio::Ratio;

/// Most numbers that wait.
const MOST_VALUES: usize = 16;
/// Most operators and parentheses that wait.
const MOST_OPERATORS: usize = 32;

const TOO_DEEP: ToolError = ToolError("nested too deep");
const OPEN_PARENTHESIS: ToolError = ToolError("a parenthesis is not closed");

/// What waits for its right operand, in the order of how strongly it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Open,
    Compare { less: bool, equal: bool, more: bool },
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
    Power,
}

impl Operator {
    const fn strength(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Compare { .. } => 1,
            Self::Add | Self::Subtract => 2,
            Self::Multiply | Self::Divide | Self::Remainder => 3,
            // `-2^2` is -4.
            Self::Negate => 4,
            Self::Power => 5,
        }
    }

    /// The operator at the beginning of `text`, and its length.
    fn read(text: &[u8], compares: bool) -> Option<(Self, usize)> {
        let compare =
            |less, equal, more, length| compares.then_some((Self::Compare { less, equal, more }, length));
        match *text {
            [b'+', ..] => Some((Self::Add, 1)),
            [b'-', ..] => Some((Self::Subtract, 1)),
            [b'*', ..] => Some((Self::Multiply, 1)),
            [b'/', ..] => Some((Self::Divide, 1)),
            [b'%', ..] => Some((Self::Remainder, 1)),
            [b'^', ..] => Some((Self::Power, 1)),
            [b'<', b'=', ..] => compare(true, true, false, 2),
            [b'>', b'=', ..] => compare(false, true, true, 2),
            [b'=', b'=', ..] => compare(false, true, false, 2),
            [b'!', b'=', ..] => compare(true, false, true, 2),
            [b'<', ..] => compare(true, false, false, 1),
            [b'>', ..] => compare(false, false, true, 1),
            _ => None,
        }
    }
}

/// Names and their values, and comparisons with them: what a program has and a calculator has not.
pub(super) trait Names {
    /// The value of a name.
    fn value(&self, name: &[u8]) -> Option<Ratio>;
}

/// The length of the name at the beginning of `text`: a letter, then letters, digits and underscores.
pub(super) fn name_length(text: &[u8]) -> usize {
    match text.first() {
        Some(first) if first.is_ascii_alphabetic() || *first == b'_' => {
            text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
        }
        _ => 0,
    }
}

/// Evaluates the expression at the beginning of `text`: its value, and the bytes that it takes, spaces behind it
/// included. It ends before the first byte that cannot belong to it.
pub(super) fn evaluate(text: &[u8], names: Option<&dyn Names>) -> Result<(Ratio, usize), ToolError> {
    let mut stacks = Stacks { values: Vec::new(), operators: Vec::new() };
    let (mut at, mut wants_operand) = (0, true);
    loop {
        at += text[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = &text[at..];
        let taken = match (rest.first(), wants_operand) {
            (Some(b'('), true) => stacks.wait(Operator::Open).map(|()| 1)?,
            (Some(b'-'), true) => stacks.wait(Operator::Negate).map(|()| 1)?,
            (Some(b'0'..=b'9'), true) => {
                let (value, length) = Ratio::read(rest)?;
                wants_operand = false;
                stacks.push(value).map(|()| length)?
            }
            (_, true) => {
                let length = name_length(rest);
                let name = rest.get(..length).filter(|name| !name.is_empty());
                let (names, name) = names.zip(name).ok_or(match rest.is_empty() {
                    true => ToolError("a number is missing"),
                    false => ToolError("malformed"),
                })?;
                wants_operand = false;
                let value = names.value(name).ok_or(ToolError("a name has no value"))?;
                stacks.push(value).map(|()| length)?
            }
            (Some(b')'), false) if stacks.operators.contains(&Operator::Open) => {
                stacks.apply_down_to(1)?;
                stacks.operators.pop();
                1
            }
            (_, false) => {
                let Some((operator, length)) = Operator::read(rest, names.is_some()) else { break };
                // Powers are computed from the right.
                let least = operator.strength() + u8::from(operator == Operator::Power);
                stacks.apply_down_to(least)?;
                wants_operand = true;
                stacks.wait(operator).map(|()| length)?
            }
        };
        at += taken;
    }
    stacks.apply_down_to(1)?;
    match (stacks.values.pop(), stacks.operators.is_empty()) {
        (Some(value), true) => Ok((value, at)),
        _ => Err(OPEN_PARENTHESIS),
    }
}

struct Stacks {
    values: Vec<Ratio, MOST_VALUES>,
    operators: Vec<Operator, MOST_OPERATORS>,
}

impl Stacks {
    fn push(&mut self, value: Ratio) -> Result<(), ToolError> {
        self.values.push(value).map_err(|_| TOO_DEEP)
    }

    fn wait(&mut self, operator: Operator) -> Result<(), ToolError> {
        self.operators.push(operator).map_err(|_| TOO_DEEP)
    }

    /// Applies the operators at the top that bind at least as strongly as `least`.
    fn apply_down_to(&mut self, least: u8) -> Result<(), ToolError> {
        while let Some(&operator) = self.operators.last().filter(|operator| operator.strength() >= least) {
            self.operators.pop();
            let malformed = ToolError("malformed");
            let right = self.values.pop().ok_or(malformed)?;
            let value = match operator {
                Operator::Negate => right.negate(),
                _ => apply(operator, self.values.pop().ok_or(malformed)?, right)?,
            };
            self.push(value)?;
        }
        Ok(())
    }
}

fn apply(operator: Operator, left: Ratio, right: Ratio) -> Result<Ratio, ToolError> {
    match operator {
        Operator::Add => left.add(right),
        Operator::Subtract => left.subtract(right),
        Operator::Multiply => left.multiply(right),
        Operator::Divide => left.divide(right),
        Operator::Remainder => left.remainder(right),
        Operator::Power => left.power(right),
        Operator::Compare { less, equal, more } => {
            let holds = match left.compare(right)? {
                Ordering::Less => less,
                Ordering::Equal => equal,
                Ordering::Greater => more,
            };
            Ok(if holds { Ratio::ONE } else { Ratio::ZERO })
        }
        Operator::Open | Operator::Negate => Err(ToolError("malformed")),
    }
}
