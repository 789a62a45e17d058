//! The default model in a context that it shares, forks and outgrows: a text read before, votes, a text without end.

use indicatif::ProgressBar;
use sprat::vote::{Ballot, Chain, Tail, Vote, poll, run_chain};
use sprat::{Engine, Kernels, Sampler, SamplerConfig, Solo, Special};
use sprat_e2e::repository;
use sprat_tools::import::OpenOptions;
use sprat_tools::model::{Model, arena_for, engine};
use sprat_tools::prefix::{PrefixText, to_file};
use sprat_tools::run::{RunOptions, RunReport, run};

const PACKED: &str = "models/assistant/assistant-q8.sprat";
const EXAMPLES: &str =
    "<|user|>What is the capital of France?<|assistant|>The capital of France is Paris.<|end|>";
const QUESTION: &str = "<|user|>What is the capital of Japan?<|assistant|>";

fn open() -> Model {
    Model::open(&repository().join(PACKED), &OpenOptions::default(), &ProgressBar::hidden()).unwrap()
}

fn with_engine<T>(act: impl FnOnce(&mut Engine<'_, '_, '_>) -> T) -> T {
    let model = open();
    let image = model.image().unwrap();
    let mut arena = arena_for(&image, image.limits(), &Solo).unwrap();
    act(&mut engine(&image, *image.limits(), &mut arena, Kernels::detect(), &Solo).unwrap())
}

fn ask(model: &Model, prompt: &str) -> RunReport {
    let options =
        RunOptions { prompt: prompt.into(), special: true, max_tokens: 40, ..RunOptions::default() };
    run(model, &options, |_| {}).unwrap()
}

#[test]
fn a_text_read_before_gives_the_answer_of_reading_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("with.sprat");
    let plain = open();
    to_file(&plain, &PrefixText::Raw(EXAMPLES.into()), &path, |_| Ok(())).unwrap();
    let with = Model::open_packed(&path).unwrap();
    let read = ask(&plain, &format!("{EXAMPLES}{QUESTION}"));
    let loaded = ask(&with, QUESTION);
    assert_eq!((&loaded.text, &loaded.logits_hash), (&read.text, &read.logits_hash));
    assert_eq!(loaded.prefix_tokens + loaded.prompt_tokens, read.prompt_tokens);
    assert!(loaded.prefix_tokens > 10 && read.prefix_tokens == 0);
    assert_ne!(ask(&plain, QUESTION).logits_hash, read.logits_hash, "examples change something");
}

/// The model is so sure of what it knows that chains at temperature 1 are all the same.
const WARM: f32 = 2.0;

/// The votes of nine chains, and the answers of the same chains run by hand.
fn vote(seed: u64) -> (String, f32, Vec<String>) {
    let sampler = SamplerConfig { temperature: WARM, ..SamplerConfig::greedy() };
    with_engine(|engine| {
        engine.prompt(QUESTION, Special::Parse).unwrap();
        let mut saved = vec![0.0; engine.mark_size()];
        let mark = engine.mark(&mut saved).unwrap();
        let (mut votes, mut answers, mut text) = ([Vote::default(); 9], [0; 9 * 64], [0; 512]);
        let mut ballot = Ballot::new(&mut votes, &mut answers);
        let mut texts = Vec::new();
        let run = |chain: Chain, text: &mut Tail<'_>| {
            let tokens = run_chain(engine, &mark, chain, sampler, 40, text)?;
            texts.push(text.as_str().to_owned());
            Ok::<_, sprat::vote::ChainError>(tokens)
        };
        poll(&mut ballot, seed, &mut Tail::new(&mut text), |text| Some(text), run).unwrap();
        let verdict = ballot.verdict(0).unwrap();
        assert_eq!((verdict.chains, verdict.unanswered), (9, 0));
        (verdict.answer.to_owned(), verdict.confidence(), texts)
    })
}

#[test]
fn chains_vote_and_one_seed_decides_everything() {
    let (answer, confidence, texts) = vote(1);
    assert_eq!(answer, "the capital of japan is tokyo");
    assert!(confidence > 0.2, "{confidence}");
    assert!(texts.iter().any(|text| *text != texts[0]), "{texts:?}");
    assert_eq!(vote(1), (answer, confidence, texts.clone()));
    assert_ne!(vote(2).2, texts);
    // A chain is what a generation from the prompt with its seed is.
    let options = RunOptions {
        prompt: QUESTION.into(),
        special: true,
        max_tokens: 40,
        sampler: SamplerConfig { temperature: WARM, ..SamplerConfig::greedy() },
        seed: Chain::new(1, 4).seed,
        ..RunOptions::default()
    };
    assert_eq!(run(&open(), &options, |_| {}).unwrap().text, texts[4]);
}

#[test]
fn twenty_thousand_tokens_go_through_a_context_of_256() {
    with_engine(|engine| {
        let arena_bytes = engine.plan().arena_bytes;
        engine.slide(4, 32).unwrap();
        engine.prompt("<|user|>A story about a fox, please.<|assistant|>", Special::Parse).unwrap();
        let mut sampler = Sampler::new(SamplerConfig { temperature: 1.0, ..SamplerConfig::greedy() }, 3);
        let begun = engine.position();
        for _ in 0..20_000 {
            assert!(engine.logits().unwrap().iter().all(|logit| logit.is_finite()));
            let token = engine.sample(&mut sampler, None).unwrap();
            engine.feed(&[token]).unwrap();
            assert!(engine.position() <= 256 && engine.room() > 0);
        }
        assert_eq!(engine.position() + engine.dropped() as usize, begun + 20_000);
        assert_eq!(engine.plan().arena_bytes, arena_bytes);
    });
}
