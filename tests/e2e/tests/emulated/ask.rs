//! Questions on the emulated board: the same calls, the same text and the same bits as on the laptop.

use sprat_e2e::repository;
use sprat_tools::ask::{AskOptions, ask, ask_board};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;

use super::{BOARD, can_emulate};

const MODEL: &str = "models/assistant-0.9m/assistant-0.9m-q8.sprat";

/// The most that a firmware with sessions, tools and their grammars may take: what it took when it was first measured,
/// and a little more. It is too much for a flash of 1 MiB beside the default model.
const MOST_FIRMWARE_BYTES: u64 = 156 * 1024;

#[test]
fn a_board_asks_its_tools_as_the_laptop_does() {
    if !can_emulate("a_board_asks_its_tools_as_the_laptop_does") {
        return;
    }
    let packed = repository().join(MODEL);
    let model = Model::open(&packed, &OpenOptions::default(), &indicatif::ProgressBar::hidden()).unwrap();
    let board = Emulated::build(&Wanted { ask: true, ..Wanted::new(BOARD.name, &packed) }).unwrap();
    let mut calls = 0;
    for question in [
        "What is 81 * 11?",
        "Add 74 and 4, then multiply by 26.",
        "Tell me the temperature in the kitchen",
        "Give me the temperature in the attic",
        "Please turn on the green led.",
        "What is the capital of France?",
    ] {
        let sensors = vec!["humidity=40".to_owned(), "temp,kitchen=31.7".to_owned()];
        let options =
            AskOptions { question: question.into(), sensors, max_tokens: 60, ..AskOptions::default() };
        let laptop = ask(&model, &options, &mut |_| {}).unwrap();
        let device = ask_board(&board, &options, &mut |_| {}).unwrap();
        let compared = |report: &sprat_tools::ask::AskReport| {
            let tokens = [report.prompt_tokens, report.answer_tokens, report.inserted_tokens];
            (
                report.chain.clone(),
                report.calls.clone(),
                tokens,
                report.stop.clone(),
                report.logits_hash.clone(),
            )
        };
        assert_eq!(compared(&device), compared(&laptop), "{question}");
        assert_eq!((&*device.kernels, device.abandoned_calls), ("dsp", 0));
        let took = device.board.unwrap();
        println!(
            "{question}: {} bytes of stack, firmware {} bytes",
            took.stack_used_bytes, took.firmware_bytes
        );
        assert!(took.firmware_bytes <= MOST_FIRMWARE_BYTES, "{} bytes", took.firmware_bytes);
        calls += laptop.calls.len();
    }
    assert!(calls >= 5, "{calls} calls");
}
