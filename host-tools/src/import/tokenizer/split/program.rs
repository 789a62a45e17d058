//! An expression as a program of threads in order of priority (Thompson 1968, Pike 1987).
//!
//! A backtracking engine tries alternatives one after the other; here they are threads that run at once, the one
//! that would be tried first in front.

use anyhow::{Context, Result, bail, ensure};
use regex_syntax::hir::{Hir, HirKind};

use super::syntax::{Syntax, unicode};
use crate::import::tokenizer::classes::{Mask, Partition, single};

/// Instructions of an expression, at most: repetitions are written out.
const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// Takes a character of one of the classes.
    Take(Mask, usize),
    /// Goes on if the next character is of one of the classes, or the text ends and the end is among them.
    LookAhead(Mask, usize),
    /// Goes on in several places, the first preferred.
    Fork(Vec<usize>),
    /// The expression matches.
    Match,
}

/// The instructions; the first is where it begins.
pub struct Program {
    pub instructions: Vec<Instruction>,
    pub start: usize,
}

impl Program {
    pub fn new(syntax: &Syntax, classes: &Partition) -> Result<Self> {
        let mut writer = Writer { syntax, classes, instructions: vec![Instruction::Match] };
        let start = writer.write(&syntax.tree, 0)?;
        Ok(Self { instructions: writer.instructions, start })
    }
}

struct Writer<'a> {
    syntax: &'a Syntax,
    classes: &'a Partition,
    instructions: Vec<Instruction>,
}

impl Writer<'_> {
    fn push(&mut self, instruction: Instruction) -> Result<usize> {
        ensure!(
            self.instructions.len() < MAX_INSTRUCTIONS,
            "it is longer than {MAX_INSTRUCTIONS} instructions"
        );
        self.instructions.push(instruction);
        Ok(self.instructions.len() - 1)
    }

    /// Writes a tree so that it goes on at `next`; where it begins.
    fn write(&mut self, tree: &Hir, next: usize) -> Result<usize> {
        match tree.kind() {
            HirKind::Empty => Ok(next),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).context("a literal that is not UTF-8")?;
                text.chars().rev().try_fold(next, |next, character| self.character(character, next))
            }
            HirKind::Class(class) => {
                let mask = self.classes.mask(&unicode(class)?).context("a class without a mask")?;
                self.push(Instruction::Take(mask, next))
            }
            HirKind::Look(look) => bail!("it has the anchor {look:?}"),
            HirKind::Capture(capture) => self.write(&capture.sub, next),
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.write(part, next)),
            HirKind::Alternation(parts) => {
                let starts = parts.iter().map(|part| self.write(part, next)).collect::<Result<_>>()?;
                self.push(Instruction::Fork(starts))
            }
            HirKind::Repetition(repetition) => {
                let ordered =
                    |again, past| if repetition.greedy { vec![again, past] } else { vec![past, again] };
                let mut at = next;
                match repetition.max {
                    None => {
                        let fork = self.push(Instruction::Fork(Vec::new()))?;
                        let again = self.write(&repetition.sub, fork)?;
                        if let Some(slot) = self.instructions.get_mut(fork) {
                            *slot = Instruction::Fork(ordered(again, next));
                        }
                        at = fork;
                    }
                    Some(max) => {
                        for _ in repetition.min..max {
                            let again = self.write(&repetition.sub, at)?;
                            at = self.push(Instruction::Fork(ordered(again, next)))?;
                        }
                    }
                }
                (0..repetition.min).try_fold(at, |at, _| self.write(&repetition.sub, at))
            }
        }
    }

    fn character(&mut self, character: char, next: usize) -> Result<usize> {
        let everything = (1 << (self.classes.len() + 1)) - 1;
        let mask = |set| self.classes.mask(set).context("a character without a mask");
        let instruction = match self.syntax.look_ahead(character) {
            Some(forbidden) => Instruction::LookAhead(everything & !mask(forbidden)?, next),
            None => Instruction::Take(mask(&single(character))?, next),
        };
        self.push(instruction)
    }
}
