use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const KEYS: [&str; 3] = ["sensor", "set", "value"];

fn with_all(mut check: impl FnMut(&str, &Grammar<'_>)) {
    let (keyed, word) = (costs(&JSON_WITH_KEYS, &KEYS).unwrap(), costs(&WORD, &KEYS).unwrap());
    check("expression", &EXPRESSION);
    check("arguments", &ARGUMENTS);
    check("program", &PROGRAM);
    check("json", &JSON);
    check("json with keys", &Grammar::new(&JSON_WITH_KEYS, &keyed, &KEYS));
    check("word", &Grammar::new(&WORD, &word, &KEYS));
}

#[test]
fn grammars_accept_what_they_are_for_and_nothing_else() {
    let accepts = |grammar: Grammar<'_>, yes: &[&str], no: &[&str]| {
        for text in yes {
            assert!(grammar.accepts(text), "{text:?} is refused");
        }
        for text in no {
            assert!(!grammar.accepts(text), "{text:?} is accepted");
        }
    };
    accepts(
        EXPRESSION,
        &["1", "48/2", "1 + 2", "-(3.5*2)^-2", "((1))%7", "12 ", "2--3"],
        &["", "1+", "(1", "1)", "1..2", ".5", "1.", "a", "1 2", "--1", "1  + 2", "=", "()"],
    );
    accepts(
        ARGUMENTS,
        &["", "temp", "temp,kitchen", "living room,on", "a, 1,-2.5,\"any text: (a)\"", "x_1"],
        &[",", "a,", "a  b", "1a", "\"open", "a)", "a ", "1.", "é"],
    );
    accepts(
        PROGRAM,
        &[
            "1",
            "a=3;b=a*2;b",
            "x = 1\ny = x",
            "if x>1{y=2}",
            "if x==1{y=2} else {y=3};y",
            "iffy=1",
            "i=1",
            "wh=2;w",
            "while x<10{x=x+1};x",
            "a<=b",
            "a!=b",
            "while 1{if 0{x}else{while 1{1}}}",
            "if (a){b}",
        ],
        &["", ";", "a=", "if{1}", "if 1{}", "if 1{x", "x=1;", "1=2", "while 1", "a b", "if", "x==", "{"],
    );
    accepts(
        JSON,
        &[
            "{}",
            "[]",
            "\"\"",
            "0",
            "-1.5e10",
            "true",
            "null",
            r#"{"a":1, "b": [1,2, {"c":false}]}"#,
            r#""\u00e9\n\" é 🦀 \ud7ff""#,
            "1234567890123456",
            "[[[[[[[]]]]]]]",
            "1E-7",
        ],
        &[
            "",
            "{",
            "{]",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "+1",
            "tru",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\n\"",
            "12345678901234567",
            "1e100",
            "[1 ,2]",
            "nulll",
            "{\"a\":1,}",
            "{a:1}",
        ],
    );
}

#[test]
fn what_is_no_utf8_is_no_json() {
    for bytes in
        [&[0xc0, 0x80][..], &[0xed, 0xa0, 0x80], &[0xf4, 0x90, 0x80, 0x80], &[0x80], &[0xe0, 0x80, 0x80]]
    {
        let text = [b"\"", bytes, b"\""].concat();
        let end = text.iter().try_fold(Matcher::START, |matcher, &byte| matcher.advance(&JSON, byte));
        assert_eq!(end, None, "{bytes:x?}");
    }
}

#[test]
fn impossible_grammars_are_refused() {
    let there = ByteSet::of("a");
    let refused = |states: &[State<'_>; 2], given: &[&str]| costs(states, given).unwrap_err();
    let end = State::end(&[]);
    assert_eq!(
        refused(&[State::new(&[Edge::bytes(there, 2)]), end], &[]),
        GrammarError::NoSuchState { from: 0 }
    );
    assert_eq!(refused(&[State::new(&[Edge::rule(7, 1)]), end], &[]), GrammarError::NoSuchState { from: 0 });
    assert_eq!(refused(&[State::new(&[Edge::bytes(there, 0)]), end], &[]), GrammarError::NoEnd { state: 0 });
    assert_eq!(refused(&[State::new(&[Edge::rule(0, 1)]), end], &[]), GrammarError::NoEnd { state: 0 });
    let early = [Edge::rule(1, 1), Edge::bytes(there, 1)];
    assert_eq!(refused(&[State::new(&early), end], &[]), GrammarError::RuleIsNotLast { state: 0 });
    assert_eq!(refused(&[State::new(&[Edge::given(1)]), end], &[]), GrammarError::Words { state: 0 });
    assert_eq!(refused(&[State::new(&[Edge::given(1)]), end], &["a", ""]), GrammarError::Words { state: 0 });
}

/// From wherever random bytes have led, some byte brings the end nearer by one: so the shortest completion is a
/// promise, at any depth.
#[test]
fn the_shortest_completion_is_always_there() {
    with_all(|name, grammar| {
        let mut random = 1u64;
        let mut next = move |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        let mut deepest = 0;
        for round in 0..300 {
            let (mut matcher, mut text) = (Matcher::START, Vec::new());
            for _ in 0..next(120) {
                let set = matcher.next_bytes(grammar);
                let mut following: Vec<u8> = (0..=255).filter(|byte| set.has(*byte)).collect();
                // Half of the rounds dive as deep as they can.
                let nests = |byte: &u8| b"([{\"".contains(byte);
                if round % 2 == 0 && following.iter().any(nests) && next(4) > 0 {
                    following.retain(nests);
                }
                let Some(byte) = (!following.is_empty()).then(|| following[next(following.len())]) else {
                    break;
                };
                if let Some(further) = matcher.advance(grammar, byte) {
                    (matcher, _) = (further, text.push(byte));
                }
                deepest = deepest.max(matcher.shortest_completion(grammar));
            }
            let mut left = matcher.shortest_completion(grammar);
            while left > 0 {
                let closer = (0..=255).find_map(|byte| {
                    let further = matcher.advance(grammar, byte)?;
                    (further.shortest_completion(grammar) + 1 == left).then_some((byte, further))
                });
                let so_far = String::from_utf8_lossy(&text).into_owned();
                let (byte, further) = closer.unwrap_or_else(|| panic!("{name}: no way on from {so_far:?}"));
                text.push(byte);
                (matcher, left) = (further, left - 1);
            }
            let text = String::from_utf8(text).unwrap_or_else(|_| panic!("{name}: no text"));
            assert!(grammar.accepts(&text), "{name}: {text:?}");
            assert!(matcher.is_at_end(grammar));
        }
        assert!(deepest >= 1, "{name} was never left open");
    });
}

proptest! {
    /// `next_bytes` leaves out nothing that can follow.
    #[test]
    fn what_can_follow_is_among_the_next_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        with_all(|_, grammar| {
            let mut matcher = Matcher::START;
            for &byte in &bytes {
                let set = matcher.next_bytes(grammar);
                for byte in 0..=255 {
                    assert!(set.has(byte) || matcher.advance(grammar, byte).is_none());
                }
                // Any of them, as the random byte says.
                let mut following = (0..=255).filter(|byte| set.has(*byte));
                let Some(byte) = following.clone().nth(usize::from(byte) % following.by_ref().count().max(1)) else {
                    break;
                };
                matcher = matcher.advance(grammar, byte).unwrap_or(matcher);
            }
        });
    }
}
