//! What the calculator is asked: numbers, operators, parentheses, a space here and there.

use super::{ByteSet, Cost, Edge, Grammar, State, costs, grammar, or_panic};

const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
const SPACE: ByteSet = ByteSet::of(" ");
const OPERATORS: ByteSet = ByteSet::of("+-*/%^");

/// States by what came last.
const EXPRESSION_START: u8 = 0;
const WHOLE: u8 = 1;
const MINUS: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const OPERAND: u8 = 5;
const POINT: u8 = 6;
const DECIMALS: u8 = 7;
const OPERATOR: u8 = 8;

const OPERAND_EDGES: [Edge<'static>; 3] =
    [Edge::bytes(DIGITS, WHOLE), Edge::bytes(ByteSet::of("-"), MINUS), Edge::bytes(ByteSet::of("("), OPEN)];

const STATES: [State<'static>; 9] = [
    State::new(&OPERAND_EDGES),
    State::end(&[
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("."), POINT),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(SPACE, OPERAND),
    ]),
    State::new(&[Edge::bytes(DIGITS, WHOLE), Edge::bytes(ByteSet::of("("), OPEN)]),
    State::new(&[Edge::rule(EXPRESSION_START, CLOSE)]),
    State::new(&[Edge::bytes(ByteSet::of(")"), OPERAND)]),
    State::end(&[Edge::bytes(OPERATORS, OPERATOR)]),
    State::new(&[Edge::bytes(DIGITS, DECIMALS)]),
    State::end(&[
        Edge::bytes(DIGITS, DECIMALS),
        Edge::bytes(OPERATORS, OPERATOR),
        Edge::bytes(SPACE, OPERAND),
    ]),
    State::new(&[
        Edge::bytes(SPACE, EXPRESSION_START),
        Edge::bytes(DIGITS, WHOLE),
        Edge::bytes(ByteSet::of("-"), MINUS),
        Edge::bytes(ByteSet::of("("), OPEN),
    ]),
];

grammar! {
    /// Arithmetic as the [`Calculator`](crate::tools::Calculator) understands it.
    EXPRESSION = STATES
}
