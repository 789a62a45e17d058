//! Random weights write ten thousand calls and as many answers by a grammar, and none is malformed.
//!
//! What a call must look like is checked by parsers of its own here, and JSON by `serde_json`.

use sprat::grammar::{Grammar, JSON, JSON_WITH_KEYS, costs};
use sprat::tools::Program;
use sprat_tools::fixture::Numbers;

use super::models::{END, OPEN_CALCULATION, OPEN_WORK, noise};
use super::*;

const MANY: usize = 10_000;

/// A parser by recursive descent, of what the calculator takes.
struct Parser<'t>(&'t [u8]);

impl Parser<'_> {
    fn takes(text: &str) -> bool {
        let mut parser = Parser(text.as_bytes());
        parser.sum() && parser.0.is_empty()
    }

    fn skip(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn sum(&mut self) -> bool {
        loop {
            if !self.operand() {
                return false;
            }
            self.skip();
            match self.0 {
                [b'+' | b'-' | b'*' | b'/' | b'%' | b'^', rest @ ..] => self.0 = rest,
                _ => return true,
            }
        }
    }

    fn operand(&mut self) -> bool {
        self.skip();
        if let [b'-', rest @ ..] = self.0 {
            self.0 = rest;
        }
        if let [b'(', rest @ ..] = self.0 {
            self.0 = rest;
            let inside = self.sum();
            let closed = self.0.first() == Some(&b')');
            self.0 = self.0.get(1..).unwrap_or_default();
            return inside && closed;
        }
        let whole = self.digits();
        if let [b'.', rest @ ..] = self.0 {
            self.0 = rest;
            return whole && self.digits();
        }
        whole
    }

    fn digits(&mut self) -> bool {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 = &self.0[count..];
        count > 0
    }
}

/// Whether these are arguments: words, numbers and quoted texts with commas between.
fn are_arguments(text: &str) -> bool {
    let (mut arguments, mut is_quoted) = (vec![String::new()], false);
    for character in text.chars() {
        is_quoted ^= character == '"';
        match arguments.last_mut() {
            Some(last) if is_quoted || character != ',' => last.push(character),
            _ => arguments.push(String::new()),
        }
    }
    let rest = arguments[1..].iter().map(|argument| argument.strip_prefix(' ').unwrap_or(argument));
    let all = core::iter::once(arguments[0].as_str()).chain(rest);
    !is_quoted && (text.is_empty() || all.into_iter().all(is_argument))
}

fn is_argument(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return inside.chars().all(|c| (' '..='~').contains(&c) && c != '"' && c != '\\');
    }
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let begins_like_a_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    text.parse::<f64>().is_ok() || begins_like_a_word && text.split(' ').all(is_word)
}

/// Lets the model of noise answer again and again until there were enough calls; what it opens is up to `opening`.
fn calls_of_noise(opening: u32, mut check: impl FnMut(&Heard)) {
    with_engine(noise(), |engine| {
        let (mut calls, mut seed, mut numbers) = (0, 0, Numbers(opening.into()));
        while calls < MANY {
            engine.truncate(0);
            let mut memory = [0; Memory::SMALL.bytes()];
            // Also limits in which no call fits at all.
            let max_tokens = (numbers.bits() % 120) as usize;
            let bias = [(opening, 50.0), (END, f32::NEG_INFINITY)];
            let options = Options { max_tokens, bias: &bias, ..Options::DEFAULT };
            seed += 1;
            let mut session =
                Session::new(engine, random(seed), &mut memory, Memory::SMALL, options).unwrap();
            session.say(Role::User, "x").unwrap();
            let (mut calculator, mut program, mut heard) =
                (Calculator::new(), Program::new().with_steps(50), Heard::default());
            let mut read = |_: &str, out: &mut Text<'_>| -> Result<(), ToolError> {
                out.push("1");
                Ok(())
            };
            let mut set = read;
            let mut named = [
                NamedTool::new("run", &mut program),
                NamedTool::new("read", &mut read),
                NamedTool::new("reset", &mut set),
            ];
            let mut tools = Tools::new(&mut named).with_calculator(&mut calculator);
            let end = session.answer(&mut tools, |event| heard.hear(event)).unwrap();
            assert!(matches!(end, End::Limit | End::ContextFull), "{end:?}");
            assert_eq!((heard.abandoned, heard.results.len()), (0, heard.calls.len()), "{}", heard.text);
            check(&heard);
            calls += heard.calls.len();
        }
    });
}

#[test]
fn no_calculation_is_malformed() {
    let mut lengths = std::collections::BTreeSet::new();
    calls_of_noise(OPEN_CALCULATION, |heard| {
        // Nothing was left open at the end.
        let opened = heard.tokens.iter().filter(|&&token| token == OPEN_CALCULATION).count();
        assert_eq!(opened, heard.calls.len(), "{}", heard.text);
        for ((name, expression), result) in heard.calls.iter().zip(&heard.results) {
            assert!(name.is_empty() && Parser::takes(expression), "{expression:?}");
            assert!(!result.contains("malformed") && !result.contains("missing"), "{expression:?}: {result}");
            lengths.insert(expression.len());
        }
    });
    assert!(lengths.len() > 20, "short and long ones: {lengths:?}");
}

#[test]
fn no_call_by_name_is_malformed() {
    let mut names = std::collections::BTreeMap::new();
    calls_of_noise(OPEN_WORK, |heard| {
        // An argument in quotes may hold what looks like the beginning of a call.
        let answered = heard.text.matches("[/work]=> ").count();
        let by_name = heard.calls.iter().filter(|(name, _)| !name.is_empty()).count();
        assert_eq!(answered, by_name, "{}", heard.text);
        let calls = heard.calls.iter().zip(&heard.results);
        for ((name, arguments), result) in calls.filter(|((name, _), _)| !name.is_empty()) {
            *names.entry(name.clone()).or_insert(0) += 1;
            match name.as_str() {
                "run" => {
                    let is_well_formed =
                        !["malformed", "missing", "closed"].iter().any(|why| result.contains(why));
                    assert!(is_well_formed, "{arguments:?}: {result}");
                }
                "read" | "reset" => assert!(are_arguments(arguments), "{arguments:?}"),
                _ => panic!("{name:?} is no tool"),
            }
        }
    });
    assert!(names.len() == 3 && names.values().all(|&count| count > 100), "{names:?}");
}

/// Answers by a grammar, some in very few tokens.
fn answers_of_noise(grammar: &Grammar<'_>, least: usize, mut check: impl FnMut(&str)) {
    with_engine(noise(), |engine| {
        let mut numbers = Numbers(5);
        for seed in 0..MANY as u64 {
            engine.truncate(0);
            let mut memory = [0; Memory::SMALL.bytes()];
            let max_tokens = least + (numbers.bits() % 40) as usize;
            let options = Options { max_tokens, ..Options::DEFAULT };
            let mut session =
                Session::new(engine, random(seed), &mut memory, Memory::SMALL, options).unwrap();
            session.say(Role::User, "x").unwrap();
            let mut heard = Heard::default();
            let end = session.answer_in(grammar, |event| heard.hear(event)).unwrap();
            assert!(matches!(end, End::Complete | End::Limit | End::EndToken), "{end:?}: {}", heard.text);
            check(&heard.text);
        }
    });
}

#[test]
fn no_json_is_malformed() {
    let mut kinds = std::collections::HashMap::new();
    answers_of_noise(&JSON, 1, |text| {
        let value = serde_json::from_str::<serde_json::Value>(text);
        let value = value.unwrap_or_else(|error| panic!("{text:?}: {error}"));
        *kinds.entry(core::mem::discriminant(&value)).or_insert(0_usize) += 1;
    });
    assert_eq!(kinds.len(), 6, "null, truth values, numbers, texts, arrays and objects: {kinds:?}");
}

#[test]
fn json_has_no_other_keys_than_those_given() {
    const KEYS: [&str; 3] = ["sensor", "value", "valve"];
    let costs = costs(&JSON_WITH_KEYS, &KEYS).unwrap();
    let mut keys = 0;
    answers_of_noise(&Grammar::new(&JSON_WITH_KEYS, &costs, &KEYS), 1, |text| {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        if let serde_json::Value::Object(members) = value {
            keys += members.len();
            assert!(members.keys().all(|key| KEYS.contains(&key.as_str())), "{text}");
        }
    });
    assert!(keys > 100, "{keys}");
}

#[test]
fn an_answer_that_cannot_be_completed_is_refused() {
    const KEYS: [&str; 1] = ["a key of many letters"];
    use sprat::grammar::WORD;
    let costs = costs(&WORD, &KEYS).unwrap();
    let grammar = Grammar::new(&WORD, &costs, &KEYS);
    with_engine(noise(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        let options = Options { max_tokens: 20, ..Options::DEFAULT };
        let mut session = Session::new(engine, greedy(), &mut memory, Memory::SMALL, options).unwrap();
        session.say(Role::User, "x").unwrap();
        let error = session.answer_in(&grammar, |_| ControlFlow::Continue(()));
        assert_eq!(error, Err(SessionError::Answer { need: 21, have: 20 }));
        session.options_mut().max_tokens = 21;
        let mut heard = Heard::default();
        assert_eq!(session.answer_in(&grammar, |event| heard.hear(event)), Ok(End::Complete));
        assert_eq!(heard.text, KEYS[0]);
    });
}

#[test]
fn where_the_model_has_no_token_the_call_is_given_up() {
    with_engine(noise(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        // It may write what opens a call, and a word, but nothing that a call could have.
        let mut allowed = [0u32; 832 / 32];
        [OPEN_CALCULATION, 60].iter().for_each(|token| allowed[*token as usize / 32] |= 1 << (token % 32));
        let options = Options { max_tokens: 12, allowed: Some(&allowed), ..Options::DEFAULT };
        let mut session = Session::new(engine, random(1), &mut memory, Memory::SMALL, options).unwrap();
        session.say(Role::User, "x").unwrap();
        let (mut calculator, mut heard) = (Calculator::new(), Heard::default());
        let mut tools = Tools::none().with_calculator(&mut calculator);
        let end = session.answer(&mut tools, |event| heard.hear(event)).unwrap();
        assert_eq!((end, heard.calls.len()), (End::Limit, 0));
        assert!(heard.abandoned > 0 && heard.abandoned == session.statistics().abandoned_calls as usize);
    });
}
