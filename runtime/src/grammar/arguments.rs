//! What a tool is called with, unless it says otherwise: words, numbers and quoted texts with commas between.

use super::{ByteSet, Cost, Edge, Grammar, State, costs, grammar, or_panic};

const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
const LETTERS: ByteSet = ByteSet::range(b'a', b'z').or(ByteSet::range(b'A', b'Z')).or(ByteSet::of("_"));
const SPACE: ByteSet = ByteSet::of(" ");
const COMMA: ByteSet = ByteSet::of(",");
const QUOTE: ByteSet = ByteSet::of("\"");
/// What stands in quotes: ASCII without quotes and backslashes, so that nothing has to be escaped.
const QUOTED: ByteSet = ByteSet::range(b' ', b'~').without(ByteSet::of("\"\\"));

const NAME: u8 = 1;
const WHOLE: u8 = 2;
const MINUS: u8 = 3;
const NEXT: u8 = 4;
const WORDS: u8 = 5;
const POINT: u8 = 6;
const DECIMALS: u8 = 7;
const TEXT: u8 = 8;
const AFTER: u8 = 9;
const ARGUMENT: u8 = 10;

const STATES: [State<'static>; 11] = [
    State::end(&[
        Edge::bytes(LETTERS, NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(QUOTE, TEXT),
    ]),
    State::end(&[Edge::bytes(LETTERS.or(DIGITS), NAME), Edge::bytes(SPACE, WORDS), Edge::bytes(COMMA, NEXT)]),
    State::end(&[Edge::bytes(DIGITS, WHOLE), Edge::bytes(ByteSet::of("."), POINT), Edge::bytes(COMMA, NEXT)]),
    State::new(&[Edge::bytes(DIGITS, WHOLE)]),
    State::new(&[
        Edge::bytes(SPACE, ARGUMENT),
        Edge::bytes(LETTERS, NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(QUOTE, TEXT),
    ]),
    State::new(&[Edge::bytes(LETTERS.or(DIGITS), NAME)]),
    State::new(&[Edge::bytes(DIGITS, DECIMALS)]),
    State::end(&[Edge::bytes(DIGITS, DECIMALS), Edge::bytes(COMMA, NEXT)]),
    State::new(&[Edge::bytes(QUOTED, TEXT), Edge::bytes(QUOTE, AFTER)]),
    State::end(&[Edge::bytes(COMMA, NEXT)]),
    State::new(&[
        Edge::bytes(LETTERS, NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(QUOTE, TEXT),
    ]),
];

grammar! {
    /// Any arguments, or none: words (of ASCII letters, digits and underscores, with single spaces between), whole and
    /// decimal numbers, and texts in quotes, with commas between them.
    ARGUMENTS = STATES
}

/// The states of one word out of those given with the grammar.
///
/// ```
/// use sprat::grammar::{Grammar, WORD, costs};
///
/// let rooms = ["kitchen", "hall"];
/// let costs = costs(&WORD, &rooms).unwrap();
/// assert!(Grammar::new(&WORD, &costs, &rooms).accepts("hall"));
/// ```
pub const WORD: [State<'static>; 2] = [State::new(&[Edge::given(1)]), State::end(&[])];
