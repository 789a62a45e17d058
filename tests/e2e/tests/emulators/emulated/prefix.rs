//! A text that the laptop has read before: the board goes on from it with the bits of reading it itself, and at once.

use sprat_board_support::protocol::Request;
use sprat_e2e::repository;
use sprat_emulator::firmware::Form;
use sprat_tools::ask::{AskOptions, ask_board};
use sprat_tools::emulate::{EmulateReport, Emulated, Wanted};
use sprat_tools::model::Model;
use sprat_tools::prefix::{PrefixText, to_file};

use super::{BOARD, can_emulate};

const EXAMPLES: &str =
    "<|user|>What is the capital of France?<|assistant|>The capital of France is Paris.<|end|>";
const QUESTION: &str = "<|user|>What is the capital of Japan?<|assistant|>";

#[test]
fn the_board_goes_on_from_what_the_laptop_has_read() {
    if !can_emulate("the_board_goes_on_from_what_the_laptop_has_read") {
        return;
    }
    let plain = repository().join("models/assistant/assistant-q8.sprat");
    let directory = tempfile::tempdir().unwrap();
    let with = directory.path().join("with.sprat");
    let model = Model::open_packed(&plain).unwrap();
    to_file(&model, &PrefixText::Raw(EXAMPLES.into()), &with, |_| Ok(())).unwrap();
    let ask = |model, prompt: &str| -> EmulateReport {
        let emulated = Emulated::build(&Wanted::new(BOARD.name, model)).unwrap();
        let request =
            Request { prompt, special: true, max_tokens: 20, hash_logits: true, ..Request::default() };
        emulated.ask(&request, |_| {}).unwrap()
    };
    let read = ask(&plain, &format!("{EXAMPLES}{QUESTION}"));
    let loaded = ask(&with, QUESTION);
    assert_eq!((&loaded.text, &loaded.logits_hash), (&read.text, &read.logits_hash));
    assert!(loaded.logits_hash.is_some() && loaded.prompt_tokens < read.prompt_tokens);
    // Instructions to the first token: a copy takes the place of a pass for each token of the examples.
    let [read_prefill, loaded_prefill] = [&read, &loaded].map(|report| report.prefill_instructions);
    let tokens = u64::from(read.prompt_tokens - loaded.prompt_tokens);
    println!(
        "prefill: {read_prefill} instructions for {} tokens, {loaded_prefill} with {tokens} of them read before; \
         check of the file: {} and {}",
        read.prompt_tokens, read.load_instructions, loaded.load_instructions
    );
    let a_token = read_prefill / u64::from(read.prompt_tokens);
    let saved = read_prefill - loaded_prefill;
    assert!(saved > (tokens - 1) * a_token, "{saved} instructions saved for {tokens} tokens of {a_token}");
    assert!(loaded.ram.stack_used <= loaded.ram.stack);

    // A session with tools begins with it as well.
    let firmware = Emulated::build(&Wanted { form: Form::Ask, ..Wanted::new(BOARD.name, &with) }).unwrap();
    let question = "What is the capital of Japan?".to_owned();
    let options = AskOptions { question, max_tokens: 20, ..AskOptions::default() };
    let asked = ask_board(&firmware, &options, &mut |_| {}).unwrap();
    assert_eq!((Some(&asked.chain), Some(&asked.logits_hash)), (Some(&read.text), read.logits_hash.as_ref()));
}
