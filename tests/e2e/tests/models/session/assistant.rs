//! The default model with its tools: what it calls, what it is answered, what it makes of that.

use sprat_tools::ask::{AskOptions, AskReport, ask};

use super::models::assistant;
use super::*;

fn asked(question: &str, sensors: &[&str], tools: bool) -> AskReport {
    let sensors = sensors.iter().map(|sensor| (*sensor).to_owned()).collect();
    let options = AskOptions { question: question.into(), sensors, tools, ..AskOptions::default() };
    ask(&assistant(), &options, &mut |_| {}).unwrap()
}

#[test]
fn a_calculation_is_made_by_the_calculator() {
    let report = asked("What is 81 * 11?", &[], true);
    let calls: Vec<_> = report.calls.iter().map(|call| (&*call.arguments, &*call.result)).collect();
    assert_eq!(calls, [("81*11", "891")], "{}", report.chain);
    assert!(report.chain.contains("<<81*11=891>>"), "{}", report.chain);
    assert_eq!((&*report.answer, &*report.stop), ("891", "end token"));
    // A digit each, and the marker, tokenized on their own as in training.
    assert_eq!(report.inserted_tokens, 4);
}

#[test]
fn without_tools_the_model_is_on_its_own() {
    let report = asked("What is 81 * 11?", &[], false);
    assert_eq!((report.calls.len(), report.inserted_tokens), (0, 0));
    assert!(report.chain.contains("<<81*11="), "{}", report.chain);
}

#[test]
fn sensors_are_read_and_actuators_are_set() {
    let report = asked("Tell me the temperature in the kitchen", &["humidity=40", "temp,kitchen=31.7"], true);
    let call = &report.calls[0];
    assert_eq!((&*call.name, &*call.arguments, &*call.result), ("read", "temp, kitchen", "31.7"));
    assert_eq!(report.answer, "It is 31.7 degrees in the kitchen.", "{}", report.chain);

    let report = asked("Tell me the temperature in the kitchen", &[], true);
    assert_eq!(report.calls[0].result, "error", "{}", report.chain);

    let report = asked("Please turn on the green led.", &[], true);
    let call = &report.calls[0];
    assert_eq!(
        (&*call.name, &*call.arguments, &*call.result),
        ("set", "led, green, on", "ok"),
        "{}",
        report.chain
    );
}

#[test]
fn the_grammar_changes_nothing_where_the_model_writes_well() {
    let model = assistant();
    let answer = |constrain_calls| {
        with_engine(&model, |engine| {
            let mut memory = [0; Memory::SMALL.bytes()];
            let options = Options { constrain_calls, ..Options::DEFAULT };
            let mut session = Session::new(engine, greedy(), &mut memory, Memory::SMALL, options).unwrap();
            session.say(Role::User, "Add 74 and 4, then multiply by 26.").unwrap();
            let (mut calculator, mut heard) = (Calculator::new(), Heard::default());
            let mut tools = Tools::none().with_calculator(&mut calculator);
            let end = session.answer(&mut tools, |event| heard.hear(event)).unwrap();
            assert_eq!(end, End::EndToken);
            (heard.text, heard.calls)
        })
    };
    let (constrained, free) = (answer(true), answer(false));
    assert_eq!(constrained, free);
    assert!(!free.1.is_empty(), "{}", free.0);
}
