//! A place in a grammar, moved on by one byte at a time.

use super::words::{longer, shortest_rest, whole, with_beginning};
use super::{ByteSet, Edge, Grammar, Symbol};

/// Most rules that are entered, one in the other.
pub const MOST_DEPTH: usize = 16;

/// Where a text has got to in a grammar. It is copied to try a byte; the grammar is handed in each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matcher {
    state: u8,
    depth: u8,
    /// Bytes matched of a word; 0 between words.
    length: u8,
    /// The edge that the word stands on.
    edge: u8,
    /// The number of a word that begins so.
    word: u16,
    /// The states behind the rules that were entered.
    stack: [u8; MOST_DEPTH],
}

impl Matcher {
    /// The beginning of a text.
    pub const START: Self = Self { state: 0, depth: 0, length: 0, edge: 0, word: 0, stack: [0; MOST_DEPTH] };

    /// The place behind one byte more; `None` if the grammar does not allow it there, or if what was begun could then
    /// not be completed within [`MOST_DEPTH`].
    pub fn advance(&self, grammar: &Grammar<'_>, byte: u8) -> Option<Self> {
        let mut next = *self;
        // Each round but the last finishes a word, leaves a rule or enters one.
        for _ in 0..3 * MOST_DEPTH {
            if next.length > 0 {
                let (edge, words) = next.words(grammar)?;
                let (word, length) = (usize::from(next.word), usize::from(next.length));
                let at = |number: usize| words.get(number).copied();
                if let Some(word) = longer(&at, word, length, byte) {
                    (next.word, next.length) = (word as u16, next.length.checked_add(1)?);
                    return next.if_it_fits(grammar, edge.to);
                }
                whole(&at, word, length)?;
                (next.state, next.length) = (edge.to, 0);
                continue;
            }
            let state = grammar.state(next.state)?;
            let mut rule = None;
            for (edge, number) in state.edges.iter().zip(0u8..) {
                match edge.on {
                    Symbol::Bytes(bytes) if bytes.has(byte) => {
                        next.state = edge.to;
                        return next.if_it_fits(grammar, edge.to);
                    }
                    Symbol::Words(_) | Symbol::Given => {
                        let words = grammar.words(edge.on)?;
                        let begins = |word: &&str| word.as_bytes().first() == Some(&byte);
                        if let Some(word) = words.iter().position(begins) {
                            (next.edge, next.word, next.length) = (number, word as u16, 1);
                            return next.if_it_fits(grammar, edge.to);
                        }
                    }
                    Symbol::Rule(start) => rule = Some((start, edge.to)),
                    Symbol::Bytes(_) => {}
                }
            }
            next = match rule {
                Some((start, to)) => next.if_it_fits(grammar, to)?.enter(start, to)?,
                None if state.is_end => next.leave()?,
                None => return None,
            };
        }
        None
    }

    /// The bytes that can follow: all that [`advance`](Self::advance) allows, and maybe some that it refuses because
    /// they nest too deep.
    pub fn next_bytes(&self, grammar: &Grammar<'_>) -> ByteSet {
        let (mut next, mut bytes) = (*self, ByteSet::NONE);
        for _ in 0..3 * MOST_DEPTH {
            if next.length > 0 {
                let Some((edge, words)) = next.words(grammar) else { break };
                let (word, length) = (usize::from(next.word), usize::from(next.length));
                let at = |number: usize| words.get(number).copied();
                let begun =
                    words.get(word).and_then(|word| word.as_bytes().get(..length)).unwrap_or_default();
                let following = with_beginning(&at, begun);
                let following = following.filter_map(|(_, other)| other.as_bytes().get(length).copied());
                bytes = following.fold(bytes, ByteSet::with);
                if whole(&at, word, length).is_none() {
                    break;
                }
                (next.state, next.length) = (edge.to, 0);
                continue;
            }
            let Some(state) = grammar.state(next.state) else { break };
            let mut rule = None;
            for edge in state.edges {
                match edge.on {
                    Symbol::Bytes(set) => bytes = bytes.or(set),
                    Symbol::Rule(start) => rule = Some((start, edge.to)),
                    Symbol::Words(_) | Symbol::Given => {
                        let words = grammar.words(edge.on).unwrap_or_default();
                        let firsts = words.iter().filter_map(|word| word.as_bytes().first().copied());
                        bytes = firsts.fold(bytes, ByteSet::with);
                    }
                }
            }
            let further = match rule {
                Some((start, to)) => next.enter(start, to),
                None if state.is_end => next.leave(),
                None => None,
            };
            let Some(further) = further else { break };
            next = further;
        }
        bytes
    }

    /// Whether a text may end here.
    pub fn is_at_end(&self, grammar: &Grammar<'_>) -> bool {
        self.shortest_completion(grammar) == 0
    }

    /// The fewest bytes that make the text a whole one.
    pub fn shortest_completion(&self, grammar: &Grammar<'_>) -> usize {
        let here = match self.words(grammar).filter(|_| self.length > 0) {
            None => usize::from(grammar.cost(self.state).bytes),
            Some((edge, words)) => {
                let at = |number: usize| words.get(number).copied();
                let rest = shortest_rest(&at, usize::from(self.word), usize::from(self.length), &|_| 0);
                rest.unwrap_or_default() + usize::from(grammar.cost(edge.to).bytes)
            }
        };
        let behind = self.stack.iter().take(usize::from(self.depth));
        here + behind.map(|&state| usize::from(grammar.cost(state).bytes)).sum::<usize>()
    }

    /// The edge of the word that is being matched, and its words.
    fn words<'g>(&self, grammar: &Grammar<'g>) -> Option<(&'g Edge<'g>, &'g [&'g str])> {
        let edge = grammar.state(self.state)?.edges.get(usize::from(self.edge))?;
        Some((edge, grammar.words(edge.on)?))
    }

    /// Itself, if the stack has room for the shortest way from `state` to an end.
    fn if_it_fits(self, grammar: &Grammar<'_>, state: u8) -> Option<Self> {
        (usize::from(self.depth) + usize::from(grammar.cost(state).depth) <= MOST_DEPTH).then_some(self)
    }

    fn enter(mut self, start: u8, behind: u8) -> Option<Self> {
        *self.stack.get_mut(usize::from(self.depth))? = behind;
        (self.depth, self.state) = (self.depth + 1, start);
        Some(self)
    }

    fn leave(mut self) -> Option<Self> {
        self.depth = self.depth.checked_sub(1)?;
        self.state = *self.stack.get(usize::from(self.depth))?;
        Some(self)
    }
}
