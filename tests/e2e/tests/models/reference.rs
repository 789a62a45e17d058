//! The whole path from checkpoint to logits against references made by other programs.
//!
//! The zoo's logits come from the models' original implementation in single precision; stories260K's text is
//! what llama2.c's own test expects.

mod gguf;
mod min_gpt;
mod zoo;

use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use sprat_e2e::reference;
use sprat_format::{FormatError, KvType, PackedFile};
use sprat_tools::eval::{Outcome, evaluate};
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::logits::{Feeding, Logits, logits};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions, WeightType};
use sprat_tools::run::{RunOptions, run};

/// The largest difference from a reference, relative to the standard deviation of the reference's logits.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let count = expected.len() as f64;
    let mean = expected.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = expected.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let differences = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // Not `fold(0.0, f64::max)`, which would pass over a NaN.
    let worst = differences.fold(0.0, |worst: f64, x| if x <= worst { worst } else { x });
    worst / variance.sqrt()
}

fn exact(path: &Path, tokenizer: Option<&Path>) -> Model {
    let options = OpenOptions { tokenizer: tokenizer.map(Path::to_owned), ..OpenOptions::default() };
    Model::open(path, &options, &ProgressBar::hidden()).unwrap_or_else(|error| panic!("{error:#}"))
}

fn both_feedings(model: &Model, ids: &[u32]) -> Logits {
    let prefilled = logits(model, ids, Feeding::Prefill, None, 2).unwrap();
    let stepped = logits(model, ids, Feeding::TokenByToken, None, 1).unwrap();
    let same = prefilled.values.iter().zip(&stepped.values).all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(same, "a prompt in chunks must give the same bits as token by token");
    prefilled
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn a_vocabulary_of_three_equals_the_reference() {
    let Some(directory) = reference("minGPT", "data/llmviz_gpt_nano") else { return };
    let temp = tempfile::tempdir().unwrap();
    let model = exact(&min_gpt::convert(&directory, temp.path()), None);
    let (sequences, expected) = min_gpt::partials(&directory);
    for (ids, expected) in sequences.iter().zip(&expected) {
        let found = both_feedings(&model, ids);
        assert_eq!(found.vocab_size, 3);
        let error = relative_error(&found.values, expected);
        println!("minGPT: largest error {error:.2e} of the logits' standard deviation");
        assert!(error < 1e-4, "{error:e}");
    }
}

fn stories(test: &str) -> Option<(Model, std::path::PathBuf)> {
    let directory = reference(test, "data/stories260K")?;
    let model = exact(&directory.join("stories260K.bin"), Some(&directory.join("tok512.bin")));
    Some((model, directory))
}

#[test]
fn stories260k_writes_llama2c_s_text_byte_for_byte() {
    let Some((model, directory)) = stories("stories260K") else { return };
    let options = RunOptions { max_tokens: 200, ..RunOptions::default() };
    let mut streamed = String::new();
    let report = run(&model, &options, |piece| streamed.push_str(piece)).unwrap();
    let expected = fs::read_to_string(directory.join("stories260K_t0_200tok.txt")).unwrap();
    assert_eq!(streamed, expected);
    assert_eq!(report.text, expected);

    let ids: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("greedy_ids_numpy.json")).unwrap()).unwrap();
    let ids: Vec<u32> = ids["stories260K"]["greedy_ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect();
    // The reference begins with the beginning token.
    assert_eq!(report.tokens, ids[1..]);
    assert_eq!((report.prompt_tokens, report.stop), (1, "limit"));
}

#[test]
fn stories260k_in_half_and_eight_bits_keeps_its_perplexity() {
    const TEXT_BYTES: usize = 64 << 10;
    let Some((reference_model, directory)) = stories("perplexity") else { return };
    let Some(text) = reference("perplexity", "data/tinystories_text/tinystories_sample_2MiB.txt") else {
        return;
    };
    let text = fs::read_to_string(text).unwrap();
    let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
    let options = OpenOptions { tokenizer: Some(directory.join("tok512.bin")), ..OpenOptions::default() };
    let checkpoint = Checkpoint::open(&directory.join("stories260K.bin"), &options).unwrap();
    let packed = |weights, kv, name: &str| {
        let options = PackOptions { weights, kv, ..PackOptions::default() };
        let bytes = pack::to_memory(&checkpoint, &options, &ProgressBar::hidden()).unwrap();
        Model::from_memory(bytes, name)
    };
    let models = [
        packed(WeightType::F16, KvType::F16, "f16"),
        packed(WeightType::Q8, KvType::F16, "q8, kv f16"),
        packed(WeightType::Q8, KvType::Q8, "q8, kv q8"),
    ];
    let evaluation = evaluate(&models, &reference_model, text, 2, &ProgressBar::hidden()).unwrap();
    println!("{}", evaluation.to_text());
    let [half, eight, eight_kv] = &evaluation.outcomes[..] else { panic!("three models were measured") };
    let within = |outcome: &Outcome, percent: f64, kl: f64| {
        assert!(outcome.perplexity_change_percent.abs() < percent, "{outcome:?}");
        assert!(outcome.kl_mean < kl, "{outcome:?}");
    };
    within(half, 0.1, 1e-4);
    within(eight, 1.0, 4e-3);
    // A head of eight components has little to average the error of a q8 key over.
    within(eight_kv, 1.0, 1.2e-2);
}

#[test]
fn a_packed_file_cut_anywhere_is_refused() {
    let Some((model, _)) = stories("truncation") else { return };
    let bytes = model.bytes();
    for keep in [0, 7, 31, 32, 200, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(PackedFile::parse(&bytes[..keep]), Err(FormatError::TooShort { .. })), "{keep}");
    }
}
