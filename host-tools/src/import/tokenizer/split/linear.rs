//! The proof that cutting a text by an automaton takes linear time, or a refusal.
//!
//! A run may read on beyond the match that it ends with, or read and match nothing; what it read is then read
//! again. That is harmless if what was read in vain is short, or if the next match takes it all in. Both can be
//! seen from the automaton alone, by looking for cycles.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::automaton::Automaton;

/// A state, and the state of the run that begins behind the match.
type Pair = (usize, usize);

/// Refuses an automaton that some text makes slow.
pub fn check(automaton: &Automaton) -> Result<()> {
    let silent = |state: usize| {
        let steps = (0..automaton.end()).map(move |class| automaton.step(state, class));
        steps.filter(|&(next, matched)| next != 0 && !matched).map(|(next, _)| next).collect::<Vec<_>>()
    };
    ensure!(!has_cycle([1], silent), "it can read on without end and match nothing, again at each place");
    let mut begins = Vec::new();
    for state in 1..automaton.states() {
        for class in 0..automaton.end() {
            let (next, matched) = automaton.step(state, class);
            if matched && next != 0 {
                begins.push((next, automaton.step(1, class).0));
            }
        }
    }
    // Every pair that can be reached while the first run reads in vain.
    let steps = |(state, behind): Pair| {
        let steps = (0..automaton.end())
            .map(move |class| (automaton.step(state, class), automaton.step(behind, class)));
        steps.filter(|((next, matched), _)| *next != 0 && !matched).collect::<Vec<_>>()
    };
    let (mut reached, mut waiting) = (Vec::new(), begins);
    while let Some(pair) = waiting.pop() {
        if !reached.contains(&pair) {
            reached.push(pair);
            waiting.extend(steps(pair).into_iter().map(|((next, _), (behind, _))| (next, behind)));
        }
    }
    let idle = |pair: Pair| {
        let idle = steps(pair).into_iter().filter(|(_, (_, matched))| !matched);
        idle.map(|((next, _), (behind, _))| (next, behind)).collect()
    };
    ensure!(
        !has_cycle(reached, idle),
        "it can read on without end behind what it matches, and again behind the next match"
    );
    Ok(())
}

/// Refuses an automaton that does not match at every place of every text.
pub fn check_matches_everywhere(automaton: &Automaton) -> Result<()> {
    let (mut reached, mut waiting) = (Vec::new(), vec![1]);
    while let Some(state) = waiting.pop() {
        if reached.contains(&state) {
            continue;
        }
        reached.push(state);
        for class in 0..=automaton.end() {
            match automaton.step(state, class) {
                (_, true) => {}
                // No text is empty.
                (0, _) if state == 1 && class == automaton.end() => {}
                (0, _) => anyhow::bail!("it leaves gaps, which would be dropped"),
                (next, _) => waiting.push(next),
            }
        }
    }
    Ok(())
}

/// Whether a cycle can be reached.
fn has_cycle<N: Copy + Eq + std::hash::Hash>(
    starts: impl IntoIterator<Item = N>,
    next: impl Fn(N) -> Vec<N>,
) -> bool {
    // Open while its successors are looked at, then closed.
    let mut open: HashMap<N, bool> = HashMap::new();
    for start in starts {
        let mut path = vec![(start, None)];
        while let Some((node, successors)) = path.last_mut() {
            let node = *node;
            if successors.is_none() {
                match open.get(&node) {
                    Some(true) => return true,
                    Some(false) => {
                        path.pop();
                        continue;
                    }
                    None => _ = open.insert(node, true),
                }
                *successors = Some(next(node));
            }
            match successors.as_mut().and_then(Vec::pop) {
                Some(successor) => path.push((successor, None)),
                None => {
                    open.insert(node, false);
                    path.pop();
                }
            }
        }
    }
    false
}
