//! Grammars of what a model may write: small tables that say, byte by byte, what can follow.
//!
//! A grammar is a set of automata that call each other, as railroad diagrams do (transition networks, Woods 1970). A
//! [`Matcher`] walks through it with a stack of bounded height, so nested parentheses are matched and nothing recurses.
//! Every state knows the fewest bytes that complete it: whoever chooses tokens by a matcher can always tell whether what
//! has begun can still be ended within a limit, and so never begins what cannot.
//!
//! The tables are made by the compiler:
//! ```
//! use sprat::grammar::{ByteSet, Cost, Edge, Grammar, Matcher, State, costs, or_panic};
//!
//! // `on`, `off`, or a percentage
//! const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
//! const STATES: [State<'static>; 4] = [
//!     State::new(&[Edge::words(&["on", "off"], 3), Edge::bytes(DIGITS, 1)]),
//!     State::new(&[Edge::bytes(DIGITS, 2), Edge::bytes(ByteSet::of("%"), 3)]),
//!     State::new(&[Edge::bytes(ByteSet::of("%"), 3)]),
//!     State::end(&[]),
//! ];
//! const COSTS: [Cost; 4] = or_panic(costs(&STATES, &[]));
//! let grammar = Grammar::new(&STATES, &COSTS, &[]);
//! assert!(grammar.accepts("off") && grammar.accepts("75%") && !grammar.accepts("100%"));
//! let after_7 = Matcher::START.advance(&grammar, b'7').unwrap();
//! assert_eq!(after_7.shortest_completion(&grammar), 1);
//! ```

mod arguments;
mod bytes;
mod expression;
mod json;
mod matcher;
mod program;
#[cfg(test)]
mod tests;
mod words;

pub use self::arguments::{ARGUMENTS, WORD};
pub use self::bytes::ByteSet;
pub use self::expression::EXPRESSION;
pub use self::json::{JSON, JSON_WITH_KEYS};
pub use self::matcher::{MOST_DEPTH, Matcher};
pub use self::program::PROGRAM;
pub(crate) use self::words::{longer, shortest_rest, whole};

/// What can follow in a state.
#[derive(Clone, Copy, Debug)]
pub enum Symbol<'g> {
    /// One of some bytes.
    Bytes(ByteSet),
    /// One of some words; none is empty.
    Words(&'g [&'g str]),
    /// One of the words that were given with the grammar.
    Given,
    /// Whatever leads from a state to an end.
    Rule(u8),
}

/// A way from one state to another. An edge on a [rule](Symbol::Rule) is the last one of its state, which then is no end.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'g> {
    on: Symbol<'g>,
    to: u8,
}

impl<'g> Edge<'g> {
    /// By one of some bytes.
    pub const fn bytes(bytes: ByteSet, to: u8) -> Self {
        Self { on: Symbol::Bytes(bytes), to }
    }

    /// By one of some words.
    pub const fn words(words: &'g [&'g str], to: u8) -> Self {
        Self { on: Symbol::Words(words), to }
    }

    /// By one of the words given with the grammar.
    pub const fn given(to: u8) -> Self {
        Self { on: Symbol::Given, to }
    }

    /// By whatever leads from the state `start` to an end.
    pub const fn rule(start: u8, to: u8) -> Self {
        Self { on: Symbol::Rule(start), to }
    }
}

/// A state: where it leads to, and whether a text, or the rule that it belongs to, may end there.
#[derive(Clone, Copy, Debug)]
pub struct State<'g> {
    edges: &'g [Edge<'g>],
    is_end: bool,
}

impl<'g> State<'g> {
    /// A state where nothing ends.
    pub const fn new(edges: &'g [Edge<'g>]) -> Self {
        Self { edges, is_end: false }
    }

    /// A state where a rule may end.
    pub const fn end(edges: &'g [Edge<'g>]) -> Self {
        Self { edges, is_end: true }
    }
}

/// What the shortest way from a state to an end takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    bytes: u16,
    /// Rules entered on it, one in the other.
    depth: u8,
}

impl Cost {
    const NONE: Self = Self { bytes: u16::MAX, depth: u8::MAX };

    const fn is_less(self, other: Self) -> bool {
        self.bytes < other.bytes || self.bytes == other.bytes && self.depth < other.depth
    }

    const fn and(self, bytes: usize) -> Self {
        let sum = self.bytes as usize + bytes;
        // What is too far away cannot be reached.
        if sum < u16::MAX as usize { Self { bytes: sum as u16, ..self } } else { Self::NONE }
    }

    /// What a rule takes, and then this.
    const fn after_rule(self, rule: Self) -> Self {
        let both = self.and(rule.bytes as usize);
        let inside = rule.depth.saturating_add(1);
        Self { depth: if inside > both.depth { inside } else { both.depth }, ..both }
    }
}

/// Why states are no grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrammarError {
    /// An edge leads to a state that is not there.
    NoSuchState {
        /// The state that the edge leaves.
        from: usize,
    },
    /// An edge on a rule is not the last one of its state, or its state is an end.
    RuleIsNotLast {
        /// The state.
        state: usize,
    },
    /// There is no way to an end, or one that needs too much stack.
    NoEnd {
        /// The state.
        state: usize,
    },
    /// A word is empty, or there are none, or they are too long or too many.
    Words {
        /// The state.
        state: usize,
    },
}

/// The cost of every state of a grammar whose given words are `given`.
///
/// # Errors
/// What is wrong with the states.
pub const fn costs<const N: usize>(
    states: &[State<'_>; N],
    given: &[&str],
) -> Result<[Cost; N], GrammarError> {
    let mut costs = [Cost::NONE; N];
    // As Bellman and Ford find shortest paths: each round reaches at least one state for good, and costs only fall.
    let mut state = 0;
    while state < N {
        if states[state].is_end {
            costs[state] = Cost { bytes: 0, depth: 0 };
        }
        state += 1;
    }
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        let mut from = 0;
        while from < N {
            let mut place = 0;
            while place < states[from].edges.len() {
                let edge = states[from].edges[place];
                if edge.to as usize >= N {
                    return Err(GrammarError::NoSuchState { from });
                }
                let to = costs[edge.to as usize];
                let cost = match edge.on {
                    Symbol::Bytes(_) => to.and(1),
                    Symbol::Words(words) => match shortest(words) {
                        Some(length) => to.and(length),
                        None => return Err(GrammarError::Words { state: from }),
                    },
                    Symbol::Given => match shortest(given) {
                        Some(length) => to.and(length),
                        None => return Err(GrammarError::Words { state: from }),
                    },
                    Symbol::Rule(start) => {
                        if start as usize >= N {
                            return Err(GrammarError::NoSuchState { from });
                        }
                        if states[from].is_end || place + 1 < states[from].edges.len() {
                            return Err(GrammarError::RuleIsNotLast { state: from });
                        }
                        to.after_rule(costs[start as usize])
                    }
                };
                if cost.is_less(costs[from]) {
                    costs[from] = cost;
                    has_changed = true;
                }
                place += 1;
            }
            from += 1;
        }
    }
    state = 0;
    while state < N {
        if costs[state].bytes == u16::MAX || costs[state].depth as usize > MOST_DEPTH {
            return Err(GrammarError::NoEnd { state });
        }
        state += 1;
    }
    Ok(costs)
}

/// The length of the shortest word; `None` if the words cannot be matched.
const fn shortest(words: &[&str]) -> Option<usize> {
    let (mut length, mut place) = (usize::MAX, 0);
    if words.is_empty() || words.len() >= u16::MAX as usize {
        return None;
    }
    while place < words.len() {
        let word = words[place].len();
        if word == 0 || word > u8::MAX as usize {
            return None;
        }
        if word < length {
            length = word;
        }
        place += 1;
    }
    Some(length)
}

/// The costs of a grammar that is made while compiling: an impossible one does not compile.
///
/// # Panics
/// There is an error. To be called in constants only.
pub const fn or_panic<const N: usize>(costs: Result<[Cost; N], GrammarError>) -> [Cost; N] {
    match costs {
        Ok(costs) => costs,
        Err(_) => panic!("the states are no grammar"),
    }
}

/// A grammar in place: the start is state 0.
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'g> {
    states: &'g [State<'g>],
    costs: &'g [Cost],
    given: &'g [&'g str],
}

impl<'g> Grammar<'g> {
    /// The grammar of these states, of their [`costs`], and of the words that [`Edge::given`] means, which the costs
    /// were computed with.
    pub const fn new<const N: usize>(
        states: &'g [State<'g>; N],
        costs: &'g [Cost; N],
        given: &'g [&'g str],
    ) -> Self {
        Self { states, costs, given }
    }

    /// Whether a whole text is of this grammar.
    pub fn accepts(&self, text: &str) -> bool {
        let start = Some(Matcher::START);
        let end = text.bytes().fold(start, |matcher, byte| matcher?.advance(self, byte));
        end.is_some_and(|matcher| matcher.is_at_end(self))
    }

    fn state(&self, state: u8) -> Option<&'g State<'g>> {
        self.states.get(usize::from(state))
    }

    fn cost(&self, state: u8) -> Cost {
        self.costs.get(usize::from(state)).copied().unwrap_or(Cost::NONE)
    }

    fn words(&self, symbol: Symbol<'g>) -> Option<&'g [&'g str]> {
        match symbol {
            Symbol::Words(words) => Some(words),
            Symbol::Given => Some(self.given),
            Symbol::Bytes(_) | Symbol::Rule(_) => None,
        }
    }
}

/// Defines a grammar without given words.
macro_rules! grammar {
    ($(#[$doc:meta])* $name:ident = $states:expr) => {
        $(#[$doc])*
        pub const $name: Grammar<'static> = {
            const COSTS: [Cost; $states.len()] = or_panic(costs(&$states, &[]));
            Grammar::new(&$states, &COSTS, &[])
        };
    };
}
pub(crate) use grammar;
