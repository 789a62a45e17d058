//! Whole models on every emulated core: the bits of 100 steps are those of the laptop.
//!
//! Compared are the text and a hash over every logit that a token was chosen from, greedy and seeded, for every
//! layout and type of weights and cache, and on cores that run Linux for several numbers of threads. The laptop
//! computes with every table of kernels that it has.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use sprat::{Kernels, SamplerConfig};
use sprat_board_support::protocol::Request;
use sprat_e2e::cores::{A53, A76, Answer, Core, Job, M0, M4F, M7, M33, M55, Question};
use sprat_e2e::{reference, repository};
use sprat_format::{KvType, Layout};
use sprat_tools::fixture::{HuggingFace, VOCAB_SIZE, write_tokenizer_bin};
use sprat_tools::import::{Checkpoint, Dtype, OpenOptions};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions, WeightType};
use sprat_tools::run::{RunOptions, run};

const STEPS: u32 = 100;

/// A checkpoint and what it is asked.
struct Subject {
    source: PathBuf,
    open: OpenOptions,
    prompt: &'static str,
    special: bool,
    /// Tokens of context, where it is not what the model was trained for.
    context: Option<u32>,
    /// Tokens that are asked for.
    steps: u32,
    /// Whether that many come; else at least a quarter of them.
    goes_on: bool,
}

/// A made-up model of a size that is no multiple of anything. Its seed is one whose nonsense goes on for long enough.
fn made_up(folder: &Path) -> Subject {
    let mut checkpoint = HuggingFace::llama(15);
    checkpoint.set("max_position_embeddings", serde_json::json!(256));
    let source = checkpoint.write(folder, "made-up", Dtype::F32).unwrap();
    let tokenizer = Some(write_tokenizer_bin(folder, VOCAB_SIZE).unwrap());
    Subject {
        source,
        open: OpenOptions { tokenizer, ..OpenOptions::default() },
        prompt: "abc de",
        special: false,
        context: None,
        steps: STEPS,
        goes_on: true,
    }
}

/// A model of the zoo, which has no tokenizer of its own, with a made-up one.
fn of_the_zoo(family: &str, folder: &Path) -> Option<Subject> {
    let source = reference(family, &format!("data/zoo/{family}"))?;
    let tokenizer = Some(write_tokenizer_bin(folder, VOCAB_SIZE).unwrap());
    let open = OpenOptions { tokenizer, ..OpenOptions::default() };
    Some(Subject {
        source,
        open,
        prompt: "abc de",
        special: false,
        context: Some(64),
        steps: 40,
        goes_on: false,
    })
}

fn stories(test: &str) -> Option<Subject> {
    let folder = reference(test, "data/stories260K")?;
    let tokenizer = Some(folder.join("tok512.bin"));
    let source = folder.join("stories260K.bin");
    Some(Subject {
        source,
        open: OpenOptions { tokenizer, ..OpenOptions::default() },
        prompt: "Once upon a time",
        special: false,
        context: None,
        steps: STEPS,
        goes_on: true,
    })
}

fn default_model() -> Subject {
    let packed = repository().join(sprat_board_support::memory::DEFAULT_MODEL);
    Subject {
        source: packed.parent().unwrap().to_path_buf(),
        open: OpenOptions::default(),
        prompt: "<|user|>Tell me a story about a dog and a key.<|assistant|>",
        special: true,
        context: None,
        steps: STEPS,
        goes_on: true,
    }
}

/// Types of weights and cache, and layouts.
const FORMS: [(WeightType, KvType, Layout); 5] = [
    (WeightType::Q8, KvType::Q8, Layout::Rows),
    (WeightType::Q8, KvType::F16, Layout::Interleaved),
    (WeightType::Q8, KvType::Q8, Layout::InterleavedBiased),
    (WeightType::F16, KvType::F16, Layout::Rows),
    (WeightType::F16, KvType::Q8, Layout::Rows),
];

fn samplers() -> [(SamplerConfig, u64); 2] {
    let seeded = SamplerConfig {
        repetition_penalty: 1.1,
        temperature: 0.9,
        top_k: 50,
        top_p: 0.95,
        ..SamplerConfig::greedy()
    };
    [(SamplerConfig::greedy(), 0), (seeded, 5)]
}

/// The laptop's text and hash, the same for all of its kernels.
fn laptop(packed: &Path, subject: &Subject, sampler: SamplerConfig, seed: u64) -> (String, String) {
    let model = Model::open(packed, &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
    let answers = Kernels::available().map(|kernels| {
        let options = RunOptions {
            prompt: subject.prompt.to_owned(),
            special: subject.special,
            max_tokens: subject.steps as usize,
            sampler,
            seed,
            kernels: Some(kernels.name().to_owned()),
            chat: None,
            context: None,
            threads: 2,
        };
        let report = run(&model, &options, |_| {}).unwrap();
        assert_eq!(report.kernels, kernels.name());
        (report.text, report.logits_hash)
    });
    answers
        .reduce(|first, other| {
            assert_eq!(first, other);
            first
        })
        .unwrap()
}

fn answer(core: &Core, kernels: Option<&str>, question: &Question<'_>) -> Answer {
    let output = core.run_with(kernels, Job::Model(question)).unwrap();
    assert_eq!(output.kernels, kernels.unwrap_or(core.kernels), "{}", core.name);
    output.answer.unwrap()
}

/// Compares a subject in some forms, with the core's own kernels and with others, for some numbers of threads.
fn compare(
    core: &Core,
    subject: &Subject,
    forms: &[(WeightType, KvType, Layout)],
    kernels: &[Option<&str>],
    threads: &[u32],
) {
    let folder = tempfile::tempdir().unwrap();
    for &(weights, kv, layout) in forms {
        let checkpoint = Checkpoint::open(&subject.source, &subject.open).unwrap();
        let options = PackOptions { weights, kv, layout, context: subject.context, ..PackOptions::default() };
        let context = options.limits(&checkpoint.config).unwrap().context;
        let pack_as = |options: &PackOptions, name: &str| {
            let path = folder.path().join(name);
            pack::to_file(&checkpoint, options, &path, &ProgressBar::hidden(), |_| Ok(())).unwrap();
            path
        };
        let whole = pack_as(&options, "whole");
        // In some forms the core has its logits in blocks, and the laptop all at once.
        let logits_rows = if kv == KvType::F16 { 100 } else { 0 };
        let packed = pack_as(&PackOptions { logits_rows, ..options }, "packed");
        for (sampler, seed) in samplers() {
            let expected = laptop(&whole, subject, sampler, seed);
            let request = Request {
                prompt: subject.prompt,
                special: subject.special,
                max_tokens: subject.steps,
                temperature: sampler.temperature,
                top_k: sampler.top_k,
                top_p: sampler.top_p,
                min_p: sampler.min_p,
                repetition_penalty: sampler.repetition_penalty,
                seed,
                hash_logits: true,
                ask: None,
            };
            for (&kernels, &cores) in
                kernels.iter().flat_map(|kernels| threads.iter().map(move |n| (kernels, n)))
            {
                let question = Question { model: &packed, context, request, cores, counted: false };
                let found = answer(core, kernels, &question);
                let what = format!("{} {kernels:?} {cores}: {weights:?} {kv:?} {layout:?}", core.name);
                let steps = u64::from(subject.steps);
                let least = if subject.goes_on { steps } else { steps / 4 };
                assert!(
                    (least..=steps).contains(&found.tokens),
                    "{what}: {} tokens: {}",
                    found.tokens,
                    found.text
                );
                assert_eq!((found.text, found.logits_hash), expected, "{what}");
            }
        }
    }
}

/// Every model in every form on one core, and for several threads what splits unevenly.
fn all_models(test: &str, core: &Core, threads: &[u32]) {
    if !core.can_run(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made_up = made_up(folder.path());
    compare(core, &made_up, &FORMS, &[None], &[1]);
    compare(core, &made_up, &FORMS[2..3], &[None], threads);
    compare(core, &default_model(), &[(WeightType::Q8, KvType::Q8, core.layout())], &[None], &[1]);
    if let Some(stories) = stories(test) {
        compare(core, &stories, &FORMS, &[None], &[1]);
    }
}

#[test]
fn m4f_computes_the_bits_of_the_laptop() {
    all_models("m4f_computes_the_bits_of_the_laptop", &M4F, &[]);
}

#[test]
fn m7_computes_the_bits_of_the_laptop() {
    all_models("m7_computes_the_bits_of_the_laptop", &M7, &[]);
}

#[test]
fn m33_computes_the_bits_of_the_laptop() {
    all_models("m33_computes_the_bits_of_the_laptop", &M33, &[]);
}

#[test]
fn m55_computes_the_bits_of_the_laptop() {
    all_models("m55_computes_the_bits_of_the_laptop", &M55, &[]);
}

#[test]
fn a53_computes_the_bits_of_the_laptop_with_any_number_of_threads() {
    all_models("a53_computes_the_bits_of_the_laptop_with_any_number_of_threads", &A53, &[2, 4]);
}

#[test]
fn a76_computes_the_bits_of_the_laptop_with_any_number_of_threads() {
    all_models("a76_computes_the_bits_of_the_laptop_with_any_number_of_threads", &A76, &[2, 4]);
}

/// Parts that plain models lack: ALiBi and an embedding norm, norms on outputs and two kinds of windows, blocks side by
/// side, norms on sums and an embedding projection, layers without rotary embedding.
#[test]
fn unusual_families_compute_the_bits_of_the_laptop() {
    let test = "unusual_families_compute_the_bits_of_the_laptop";
    if !M4F.can_run(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for family in ["bloom", "gemma3", "gpt_neo", "gpt_neox", "opt_postln", "smollm3"] {
        let Some(subject) = of_the_zoo(family, folder.path()) else { return };
        compare(&M4F, &subject, &FORMS[1..3], &[None], &[1]);
    }
}

/// Without floating-point hardware and with the compiler's own arithmetic.
#[test]
fn m0_computes_the_bits_of_the_laptop() {
    let test = "m0_computes_the_bits_of_the_laptop";
    if M0.can_run(test) {
        compare(&M0, &made_up(tempfile::tempdir().unwrap().path()), &FORMS, &[None], &[1]);
    }
}

/// The portable kernels as the compiler vectorizes them for Helium, and on a core with the DSP extension.
#[test]
fn portable_kernels_compute_the_same_bits_on_cores_that_have_better_ones() {
    let test = "portable_kernels_compute_the_same_bits_on_cores_that_have_better_ones";
    for core in [&M33, &M55].into_iter().filter(|core| core.can_run(test)) {
        compare(core, &made_up(tempfile::tempdir().unwrap().path()), &FORMS[2..4], &[Some("portable")], &[1]);
    }
}
