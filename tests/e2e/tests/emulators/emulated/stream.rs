//! A model that is read through a window, as from flash that is not mapped.

use indicatif::ProgressBar;
use sprat_board_support::protocol::Request;
use sprat_e2e::boards::{can_emulate, pack_default_for};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;
use sprat_tools::run::{RunOptions, run};

use super::BOARD;

/// The model has to be four times as large, and is 27 times as large.
const WINDOW_BYTES: u32 = 32 << 10;

#[test]
fn a_model_of_many_windows_gives_the_tokens_of_a_mapped_one() {
    let test = "a_model_of_many_windows_gives_the_tokens_of_a_mapped_one";
    if !can_emulate(test, &BOARD) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.sprat");
    pack_default_for(&BOARD, &packed).unwrap();
    assert!(packed.metadata().unwrap().len() > 4 * u64::from(WINDOW_BYTES));
    let prompt = "<|user|>What is the capital of France?<|assistant|>";
    let request = Request { prompt, special: true, max_tokens: 16, hash_logits: true, ..Request::default() };
    let wanted = Wanted::new(BOARD.name, &packed);
    let mapped = Emulated::build(&wanted).unwrap().ask(&request, |_| {}).unwrap();
    let streamed = Emulated::build(&Wanted { window: Some(WINDOW_BYTES), ..wanted }).unwrap();
    let streamed = streamed.ask(&request, |_| {}).unwrap();
    assert_eq!((&streamed.text, &streamed.logits_hash), (&mapped.text, &mapped.logits_hash));
    assert_eq!(streamed.answer_tokens, mapped.answer_tokens);
    assert!(streamed.answer_tokens >= 4 && streamed.logits_hash.is_some(), "{}", streamed.text);
    assert!((1..=streamed.ram.stack).contains(&streamed.ram.stack_used), "{:?}", streamed.ram);

    let model = Model::open(&packed, &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
    let options =
        RunOptions { prompt: prompt.to_owned(), special: true, max_tokens: 16, ..RunOptions::default() };
    let host = run(&model, &options, |_| {}).unwrap();
    assert_eq!((&host.text, Some(&host.logits_hash)), (&streamed.text, streamed.logits_hash.as_ref()));

    // What does not even hold the largest rows twice is refused while building.
    let error = Emulated::build(&Wanted { window: Some(256), ..wanted }).unwrap_err().to_string();
    assert!(error.contains("the window has 256 bytes, at least"), "{error}");
}
