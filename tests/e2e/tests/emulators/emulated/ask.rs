//! Questions on the emulated board: the same calls, the same text and the same bits as on the laptop.

use std::fs;

use sprat_corpus::Recipe;
use sprat_e2e::repository;
use sprat_emulator::firmware::Form;
use sprat_tools::ask::{AskOptions, QuestionSet, ask, ask_board};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;

use super::{BOARD, can_emulate};

const MODEL: &str = "models/assistant/assistant-q8.sprat";

/// Questions, of those that are held out: some of each set.
const QUESTIONS: usize = 50;
/// A firmware with sessions, tools and their grammars fits it together with the default model.
const FLASH_BYTES: u64 = 1 << 20;

#[test]
fn a_board_answers_fifty_questions_as_the_laptop_does() {
    if !can_emulate("a_board_answers_fifty_questions_as_the_laptop_does") {
        return;
    }
    let packed = repository().join(MODEL);
    let model = Model::open(&packed, &OpenOptions::default(), &indicatif::ProgressBar::hidden()).unwrap();
    let board = Emulated::build(&Wanted { form: Form::Ask, ..Wanted::new(BOARD.name, &packed) }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    sprat_corpus::write(Recipe { seed: 1, examples: 0, questions: 4 }, folder.path()).unwrap();
    let mut files: Vec<_> = fs::read_dir(folder.path().join("held-out")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().path());
    let sets = files.into_iter().map(|file| QuestionSet::read(&file.unwrap().path(), 4).unwrap());
    let questions: Vec<_> = sets.flat_map(|set| set.questions).collect();
    let (mut calls, mut stack, mut firmware) = (0, 0, 0);
    for known in &questions[..QUESTIONS] {
        let question = &known.question;
        let sensors = vec![known.sensors.clone()];
        let options =
            AskOptions { question: question.clone(), sensors, max_tokens: 60, ..AskOptions::default() };
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
        (stack, firmware) = (stack.max(took.stack_used_bytes), took.firmware_bytes);
        calls += laptop.calls.len();
    }
    let model = model.bytes().len() as u64;
    println!("{firmware} bytes of firmware, {model} of model, {stack} of stack");
    assert!(firmware + model <= FLASH_BYTES, "{firmware} bytes of firmware, {model} of model");
    assert!(calls >= 25, "{calls} calls");
}
