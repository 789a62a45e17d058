//! Every emulated board, from power-on to its exit code: that it answers as the laptop does, bit for bit, with the
//! kernels of its core, and that each way to fail is a failure of its own.
//!
//! Short answers: one of the cores is emulated slowly. What the first board alone is tested for is in `emulated.rs`.

use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use sprat::{Kernels, SamplerConfig};
use sprat_board_support::memory::{
    Board, QEMU_MPS2_AN500, QEMU_MPS2_AN505, QEMU_MPS3_AN547, QEMU_RASPI3B, QEMU_VIRT_RISCV32,
    QEMU_VIRT_RISCV32_HEAP,
};
use sprat_board_support::protocol::{Exit, Request};
use sprat_e2e::boards::{can_emulate, kernels, pack_default_for, pack_for};
use sprat_e2e::reference;
use sprat_emulator::{Boot, End, Input, boot};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;
use sprat_tools::run::{RunOptions, run};

/// Tokens of an answer, at most.
const STEPS: u32 = 16;

/// Everything about one board.
fn check(test: &str, board: &Board) {
    if !can_emulate(test, board) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.sprat");
    pack_default_for(board, &packed).unwrap();
    let emulated = Emulated::build(&Wanted::new(board.name, &packed)).unwrap();
    answers(board, &emulated, &packed, "<|user|>What is the capital of France?<|assistant|>", true);
    drills(board, &emulated);
    let Some(stories) = reference(test, "data/stories260K") else { return };
    let open = OpenOptions { tokenizer: Some(stories.join("tok512.bin")), ..OpenOptions::default() };
    pack_for(board, &stories.join("stories260K.bin"), &open, &packed).unwrap();
    let emulated = Emulated::build(&Wanted::new(board.name, &packed)).unwrap();
    answers(board, &emulated, &packed, "Once upon a time", false);
}

/// The text and the bits of every logit, greedy and seeded, are those of this machine with every kernel that it has.
fn answers(board: &Board, emulated: &Emulated, packed: &Path, prompt: &str, special: bool) {
    let model = Model::open(packed, &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
    let seeded = SamplerConfig { temperature: 0.9, top_k: 50, top_p: 0.95, ..SamplerConfig::greedy() };
    for (sampler, seed) in [(SamplerConfig::greedy(), 0), (seeded, 5)] {
        let request = Request {
            prompt,
            special,
            max_tokens: STEPS,
            temperature: sampler.temperature,
            top_k: sampler.top_k,
            top_p: sampler.top_p,
            seed,
            hash_logits: true,
            ..Request::default()
        };
        let found = emulated.ask(&request, |_| {}).unwrap();
        assert_eq!((found.board.as_str(), found.target.as_str()), (board.name, board.target));
        assert_eq!(found.kernels, kernels(board), "{}", board.name);
        assert!(found.answer_tokens >= STEPS / 2, "{}: {}", board.name, found.text);
        let ram = &found.ram;
        assert!((1..=ram.stack).contains(&ram.stack_used), "{}: {ram:?}", board.name);
        assert!(
            found.load_instructions > 0 && found.prefill_instructions > 0 && found.decode_instructions > 0
        );
        for kernels in Kernels::available() {
            let options = RunOptions {
                prompt: prompt.to_owned(),
                special,
                max_tokens: STEPS as usize,
                sampler,
                seed,
                kernels: Some(kernels.name().to_owned()),
                threads: 2,
                ..RunOptions::default()
            };
            let host = run(&model, &options, |_| {}).unwrap();
            assert_eq!(host.text, found.text, "{} and {}", board.name, kernels.name());
            assert_eq!(
                Some(&host.logits_hash),
                found.logits_hash.as_ref(),
                "{} and {}",
                board.name,
                kernels.name()
            );
            assert_eq!((host.prompt_tokens, host.stop), (found.prompt_tokens as usize, found.stop.as_str()));
        }
    }
}

/// Each way to fail has an exit code of its own and says what happened.
fn drills(board: &Board, emulated: &Emulated) {
    let elf = emulated.elf("-drill");
    for (drill, exit, said) in [
        ("success", Exit::Success, ""),
        ("panic", Exit::Panic, "panic at boards/support/src/drill.rs:"),
        ("fault", Exit::Fault, "address 0x"),
        ("undefined", Exit::Fault, "fault at"),
        ("overflow", Exit::StackOverflow, "stack overflow"),
        ("unknown", Exit::BadRequest, ""),
    ] {
        let what = Boot {
            elf: &elf,
            memory: &[],
            input: Input::Arguments(&[drill]),
            time_limit: Duration::from_secs(60),
        };
        let outcome = boot(&what, &mut |_| {}).unwrap();
        let logged: String = outcome.logs.iter().map(|log| format!("{log}\n")).collect();
        assert_eq!(outcome.end, End::Firmware(exit), "{} {drill}: {logged}", board.name);
        assert!(logged.contains(said), "{} {drill}: {logged}", board.name);
    }
}

#[test]
fn the_m7_board_answers_and_fails_as_it_should() {
    check("the_m7_board_answers_and_fails_as_it_should", &QEMU_MPS2_AN500);
}

#[test]
fn the_m33_board_answers_and_fails_as_it_should() {
    check("the_m33_board_answers_and_fails_as_it_should", &QEMU_MPS2_AN505);
}

#[test]
fn the_m55_board_answers_and_fails_as_it_should() {
    check("the_m55_board_answers_and_fails_as_it_should", &QEMU_MPS3_AN547);
}

#[test]
fn the_riscv_board_answers_and_fails_as_it_should() {
    check("the_riscv_board_answers_and_fails_as_it_should", &QEMU_VIRT_RISCV32);
}

#[test]
fn arena_and_model_may_lie_in_ram_that_is_found_at_boot() {
    let (test, board) = ("arena_and_model_may_lie_in_ram_that_is_found_at_boot", &QEMU_VIRT_RISCV32_HEAP);
    if !can_emulate(test, board) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.sprat");
    pack_default_for(board, &packed).unwrap();
    let emulated = Emulated::build(&Wanted::new(board.name, &packed)).unwrap();
    answers(board, &emulated, &packed, "<|user|>What is the capital of France?<|assistant|>", true);
    let what = Boot {
        elf: &emulated.elf(""),
        memory: &[],
        input: Input::Arguments(&[]),
        time_limit: Duration::from_secs(120),
    };
    let outcome = boot(&what, &mut |_| {}).unwrap();
    assert_eq!(outcome.end, End::Firmware(Exit::Success));
    let logged: String = outcome.logs.iter().map(|log| format!("{log}\n")).collect();
    assert!(logged.contains("the model is copied there: true"), "{logged}");
}

#[test]
fn four_cores_of_the_raspberry_pi_answer_and_fail_as_they_should() {
    check("four_cores_of_the_raspberry_pi_answer_and_fail_as_they_should", &QEMU_RASPI3B);
}
