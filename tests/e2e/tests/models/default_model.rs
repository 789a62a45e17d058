//! The committed default model: what is packed is what the checkpoint beside it says, and it answers.

use indicatif::ProgressBar;
use sprat::SamplerConfig;
use sprat_corpus::Recipe;
use sprat_e2e::repository;
use sprat_tools::ask::{AskOptions, QuestionSet, ScoreOptions, score};
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions};
use sprat_tools::run::{RunOptions, run};

const DIRECTORY: &str = "models/assistant";
const PACKED: &str = "models/assistant/assistant-q8.sprat";
const RESULTS: &str = "models/assistant/held-out.json";
const QUESTION: &str = "<|user|>What is the capital of France?<|assistant|>";
const ASKED: &str = "What is the capital of France?";
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

#[test]
fn right_answers_are_counted_and_chains_vote() {
    let folder = tempfile::tempdir().unwrap();
    let line = |question: &str, answer: &str| {
        let messages = [("user", question), ("assistant", answer)]
            .map(|(role, content)| serde_json::json!({"role": role, "content": content}));
        format!("{}\n", serde_json::json!({ "messages": messages }))
    };
    let path = folder.path().join("set.jsonl");
    let [right, wrong] = [ANSWER, "The capital of France is Rome."];
    let sums = "calc: <<3+4=7>>7 \n#### 7";
    let lines = [line(ASKED, right), line(ASKED, wrong), line("What is 3 plus 4?", sums)].concat();
    std::fs::write(&path, lines).unwrap();
    let sets = [QuestionSet::read(&path, 10).unwrap()];
    let sampler = SamplerConfig { temperature: 0.3, ..SamplerConfig::greedy() };
    let ask = AskOptions { chains: 5, sampler, ..AskOptions::default() };
    let count = |ask: AskOptions| {
        let options = ScoreOptions { ask, wrong: 9 };
        score(&open(), &sets, &options, &ProgressBar::hidden()).unwrap().remove(0)
    };
    let counted = count(ask.clone());
    assert_eq!((counted.best.answers, counted.best.right), (3, 2));
    assert_eq!(counted.wrong.iter().map(|wrong| wrong.said.as_str()).collect::<Vec<_>>(), [ANSWER]);
    let votes = counted.votes.as_ref().unwrap();
    assert_eq!((votes.all.right, votes.gained, votes.lost), (2, 0, 0));
    // One seed decides, whatever the number of threads.
    let alone = count(AskOptions { threads: 1, ..ask.clone() });
    assert_eq!(serde_json::to_value(&alone).unwrap(), serde_json::to_value(&counted).unwrap());
    // Nobody computes without a calculator.
    let without = count(AskOptions { tools: false, chains: 0, ..ask });
    assert!(without.best.right <= 2 && without.votes.is_none());
}

#[test]
fn the_results_on_held_out_questions_are_those_that_are_committed() {
    let committed = std::fs::read_to_string(repository().join(RESULTS)).unwrap();
    let committed: Vec<serde_json::Value> = serde_json::from_str(&committed).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let questions = committed[0]["best"]["answers"].as_u64().unwrap() as usize;
    assert!(questions >= 500);
    sprat_corpus::write(Recipe { seed: 1, examples: 0, questions }, folder.path()).unwrap();
    let name = |set: &serde_json::Value| set["set"].as_str().unwrap().to_owned();
    let files = committed.iter().map(|set| folder.path().join(format!("held-out/{}.jsonl", name(set))));
    let sets: Vec<_> = files.map(|file| QuestionSet::read(&file, questions).unwrap()).collect();
    assert_eq!(sets.len(), std::fs::read_dir(folder.path().join("held-out")).unwrap().count());
    let options = ScoreOptions { ask: AskOptions::default(), wrong: 0 };
    let scores = score(&open(), &sets, &options, &ProgressBar::hidden()).unwrap();
    for (score, committed) in scores.iter().zip(&committed) {
        let counted = [score.best.right, score.refused.unwrap()];
        let known =
            [&committed["best"]["right"], &committed["refused"]].map(|n| n.as_u64().unwrap() as usize);
        assert_eq!(counted, known, "{}: right answers and refusals", score.set);
    }
}
