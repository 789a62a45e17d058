//! Conversations with the emulated board over its serial line: the same texts, calls and bits as on the laptop, which
//! runs the same application in a thread.

use sprat_board_support::console::message::{Bench, Done, How, Last, Totals};
use sprat_board_support::protocol::Stop;
use sprat_e2e::repository;
use sprat_emulator::firmware::Form;
use sprat_tools::console::{Client, LocalOptions, Next, Outcome, Talk, Wish, emulated, local};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::model::Model;

use super::{BOARD, can_emulate};

const MODEL: &str = "models/assistant/assistant-q8.sprat";

/// What a person would type.
const SCRIPT: &str = "\
/info
/tools
/sensor temp,kitchen=23.4
How warm is it in the kitchen?
/history on
What is the capital of France?
How warm is it in the kitchen?
/stats
/history off
/reset
/cancel 3
Tell me a story about a dog.
/reset
/stats
How warm is it in the kitchen?
/votes 3
What is 17 times 23?
/stats
/bench
/votes 0
What is 17 times 23?
/quit
What is never asked?";

fn spoken(talk: &mut Talk) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for line in SCRIPT.lines() {
        match talk.line(line, || Wish::More, &mut |_| {}).unwrap() {
            Next::Answered(outcome) => outcomes.push(*outcome),
            Next::Noted(_) => {}
            Next::Quit => return outcomes,
        }
    }
    panic!("the script did not quit");
}

fn done(outcome: &Outcome) -> Done {
    match outcome.last {
        Some(Last::Done(done)) => done,
        ref other => panic!("{}: {other:?}", outcome.line),
    }
}

fn totals(outcome: &Outcome) -> Totals {
    match outcome.last {
        Some(Last::Totals(totals)) => totals,
        ref other => panic!("{}: {other:?}", outcome.line),
    }
}

/// What is the same wherever the conversation is held.
fn compared(outcome: &Outcome) -> (String, String, usize, [u32; 5], Option<Stop>) {
    let (numbers, stop) = match outcome.last {
        Some(Last::Done(done)) => {
            let numbers =
                [done.read_tokens, done.written_tokens, done.inserted_tokens, done.calls, done.dropped_turns];
            (numbers, Some(done.stop))
        }
        Some(Last::Totals(totals)) => {
            let hash = totals.logits_hash;
            ([totals.turns, totals.position, totals.written_tokens, hash as u32, (hash >> 32) as u32], None)
        }
        _ => ([0; 5], None),
    };
    let said = format!("{:?} {:?} {:?}", outcome.calls, outcome.verdict, outcome.tools);
    (outcome.text.clone(), said, outcome.abandoned_calls as usize, numbers, stop)
}

#[test]
fn a_conversation_with_the_board_is_the_one_with_the_laptop() {
    if !can_emulate("a_conversation_with_the_board_is_the_one_with_the_laptop") {
        return;
    }
    let packed = repository().join(MODEL);
    let how = How { max_tokens: 60, ..How::DEFAULT };
    let board = Emulated::build(&Wanted { form: Form::Console, ..Wanted::new(BOARD.name, &packed) }).unwrap();
    let mut talk = Talk::new(Client::new(emulated(board).unwrap()), how, &[]).unwrap();
    assert_eq!((&*talk.who().board, &*talk.who().kernels), (BOARD.name, "dsp"));
    let on_board = spoken(&mut talk);
    talk.leave().unwrap();
    let options = LocalOptions { context: None, threads: 1 };
    let here = local(Model::open_packed(&packed).unwrap(), options).unwrap();
    let mut talk = Talk::new(Client::new(here), how, &[]).unwrap();
    let on_laptop = spoken(&mut talk);
    talk.leave().unwrap();

    assert_eq!(on_board.len(), 15);
    for (device, laptop) in on_board.iter().zip(&on_laptop) {
        assert!(device.is_whole && laptop.is_whole, "{}", device.line);
        let ends = |outcome: &Outcome| {
            outcome.last.map(|last| matches!(last, Last::Done(done) if done.stop == Stop::Cancelled))
        };
        // Where a cancelled answer ends is a matter of time.
        match ends(device) {
            Some(true) => assert_eq!(ends(laptop), Some(true)),
            _ if device.line.starts_with("/bench") => {}
            _ => assert_eq!(compared(device), compared(laptop), "{}", device.line),
        }
    }
    let line = |index: usize| &on_board[index];
    assert!(line(1).tools.len() >= 4);
    let read = |index: usize| {
        let calls = &line(index).calls;
        calls.iter().map(|call| (call.written(), call.result.clone())).collect::<Vec<_>>()
    };
    assert_eq!(read(2), [("read(temp, kitchen)".to_owned(), "23.4".to_owned())]);
    assert_eq!(read(14), [("17*23".to_owned(), "391".to_owned())]);
    let so_far = totals(line(5));
    assert_eq!(so_far.turns, 3);
    // Two of them are turns of one conversation with the first, and all are in the context.
    let [first, ..] = [2, 3, 4].map(|index| done(line(index)));
    assert!(so_far.position > 2 * (first.read_tokens + first.written_tokens), "{so_far:?}");
    assert!(so_far.stack_used_bytes > 0, "{so_far:?}");
    assert_eq!(done(line(7)).stop, Stop::Cancelled);
    assert_eq!((totals(line(9)).turns, totals(line(9)).position), (0, 0));
    assert_eq!(line(10).calls, line(2).calls);
    let (_, votes, chains) = line(11).verdict.clone().unwrap();
    assert!((1..=3).contains(&votes) && chains == 3, "{votes} of {chains}");
    assert_eq!(totals(line(12)).turns, 2);
    let Some(Last::Bench(Bench { written_tokens, writing, written_products, .. })) = line(13).last else {
        panic!("{:?}", line(13))
    };
    println!(
        "{} instructions a token, stack {}",
        writing / u64::from(written_tokens),
        totals(line(12)).stack_used_bytes
    );
    // Instructions: about one for each product.
    assert!(written_products < writing && writing < 4 * written_products, "{writing} for {written_products}");
}
