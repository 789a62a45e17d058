//! Programs: what the [`Program`](crate::tools::Program) evaluates.
//!
//! Statements with semicolons or line breaks between: assignments, expressions with names and comparisons, `if` with
//! `else`, `while`. Words that begin like a keyword need states of their own, as in any scanner.

use super::{ByteSet, Cost, Edge, Grammar, State, costs, grammar, or_panic};

const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
const LETTERS: ByteSet = ByteSet::range(b'a', b'z').or(ByteSet::range(b'A', b'Z')).or(ByteSet::of("_"));
const IN_NAME: ByteSet = LETTERS.or(DIGITS);
const SPACE: ByteSet = ByteSet::of(" ");
const OPERATORS: ByteSet = ByteSet::of("+-*/%^");
const ORDER: ByteSet = ByteSet::of("<>");
const OPEN_BLOCK: ByteSet = ByteSet::of("{");
const CLOSE_BLOCK: ByteSet = ByteSet::of("}");

const STATEMENTS: u8 = 0;
const BETWEEN: u8 = 1;
const NEXT: u8 = 2;
const SPACED: u8 = 3;
const STATEMENT: u8 = 4;
/// A name at the beginning of a statement: what it is is not known yet.
const NAME: u8 = 5;
const NAME_SPACE: u8 = 6;
/// After `=`, `<` or `>`, which `=` may follow.
const EQUALS: u8 = 7;
const OPERATOR: u8 = 8;
/// An operand, without a space before it: the start of an expression.
const OPERAND: u8 = 9;
const OPERAND_NAME: u8 = 10;
const WHOLE: u8 = 11;
const POINT: u8 = 12;
const DECIMALS: u8 = 13;
const MINUS: u8 = 14;
const OPEN: u8 = 15;
const CLOSE: u8 = 16;
const AFTER_OPERAND: u8 = 17;
const NOT: u8 = 18;
const I: u8 = 19;
const IF: u8 = 20;
const IF_CONDITION: u8 = 21;
const IF_OPEN: u8 = 22;
const IF_BLOCK: u8 = 23;
const IF_CLOSE: u8 = 24;
const ELSE: u8 = 25;
const LAST_BLOCK: u8 = 26;
const LAST_CLOSE: u8 = 27;
const W: u8 = 28;
const WH: u8 = 29;
const WHI: u8 = 30;
const WHIL: u8 = 31;
const WHILE: u8 = 32;
const WHILE_CONDITION: u8 = 33;
const WHILE_OPEN: u8 = 34;
const DONE: u8 = 35;

/// A name at the beginning of a statement that may still become a keyword.
macro_rules! keyword {
    ($letter:literal, $next:expr) => {
        State::end(&[
            Edge::bytes(ByteSet::of($letter), $next),
            Edge::bytes(IN_NAME.without(ByteSet::of($letter)), NAME),
            Edge::bytes(ByteSet::of("=").or(ORDER), EQUALS),
            Edge::bytes(OPERATORS, OPERATOR),
            Edge::bytes(ByteSet::of("!"), NOT),
            Edge::bytes(SPACE, NAME_SPACE),
        ])
    };
}

const STATES: [State<'static>; 36] = [
    State::new(&[Edge::rule(STATEMENT, BETWEEN)]),
    State::end(&[Edge::bytes(ByteSet::of(";\n"), NEXT)]),
    State::new(&[Edge::bytes(SPACE, SPACED), Edge::rule(STATEMENT, BETWEEN)]),
    State::new(&[Edge::rule(STATEMENT, BETWEEN)]),
    // A statement.
    State::new(&[
        Edge::bytes(ByteSet::of("i"), I),
        Edge::bytes(ByteSet::of("w"), W),
        Edge::bytes(LETTERS.without(ByteSet::of("iw")), NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(ByteSet::of("("), OPEN),
    ]),
    State::end(&[
        Edge::bytes(IN_NAME, NAME),
        Edge::bytes(ByteSet::of("=").or(ORDER), EQUALS),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(ByteSet::of("!"), NOT),
        Edge::bytes(SPACE, NAME_SPACE),
    ]),
    State::end(&[
        Edge::bytes(ByteSet::of("=").or(ORDER), EQUALS),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(ByteSet::of("!"), NOT),
    ]),
    State::new(&[
        Edge::bytes(ByteSet::of("="), OPERATOR),
        Edge::bytes(SPACE, OPERAND),
        Edge::bytes(LETTERS, OPERAND_NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(ByteSet::of("("), OPEN),
    ]),
    // Expressions.
    State::new(&[
        Edge::bytes(SPACE, OPERAND),
        Edge::bytes(LETTERS, OPERAND_NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(ByteSet::of("("), OPEN),
    ]),
    State::new(&[
        Edge::bytes(LETTERS, OPERAND_NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(ByteSet::of("("), OPEN),
    ]),
    State::end(&[
        Edge::bytes(IN_NAME, OPERAND_NAME),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(ORDER, EQUALS),
        Edge::bytes(ByteSet::of("=!"), NOT),
        Edge::bytes(SPACE, AFTER_OPERAND),
    ]),
    State::end(&[
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("."), POINT),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(ORDER, EQUALS),
        Edge::bytes(ByteSet::of("=!"), NOT),
        Edge::bytes(SPACE, AFTER_OPERAND),
    ]),
    State::new(&[Edge::bytes(DIGITS, DECIMALS)]),
    State::end(&[
        Edge::bytes(DIGITS, DECIMALS),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(ORDER, EQUALS),
        Edge::bytes(ByteSet::of("=!"), NOT),
        Edge::bytes(SPACE, AFTER_OPERAND),
    ]),
    State::new(&[
        Edge::bytes(LETTERS, OPERAND_NAME),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("("), OPEN),
    ]),
    State::new(&[Edge::rule(OPERAND, CLOSE)]),
    State::new(&[Edge::bytes(ByteSet::of(")"), AFTER_OPERAND)]),
    State::end(&[
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(ORDER, EQUALS),
        Edge::bytes(ByteSet::of("=!"), NOT),
    ]),
    State::new(&[Edge::bytes(ByteSet::of("="), OPERATOR)]),
    // `if` and `else`.
    keyword!("f", IF),
    State::new(&[Edge::bytes(SPACE, IF_CONDITION), Edge::bytes(IN_NAME, NAME)]),
    State::new(&[Edge::rule(OPERAND, IF_OPEN)]),
    State::new(&[Edge::bytes(OPEN_BLOCK, IF_BLOCK)]),
    State::new(&[Edge::rule(STATEMENTS, IF_CLOSE)]),
    State::new(&[Edge::bytes(CLOSE_BLOCK, ELSE)]),
    State::end(&[Edge::words(&[" else {", "else{"], LAST_BLOCK)]),
    State::new(&[Edge::rule(STATEMENTS, LAST_CLOSE)]),
    State::new(&[Edge::bytes(CLOSE_BLOCK, DONE)]),
    // `while`.
    keyword!("h", WH),
    keyword!("i", WHI),
    keyword!("l", WHIL),
    keyword!("e", WHILE),
    State::new(&[Edge::bytes(SPACE, WHILE_CONDITION), Edge::bytes(IN_NAME, NAME)]),
    State::new(&[Edge::rule(OPERAND, WHILE_OPEN)]),
    State::new(&[Edge::bytes(OPEN_BLOCK, LAST_BLOCK)]),
    State::end(&[]),
];

grammar! {
    /// A program as [`Program`](crate::tools::Program) understands it: statements with semicolons or line breaks between.
    PROGRAM = STATES
}
