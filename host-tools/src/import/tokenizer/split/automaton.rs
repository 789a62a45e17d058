//! A program made deterministic: each state is the list of threads that run there, in order.
//!
//! A match is noticed one character late, at the transition of the character behind it, so that the thread can
//! still ask what that character is. A thread that matches ends those behind it, and not those in front, whose
//! longer match would be preferred.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::program::{Instruction, Program};
use crate::import::tokenizer::classes::Mask;

/// States of an automaton, at most: 64 KiB of transitions for 32 classes.
const MAX_STATES: usize = 1000;

/// A thread that waits for the next character: its instruction, which takes or matches, and the characters that the
/// looks ahead on its way here allow.
type Thread = (usize, Mask);

/// The automaton; state 0 is dead, 1 the start.
pub struct Automaton {
    /// State by state, class by class, the end of the text last.
    steps: Vec<(u16, bool)>,
    columns: usize,
}

impl Automaton {
    pub fn new(program: &Program, classes: usize) -> Result<Self> {
        let columns = classes + 1;
        let mut start = Vec::new();
        follow(program, program.start, Mask::MAX, &mut start);
        let matches_nothing =
            |&(at, _): &Thread| matches!(program.instructions.get(at), Some(Instruction::Match));
        ensure!(!start.iter().any(matches_nothing), "it matches the empty text");
        let mut states: Vec<Vec<Thread>> = vec![Vec::new(), start.clone()];
        let mut numbers: HashMap<Vec<Thread>, u16> = HashMap::from([(Vec::new(), 0), (start, 1)]);
        let mut steps = vec![(0, false); columns];
        let mut state = 1;
        while let Some(threads) = states.get(state).cloned() {
            for class in 0..columns {
                let (next, matched) = step(program, &threads, 1 << class);
                let fresh = states.len() as u16;
                let number = *numbers.entry(next).or_insert_with_key(|next| {
                    states.push(next.clone());
                    fresh
                });
                steps.push((number, matched));
            }
            ensure!(states.len() <= MAX_STATES, "it has more than {MAX_STATES} states");
            state += 1;
        }
        Ok(Self { steps, columns })
    }

    pub fn states(&self) -> usize {
        self.steps.len() / self.columns
    }

    /// The class behind the last: the end of the text.
    pub fn end(&self) -> usize {
        self.columns - 1
    }

    /// The next state, and whether everything before the character matches.
    pub fn step(&self, state: usize, class: usize) -> (usize, bool) {
        let (next, matched) = self.steps.get(state * self.columns + class).copied().unwrap_or_default();
        (next.into(), matched)
    }

    /// As the section has them.
    pub fn transitions(&self) -> Vec<u16> {
        self.steps.iter().map(|&(next, matched)| next << 1 | u16::from(matched)).collect()
    }
}

/// The threads behind a character, and whether one of those before matches.
fn step(program: &Program, threads: &[Thread], character: Mask) -> (Vec<Thread>, bool) {
    let mut next = Vec::new();
    for &(at, allowed) in threads.iter().filter(|(_, allowed)| allowed & character != 0) {
        match program.instructions.get(at) {
            Some(Instruction::Match) => return (next, true),
            Some(&Instruction::Take(mask, then)) if mask & character & allowed != 0 => {
                follow(program, then, Mask::MAX, &mut next);
            }
            _ => {}
        }
    }
    (next, false)
}

/// Adds the threads that begin at an instruction, in order, without those that are there already.
fn follow(program: &Program, at: usize, allowed: Mask, threads: &mut Vec<Thread>) {
    let (mut waiting, mut seen) = (vec![(at, allowed)], Vec::new());
    while let Some((at, allowed)) = waiting.pop() {
        if seen.contains(&(at, allowed)) {
            continue;
        }
        seen.push((at, allowed));
        match program.instructions.get(at) {
            Some(Instruction::Fork(ways)) => waiting.extend(ways.iter().rev().map(|&way| (way, allowed))),
            Some(&Instruction::LookAhead(mask, then)) => waiting.push((then, allowed & mask)),
            Some(Instruction::Take(..) | Instruction::Match)
                if !threads.iter().any(|&(known, mask)| known == at && allowed & !mask == 0) =>
            {
                threads.push((at, allowed));
            }
            Some(Instruction::Take(..) | Instruction::Match) | None => {}
        }
    }
}
