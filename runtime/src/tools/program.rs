//! Programs of a few statements: what a model writes where one expression is not enough.
//!
//! Program of thought (Chen et al. 2022): the model says how, the machine computes. The text is run where it stands;
//! nothing is compiled, and a bound on the steps ends whatever would not.

use heapless::Vec;

use super::expression::{Names, evaluate, name_length};
use super::ratio::{MOST_DIGITS, Ratio};
use super::{Text, Tool, ToolError};
use crate::grammar::{Grammar, PROGRAM};

/// Most variables of a program.
pub const MOST_VARIABLES: usize = 8;
/// Most blocks, one in the other.
const MOST_BLOCKS: usize = 8;

const MALFORMED: ToolError = ToolError("malformed");

/// Runs programs: assignments, expressions with names, comparisons (1 or 0), `if`, `else` and `while` with blocks in
/// braces, with semicolons or line breaks between. `x=1;while x<100{x=x*2};x` is 128.
///
/// The result is the variable `answer`, or else the value of the last expression or assignment that was run. Arithmetic
/// is that of the [`Calculator`](super::Calculator).
#[derive(Clone, Debug)]
pub struct Program {
    decimals: u8,
    steps: u32,
    variables: Vec<Variable, MOST_VARIABLES>,
}

/// A variable: where its name stands in the program, and its value.
#[derive(Clone, Copy, Debug)]
struct Variable {
    start: usize,
    length: usize,
    value: Ratio,
}

/// A block that is being run.
enum Block {
    Once,
    /// Where its `while` stands.
    Again(usize),
}

impl Program {
    /// Writes at most 6 decimals and runs at most 1,000 statements and conditions.
    pub const fn new() -> Self {
        Self { decimals: 6, steps: 1000, variables: Vec::new() }
    }

    /// Writes at most so many decimals instead, at most 30.
    pub const fn with_decimals(mut self, decimals: u8) -> Self {
        self.decimals = if decimals < MOST_DIGITS { decimals } else { MOST_DIGITS };
        self
    }

    /// Runs at most so many statements and conditions instead.
    pub const fn with_steps(mut self, steps: u32) -> Self {
        self.steps = steps;
        self
    }

    fn run(&mut self, text: &[u8]) -> Result<Ratio, ToolError> {
        self.variables.clear();
        let mut blocks: Vec<Block, MOST_BLOCKS> = Vec::new();
        let (mut last, mut steps) = (None, self.steps);
        let mut at = 0;
        loop {
            at += white_space(&text[at..], true);
            let rest = &text[at..];
            let Some(&byte) = rest.first() else { break };
            if byte == b'}' {
                at = match blocks.pop().ok_or(MALFORMED)? {
                    Block::Again(start) => start,
                    // What stands behind `else` was not to be run.
                    Block::Once => match else_block(text, at + 1) {
                        Some(inside) => end_of_block(text, inside)?,
                        None => at + 1,
                    },
                };
                continue;
            }
            steps = steps.checked_sub(1).ok_or(ToolError("too many steps"))?;
            let length = name_length(rest);
            let name = &rest[..length];
            if matches!(name, b"if" | b"while") {
                let (inside, holds) = self.condition(text, at + length)?;
                let block = if name == b"if" { Block::Once } else { Block::Again(at) };
                at = if holds {
                    blocks.push(block).map_err(|_| ToolError("nested too deep"))?;
                    inside
                } else {
                    let end = end_of_block(text, inside)?;
                    match else_block(text, end).filter(|_| name == b"if") {
                        Some(inside) => {
                            blocks.push(Block::Once).map_err(|_| ToolError("nested too deep"))?;
                            inside
                        }
                        None => end,
                    }
                };
                continue;
            }
            let behind = at + length + white_space(&rest[length..], false);
            let value = match &text[behind..] {
                [b'=', b'=', ..] => None,
                [b'=', rest @ ..] if length > 0 => Some(rest),
                _ => None,
            };
            let (value, end) = match value {
                Some(expression) => {
                    let (value, taken) = self.evaluate(text, expression)?;
                    self.assign(text, at, length, value)?;
                    (value, behind + 1 + taken)
                }
                None => {
                    let (value, taken) = self.evaluate(text, rest)?;
                    (value, at + taken)
                }
            };
            last = Some(value);
            at = end;
            if !matches!(text.get(at), None | Some(b';' | b'\n' | b'\r' | b'}')) {
                return Err(MALFORMED);
            }
        }
        if !blocks.is_empty() {
            return Err(ToolError("a block is not closed"));
        }
        let scope = Scope { text, variables: &self.variables };
        scope.value(b"answer").or(last).ok_or(ToolError("a number is missing"))
    }

    /// The condition at a place: where the block behind it begins, and whether it holds.
    fn condition(&self, text: &[u8], at: usize) -> Result<(usize, bool), ToolError> {
        let (value, taken) = self.evaluate(text, &text[at..])?;
        match text.get(at + taken) {
            Some(b'{') => Ok((at + taken + 1, !value.is_zero())),
            _ => Err(MALFORMED),
        }
    }

    fn evaluate(&self, text: &[u8], expression: &[u8]) -> Result<(Ratio, usize), ToolError> {
        evaluate(expression, Some(&Scope { text, variables: &self.variables }))
    }

    fn assign(&mut self, text: &[u8], start: usize, length: usize, value: Ratio) -> Result<(), ToolError> {
        let name = text.get(start..start + length);
        let known = self.variables.iter_mut().find(|known| known.name(text) == name);
        match known {
            Some(known) => known.value = value,
            None => {
                let variable = Variable { start, length, value };
                self.variables.push(variable).map_err(|_| ToolError("too many names"))?;
            }
        }
        Ok(())
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

impl Tool for Program {
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        let value = self.run(arguments.as_bytes())?;
        value.write(self.decimals, out);
        Ok(())
    }

    fn arguments(&self) -> Grammar<'_> {
        PROGRAM
    }
}

impl Variable {
    fn name<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        text.get(self.start..self.start + self.length)
    }
}

/// The variables of a program and its text, where their names are.
struct Scope<'a> {
    text: &'a [u8],
    variables: &'a [Variable],
}

impl Names for Scope<'_> {
    fn value(&self, name: &[u8]) -> Option<Ratio> {
        let variable = self.variables.iter().find(|variable| variable.name(self.text) == Some(name))?;
        Some(variable.value)
    }
}

/// Bytes of spaces at the beginning, and of what separates statements if it is wanted.
fn white_space(text: &[u8], separators: bool) -> usize {
    let is_space = |byte: &&u8| match byte {
        b' ' | b'\t' => true,
        b';' | b'\n' | b'\r' => separators,
        _ => false,
    };
    text.iter().take_while(is_space).count()
}

/// The place behind the brace that closes the block which begins at `at`, behind its opening brace.
fn end_of_block(text: &[u8], at: usize) -> Result<usize, ToolError> {
    let mut depth = 1;
    for (place, byte) in text.iter().enumerate().skip(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(place + 1);
        }
    }
    Err(ToolError("a block is not closed"))
}

/// Where the block of an `else` at this place begins.
fn else_block(text: &[u8], at: usize) -> Option<usize> {
    let start = at + white_space(text.get(at..)?, false);
    let rest = text.get(start..)?.strip_prefix(b"else")?;
    let behind = rest.get(white_space(rest, false)..)?.strip_prefix(b"{")?;
    Some(text.len() - behind.len())
}
