//! A short conversation with every emulated board over its serial line: the same text, calls and products as on the
//! laptop, an answer that is ended early, and a conversation that is forgotten.
//!
//! Few tokens: one of the cores is emulated slowly. What the first board alone is tested for is in `emulated/console.rs`.

use std::fs;

use sprat::Stage;
use sprat_board_support::console::message::{Bench, How, Last, Totals};
use sprat_board_support::memory::{
    Board, QEMU_MPS2_AN386, QEMU_MPS2_AN500, QEMU_MPS2_AN505, QEMU_MPS3_AN547, QEMU_RASPI3B,
    QEMU_VIRT_RISCV32,
};
use sprat_board_support::protocol::Stop;
use sprat_e2e::boards::{can_emulate, kernels, pack_default_for};
use sprat_emulator::firmware::{self, Form};
use sprat_tools::console::{
    Client, LocalOptions, Next, Outcome, StageCount, Talk, Wire, Wish, emulated, local,
};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::model::Model;

/// What a person would type.
const SCRIPT: [&str; 7] = [
    "How warm is it in the kitchen?",
    "/cancel 2",
    "Tell me a story about a dog.",
    "/stats",
    "/bench",
    "/reset",
    "/stats",
];

/// Tokens of context: what the conversation needs, and few for the measurement.
const CONTEXT: u32 = 64;

/// What comes of the script, without what is only noted, and what computed.
fn spoken(wire: Box<dyn Wire>) -> (Vec<Outcome>, String) {
    let how = How { max_tokens: 24, ..How::DEFAULT };
    let sensors = ["temp,kitchen=23.4".to_owned()];
    let mut talk = Talk::new(Client::new(wire), how, &sensors).unwrap();
    let mut outcomes = Vec::new();
    for line in SCRIPT {
        match talk.line(line, || Wish::More, &mut |_| {}).unwrap() {
            Next::Answered(outcome) => outcomes.push(*outcome),
            Next::Noted(_) => {}
            Next::Quit => panic!("{line}"),
        }
    }
    let kernels = talk.who().kernels.clone();
    println!("{}\n{}", talk.who(), outcomes[3].summary(talk.who()));
    talk.leave().unwrap();
    (outcomes, kernels)
}

fn totals(outcome: &Outcome) -> Totals {
    match outcome.last {
        Some(Last::Totals(totals)) => totals,
        ref other => panic!("{}: {other:?}", outcome.line),
    }
}

fn bench(outcome: &Outcome) -> Bench {
    match outcome.last {
        Some(Last::Bench(bench)) => bench,
        ref other => panic!("{}: {other:?}", outcome.line),
    }
}

/// Everything about one board.
fn check(test: &str, board: &'static Board) {
    if !can_emulate(test, board) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.sprat");
    pack_default_for(board, &packed).unwrap();
    let wanted = Wanted { form: Form::Console, context: Some(CONTEXT), ..Wanted::new(board.name, &packed) };
    let emulated_board = Emulated::build(&wanted).unwrap();
    let elf = fs::read(emulated_board.elf("")).unwrap();
    // The wire's buffers are empty at first, and flash holds no copy of that.
    assert_eq!(firmware::sizes(board, &elf).unwrap().initial_values, 0, "{}", board.name);
    let (there, kernels_there) = spoken(emulated(emulated_board).unwrap());
    assert_eq!(kernels_there, kernels(board), "{}", board.name);
    let options = LocalOptions { context: Some(CONTEXT), threads: 1 };
    let (here, _) = spoken(local(Model::open_packed(&packed).unwrap(), options).unwrap());

    let [warm, story, so_far, measured, reset, anew] = &there[..] else { panic!("{there:?}") };
    assert!(there.iter().all(|outcome| outcome.is_whole), "{there:?}");
    let calls: Vec<_> = warm.calls.iter().map(|call| (call.written(), &*call.result)).collect();
    assert_eq!(calls, [("read(temp, kitchen)".to_owned(), "23.4")], "{}", board.name);
    assert!(warm.text.contains("23.4"), "{}: {}", board.name, warm.text);
    assert_eq!((&warm.text, &warm.calls), (&here[0].text, &here[0].calls), "{}", board.name);
    assert!(matches!(story.last, Some(Last::Done(done)) if done.stop == Stop::Cancelled), "{story:?}");
    assert_eq!((totals(so_far).turns, totals(anew).turns, reset.last), (2, 0, Some(Last::Ok)));

    let (found, expected) = (bench(measured), bench(&here[3]));
    let counted = |bench: &Bench| {
        let Bench { read_tokens, read_products, read_bytes, .. } = *bench;
        let Bench { written_tokens, written_products, written_bytes, .. } = *bench;
        [
            read_products,
            written_products,
            read_bytes,
            written_bytes,
            read_tokens.into(),
            written_tokens.into(),
        ]
    };
    assert_eq!(counted(&found), counted(&expected), "{}", board.name);
    let stages: Vec<_> = measured.stages.iter().map(|stage| &*stage.stage).collect();
    assert_eq!(stages, Stage::ALL[1..].iter().map(|stage| stage.name()).collect::<Vec<_>>());
    // What stages take is what tokens take, and a little for telling of them.
    let parts = |count: fn(&StageCount) -> u64| measured.stages.iter().map(count).sum::<u64>();
    for (count, tokens, parts) in [
        (found.reading, found.read_tokens, parts(|stage| stage.reading)),
        (found.writing, found.written_tokens, parts(|stage| stage.writing)),
    ] {
        let whole = count / u64::from(tokens);
        assert!((whole * 9 / 10..whole * 12 / 10).contains(&parts), "{}: {parts} of {whole}", board.name);
    }
    let stack = totals(anew).stack_used_bytes;
    println!("{stack} bytes of stack");
    assert!(stack > 0, "{}", board.name);
}

#[test]
fn the_m4_board_holds_conversations() {
    check("the_m4_board_holds_conversations", &QEMU_MPS2_AN386);
}

#[test]
fn the_m7_board_holds_conversations() {
    check("the_m7_board_holds_conversations", &QEMU_MPS2_AN500);
}

#[test]
fn the_m33_board_holds_conversations() {
    check("the_m33_board_holds_conversations", &QEMU_MPS2_AN505);
}

#[test]
fn the_m55_board_holds_conversations() {
    check("the_m55_board_holds_conversations", &QEMU_MPS3_AN547);
}

#[test]
fn the_riscv_board_holds_conversations() {
    check("the_riscv_board_holds_conversations", &QEMU_VIRT_RISCV32);
}

#[test]
fn the_raspberry_pi_holds_conversations() {
    check("the_raspberry_pi_holds_conversations", &QEMU_RASPI3B);
}
