//! The committed default model: what is packed is what the checkpoint beside it says, and it answers.

use indicatif::ProgressBar;
use sprat_e2e::repository;
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions};
use sprat_tools::run::{RunOptions, run};

const DIRECTORY: &str = "models/assistant-0.9m";
const PACKED: &str = "models/assistant-0.9m/assistant-0.9m-q8.sprat";
const QUESTION: &str = "<|user|>What is the capital of France?<|assistant|>";
const ANSWER: &str = "The capital of France is Paris.";

fn open() -> Model {
    Model::open(&repository().join(PACKED), &OpenOptions::default(), &ProgressBar::hidden()).unwrap()
}

fn ask(prompt: &str, special: bool) -> sprat_tools::run::RunReport {
    let options = RunOptions { prompt: prompt.into(), special, max_tokens: 40, ..RunOptions::default() };
    run(&open(), &options, |_| {}).unwrap()
}

#[test]
fn the_committed_packed_file_equals_a_fresh_one() {
    let checkpoint = Checkpoint::open(&repository().join(DIRECTORY), &OpenOptions::default()).unwrap();
    let fresh = pack::to_memory(&checkpoint, &PackOptions::default(), &ProgressBar::hidden()).unwrap();
    let committed = open();
    assert!(
        fresh[..] == *committed.bytes(),
        "{PACKED} is out of date: run `cargo sprat pack {DIRECTORY} -o {PACKED}`"
    );
}

#[test]
fn it_answers_a_question_and_stops() {
    let report = ask(QUESTION, true);
    assert_eq!((report.text.as_str(), report.stop), (ANSWER, "end token"));
    // user, the question, assistant; no beginning token.
    assert_eq!(report.prompt_tokens, 11);
}

#[test]
fn special_tokens_come_from_templates_and_not_from_text() {
    let report = ask(QUESTION, false);
    assert!(report.prompt_tokens > 20, "markers are read as text: {}", report.prompt_tokens);
    assert_ne!(report.text, ANSWER);
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_one_another() {
    let sampled = |seed| {
        let mut options = RunOptions {
            prompt: "<|user|>A story about a fox, please.<|assistant|>".into(),
            ..RunOptions::default()
        };
        options.special = true;
        options.max_tokens = 60;
        options.seed = seed;
        options.sampler.temperature = 1.0;
        run(&open(), &options, |_| {}).unwrap()
    };
    let (first, again, other) = (sampled(1), sampled(1), sampled(2));
    assert_eq!((&first.text, &first.logits_hash), (&again.text, &again.logits_hash));
    assert_ne!(first.text, other.text);
}
