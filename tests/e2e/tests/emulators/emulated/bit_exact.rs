//! The same bits on the laptop and on the emulated Cortex-M4F, for 100 steps of real models.

use std::path::Path;

use sprat::{Kernels, SamplerConfig};
use sprat_board_support::protocol::Request;
use sprat_e2e::{reference, repository};
use sprat_tools::emulate::{EmulateReport, Emulated, Wanted};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;
use sprat_tools::pack::{PackOptions, WeightType};
use sprat_tools::run::{RunOptions, run};

use super::{BOARD, can_emulate, pack};

const STEPS: u32 = 100;

/// Kernels of the emulated core, the best first.
const KERNELS: [&str; 2] = ["dsp", "portable"];

/// Asks the board and this machine, with every kernel that it has, and compares.
fn compare(packed: &Path, prompt: &str, special: bool, kernels: Option<&str>) {
    let emulated = Emulated::build(&Wanted { kernels, ..Wanted::new(BOARD.name, packed) }).unwrap();
    let board_kernels = kernels.unwrap_or(KERNELS[0]);
    let model = Model::open(packed, &OpenOptions::default(), &indicatif::ProgressBar::hidden()).unwrap();
    let seeded = SamplerConfig { temperature: 0.9, top_k: 50, top_p: 0.95, ..SamplerConfig::greedy() };
    for (sampler, seed) in [(SamplerConfig::greedy(), 0), (seeded, 5)] {
        let request = Request {
            prompt,
            special,
            max_tokens: STEPS,
            temperature: sampler.temperature,
            top_k: sampler.top_k,
            top_p: sampler.top_p,
            min_p: sampler.min_p,
            repetition_penalty: sampler.repetition_penalty,
            seed,
            hash_logits: true,
            ask: None,
        };
        let board = emulated.ask(&request, |_| {}).unwrap();
        assert_board(&board, board_kernels);
        for kernels in Kernels::available() {
            let options = RunOptions {
                prompt: prompt.to_owned(),
                special,
                max_tokens: STEPS as usize,
                sampler,
                seed,
                kernels: Some(kernels.name().to_owned()),
                chat: None,
                context: None,
                threads: 2,
            };
            let host = run(&model, &options, |_| {}).unwrap();
            assert_eq!(host.kernels, kernels.name());
            assert_eq!(host.text, board.text, "{}", kernels.name());
            assert_eq!(Some(&host.logits_hash), board.logits_hash.as_ref(), "{}", kernels.name());
            assert_eq!(host.prompt_tokens, board.prompt_tokens as usize);
        }
    }
}

/// That the answer is the board's own, complete, and within the memory that was planned.
fn assert_board(report: &EmulateReport, kernels: &str) {
    assert_eq!((report.board.as_str(), report.target.as_str()), (BOARD.name, BOARD.target));
    assert_eq!(report.kernels, kernels);
    assert_eq!((report.answer_tokens, report.stop.as_str()), (STEPS, "limit"), "{}", report.text);
    let ram = &report.ram;
    assert!(
        ram.stack_used > 0 && ram.stack_used <= ram.stack,
        "{} of {} bytes of stack",
        ram.stack_used,
        ram.stack
    );
    assert!(report.prefill_instructions > 0 && report.decode_instructions > 0);
}

fn stories(test: &str, weights: WeightType, kernels: Option<&str>) {
    with_stories(test, weights, |packed| compare(packed, "Once upon a time", false, kernels));
}

/// Packs stories260K, if it and the emulator are there.
fn with_stories(test: &str, weights: WeightType, check: impl FnOnce(&Path)) {
    if !can_emulate(test) {
        return;
    }
    let Some(folder) = reference(test, "data/stories260K") else { return };
    let packed = tempfile::tempdir().unwrap();
    let packed = packed.path().join("stories260K.sprat");
    let open = OpenOptions { tokenizer: Some(folder.join("tok512.bin")), ..OpenOptions::default() };
    let options = PackOptions { weights, ..PackOptions::default() };
    pack(&folder.join("stories260K.bin"), &open, &options, &packed);
    check(&packed);
}

#[test]
fn stories260k_writes_a_token_in_at_most_600_000_instructions() {
    let test = "stories260k_writes_a_token_in_at_most_600_000_instructions";
    with_stories(test, WeightType::Q8, |packed| {
        let emulated = Emulated::build(&Wanted::new(BOARD.name, packed)).unwrap();
        let request = Request { max_tokens: 200, ..Request::default() };
        let report = emulated.ask(&request, |_| {}).unwrap();
        assert_eq!((report.kernels.as_str(), report.answer_tokens), (KERNELS[0], 200));
        let mean = report.decode_instructions / 200;
        println!("{mean} instructions a token");
        // Its products alone are 265,728.
        assert!((280_000..=600_000).contains(&mean), "{mean} instructions a token");
    });
}

#[test]
fn stories260k_q8_has_the_same_bits() {
    stories("stories260k_q8_has_the_same_bits", WeightType::Q8, None);
}

#[test]
fn stories260k_q8_has_the_same_bits_with_portable_kernels() {
    let test = "stories260k_q8_has_the_same_bits_with_portable_kernels";
    stories(test, WeightType::Q8, Some(KERNELS[1]));
}

#[test]
fn stories260k_f16_has_the_same_bits() {
    stories("stories260k_f16_has_the_same_bits", WeightType::F16, None);
}

#[test]
fn the_default_model_has_the_same_bits() {
    let test = "the_default_model_has_the_same_bits";
    let committed = repository().join(sprat_board_support::memory::DEFAULT_MODEL);
    if !can_emulate(test) {
        return;
    }
    compare(&committed, "<|user|>Tell me a story about a dog and a key.<|assistant|>", true, None);
}
