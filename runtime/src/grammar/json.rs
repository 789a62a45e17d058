//! JSON (RFC 8259), for answers that a program reads.
//!
//! Narrower than the standard where a reader might stumble: numbers have at most 16 digits before the point and an
//! exponent of at most two, so that they are finite in double precision; `\u` never makes half of a surrogate pair; the
//! only white space is one space behind a comma or a colon. Texts are valid UTF-8.

use super::{ByteSet, Cost, Edge, Grammar, State, costs, grammar, or_panic};

const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
const ONE_TO_NINE: ByteSet = ByteSet::range(b'1', b'9');
const ZERO: ByteSet = ByteSet::of("0");
const SPACE: ByteSet = ByteSet::of(" ");
const COMMA: ByteSet = ByteSet::of(",");
const QUOTE: ByteSet = ByteSet::of("\"");
const END_OBJECT: ByteSet = ByteSet::of("}");
const END_ARRAY: ByteSet = ByteSet::of("]");
const HEX: ByteSet = DIGITS.or(ByteSet::range(b'a', b'f')).or(ByteSet::range(b'A', b'F'));
const HEX_D: ByteSet = ByteSet::of("dD");
const PLAIN: ByteSet = ByteSet::range(b' ', 0x7e).without(ByteSet::of("\"\\"));
const CONTINUATION: ByteSet = ByteSet::range(0x80, 0xbf);

const VALUE: u8 = 0;
const OBJECT: u8 = 1;
const KEY: u8 = 2;
const AFTER_KEY: u8 = 3;
const COLON: u8 = 4;
const BEFORE_MEMBER: u8 = 5;
const MEMBER: u8 = 6;
const NEXT_MEMBER: u8 = 7;
const SPACE_MEMBER: u8 = 8;
const DONE: u8 = 9;
const ARRAY: u8 = 10;
const ITEM: u8 = 11;
const NEXT_ITEM: u8 = 12;
const SPACE_ITEM: u8 = 13;
const TEXT_VALUE: u8 = 14;
const MINUS: u8 = 15;
const ZERO_DIGIT: u8 = 16;
const POINT: u8 = 17;
const DECIMALS: u8 = 18;
const EXPONENT: u8 = 19;
const EXPONENT_SIGN: u8 = 20;
const EXPONENT_DIGIT: u8 = 21;
/// A text behind its opening quote, the closing one included.
const TEXT: u8 = 22;
const ESCAPE: u8 = 23;
const HEX_1: u8 = 24;
const HEX_2: u8 = 25;
const HEX_3: u8 = 26;
const HEX_4: u8 = 27;
const HEX_AFTER_D: u8 = 28;
/// A character of several bytes.
const CHARACTER: u8 = 29;
const ONE_MORE: u8 = 30;
const TWO_MORE: u8 = 31;
const AFTER_E0: u8 = 32;
const AFTER_ED: u8 = 33;
const AFTER_F0: u8 = 34;
const THREE_MORE: u8 = 35;
const AFTER_F4: u8 = 36;
/// A whole number of 1 to 16 digits.
const WHOLE_1: u8 = 37;
/// Behind a key that is a given word.
const KEY_QUOTE: u8 = 53;
const COUNT: usize = 54;

/// After so many digits of a whole number.
macro_rules! whole {
    ($next:expr) => {
        State::end(
            const {
                &[
                    Edge::bytes(DIGITS, $next),
                    Edge::bytes(ByteSet::of("."), POINT),
                    Edge::bytes(ByteSet::of("eE"), EXPONENT),
                ]
            },
        )
    };
}

/// The states, with what a key is behind its opening quote.
const fn states(key: State<'static>) -> [State<'static>; COUNT] {
    let mut states = [State::new(&[]); COUNT];
    states[VALUE as usize] = State::new(
        const {
            &[
                Edge::bytes(ByteSet::of("{"), OBJECT),
                Edge::bytes(ByteSet::of("["), ARRAY),
                Edge::bytes(QUOTE, TEXT_VALUE),
                Edge::bytes(ByteSet::of("-"), MINUS),
                Edge::bytes(ZERO, ZERO_DIGIT),
                Edge::bytes(ONE_TO_NINE, WHOLE_1),
                Edge::words(&["true", "false", "null"], DONE),
            ]
        },
    );
    states[OBJECT as usize] = State::new(const { &[Edge::bytes(QUOTE, KEY), Edge::bytes(END_OBJECT, DONE)] });
    states[KEY as usize] = key;
    states[KEY_QUOTE as usize] = State::new(const { &[Edge::bytes(QUOTE, AFTER_KEY)] });
    states[AFTER_KEY as usize] = State::new(const { &[Edge::bytes(ByteSet::of(":"), COLON)] });
    states[COLON as usize] =
        State::new(const { &[Edge::bytes(SPACE, BEFORE_MEMBER), Edge::rule(VALUE, MEMBER)] });
    states[BEFORE_MEMBER as usize] = State::new(const { &[Edge::rule(VALUE, MEMBER)] });
    states[MEMBER as usize] =
        State::new(const { &[Edge::bytes(COMMA, NEXT_MEMBER), Edge::bytes(END_OBJECT, DONE)] });
    states[NEXT_MEMBER as usize] =
        State::new(const { &[Edge::bytes(QUOTE, KEY), Edge::bytes(SPACE, SPACE_MEMBER)] });
    states[SPACE_MEMBER as usize] = State::new(const { &[Edge::bytes(QUOTE, KEY)] });
    states[DONE as usize] = State::end(const { &[] });
    states[ARRAY as usize] = State::new(const { &[Edge::bytes(END_ARRAY, DONE), Edge::rule(VALUE, ITEM)] });
    states[ITEM as usize] =
        State::new(const { &[Edge::bytes(COMMA, NEXT_ITEM), Edge::bytes(END_ARRAY, DONE)] });
    states[NEXT_ITEM as usize] =
        State::new(const { &[Edge::bytes(SPACE, SPACE_ITEM), Edge::rule(VALUE, ITEM)] });
    states[SPACE_ITEM as usize] = State::new(const { &[Edge::rule(VALUE, ITEM)] });
    states[TEXT_VALUE as usize] = State::new(const { &[Edge::rule(TEXT, DONE)] });

    states[MINUS as usize] =
        State::new(const { &[Edge::bytes(ZERO, ZERO_DIGIT), Edge::bytes(ONE_TO_NINE, WHOLE_1)] });
    states[ZERO_DIGIT as usize] = State::end(
        const { &[Edge::bytes(ByteSet::of("."), POINT), Edge::bytes(ByteSet::of("eE"), EXPONENT)] },
    );
    states[POINT as usize] = State::new(const { &[Edge::bytes(DIGITS, DECIMALS)] });
    states[DECIMALS as usize] =
        State::end(const { &[Edge::bytes(DIGITS, DECIMALS), Edge::bytes(ByteSet::of("eE"), EXPONENT)] });
    states[EXPONENT as usize] = State::new(
        const { &[Edge::bytes(ByteSet::of("+-"), EXPONENT_SIGN), Edge::bytes(DIGITS, EXPONENT_DIGIT)] },
    );
    states[EXPONENT_SIGN as usize] = State::new(const { &[Edge::bytes(DIGITS, EXPONENT_DIGIT)] });
    states[EXPONENT_DIGIT as usize] = State::end(const { &[Edge::bytes(DIGITS, DONE)] });
    let whole = [
        whole!(38),
        whole!(39),
        whole!(40),
        whole!(41),
        whole!(42),
        whole!(43),
        whole!(44),
        whole!(45),
        whole!(46),
        whole!(47),
        whole!(48),
        whole!(49),
        whole!(50),
        whole!(51),
        whole!(52),
    ];
    let mut digits = 0;
    while digits < whole.len() {
        states[WHOLE_1 as usize + digits] = whole[digits];
        digits += 1;
    }
    states[WHOLE_1 as usize + whole.len()] = states[ZERO_DIGIT as usize];

    states[TEXT as usize] = State::new(
        const {
            &[
                Edge::bytes(PLAIN, TEXT),
                Edge::bytes(QUOTE, DONE),
                Edge::bytes(ByteSet::of("\\"), ESCAPE),
                Edge::rule(CHARACTER, TEXT),
            ]
        },
    );
    states[ESCAPE as usize] = State::new(
        const { &[Edge::bytes(ByteSet::of("\"\\/bfnrt"), TEXT), Edge::bytes(ByteSet::of("u"), HEX_1)] },
    );
    states[HEX_1 as usize] =
        State::new(const { &[Edge::bytes(HEX.without(HEX_D), HEX_2), Edge::bytes(HEX_D, HEX_AFTER_D)] });
    states[HEX_2 as usize] = State::new(const { &[Edge::bytes(HEX, HEX_3)] });
    states[HEX_3 as usize] = State::new(const { &[Edge::bytes(HEX, HEX_4)] });
    states[HEX_4 as usize] = State::new(const { &[Edge::bytes(HEX, TEXT)] });
    states[HEX_AFTER_D as usize] = State::new(const { &[Edge::bytes(ByteSet::range(b'0', b'7'), HEX_3)] });

    // The well-formed sequences of the Unicode standard, table 3-7.
    states[CHARACTER as usize] = State::new(
        const {
            &[
                Edge::bytes(ByteSet::range(0xc2, 0xdf), ONE_MORE),
                Edge::bytes(ByteSet::range(0xe0, 0xe0), AFTER_E0),
                Edge::bytes(ByteSet::range(0xe1, 0xef).without(ByteSet::range(0xed, 0xed)), TWO_MORE),
                Edge::bytes(ByteSet::range(0xed, 0xed), AFTER_ED),
                Edge::bytes(ByteSet::range(0xf0, 0xf0), AFTER_F0),
                Edge::bytes(ByteSet::range(0xf1, 0xf3), THREE_MORE),
                Edge::bytes(ByteSet::range(0xf4, 0xf4), AFTER_F4),
            ]
        },
    );
    states[ONE_MORE as usize] = State::new(const { &[Edge::bytes(CONTINUATION, DONE)] });
    states[TWO_MORE as usize] = State::new(const { &[Edge::bytes(CONTINUATION, ONE_MORE)] });
    states[AFTER_E0 as usize] = State::new(const { &[Edge::bytes(ByteSet::range(0xa0, 0xbf), ONE_MORE)] });
    states[AFTER_ED as usize] = State::new(const { &[Edge::bytes(ByteSet::range(0x80, 0x9f), ONE_MORE)] });
    states[AFTER_F0 as usize] = State::new(const { &[Edge::bytes(ByteSet::range(0x90, 0xbf), TWO_MORE)] });
    states[THREE_MORE as usize] = State::new(const { &[Edge::bytes(CONTINUATION, TWO_MORE)] });
    states[AFTER_F4 as usize] = State::new(const { &[Edge::bytes(ByteSet::range(0x80, 0x8f), TWO_MORE)] });
    states
}

const ANY_KEY: [State<'static>; COUNT] = states(State::new(&[Edge::rule(TEXT, AFTER_KEY)]));

grammar! {
    /// Any JSON value.
    JSON = ANY_KEY
}

/// The states of JSON whose keys are words given with the grammar; they stand in it as they are, so they have no quotes,
/// backslashes and control characters.
///
/// ```
/// use sprat::grammar::{Grammar, JSON_WITH_KEYS, costs};
///
/// let keys = ["sensor", "value"];
/// let costs = costs(&JSON_WITH_KEYS, &keys).unwrap();
/// let grammar = Grammar::new(&JSON_WITH_KEYS, &costs, &keys);
/// assert!(grammar.accepts(r#"{"sensor":"temp","value":23.4}"#) && !grammar.accepts(r#"{"other":1}"#));
/// ```
pub const JSON_WITH_KEYS: [State<'static>; COUNT] = states(State::new(&[Edge::given(KEY_QUOTE)]));
