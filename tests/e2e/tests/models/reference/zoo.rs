//! The zoo: a small random model of every family, with the logits of the family's original implementation.
//!
//! Every directory of it either equals its reference or is refused by name: never silently wrong numbers.

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use safetensors::SafeTensors;
use sprat::Kernels;
use sprat_e2e::reference;
use sprat_format::{KvType, Layout};
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::logits::{Feeding, logits};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions, WeightType};

use super::{both_feedings, exact, floats, relative_error};

/// The decoders of the zoo.
pub const DECODERS: [&str; 22] = [
    "bloom",
    "falcon",
    "galactica",
    "gemma",
    "gemma3",
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "llama",
    "llama3_rope",
    "mistral",
    "mpt",
    "olmo2",
    "opt",
    "opt_postln",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "stablelm",
];

/// A model's directory, tokens to feed it, and its reference logits.
pub fn subject(family: &str) -> Option<(PathBuf, Vec<u32>, Vec<f32>)> {
    let directory = reference(family, &format!("data/zoo/{family}"))?;
    let input: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("reference.json")).unwrap()).unwrap();
    let ids: Vec<u32> =
        input["input_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let stored = fs::read(directory.join("reference_logits.safetensors")).unwrap();
    let expected = floats(SafeTensors::deserialize(&stored).unwrap().tensor("logits").unwrap().data());
    Some((directory, ids, expected))
}

#[test]
fn every_decoder_equals_its_reference() {
    let mut wrong = Vec::new();
    for family in DECODERS {
        let Some((directory, ids, expected)) = subject(family) else { return };
        let found = both_feedings(&exact(&directory, None), &ids);
        let error = relative_error(&found.values, &expected);
        println!("{family}: largest error {error:.2e} of the logits' standard deviation");
        if error.is_nan() || error >= 1e-4 {
            wrong.push(format!("{family}: {error:.2e}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn packed(path: &Path, weights: WeightType, kv: KvType, layout: Layout) -> Model {
    let checkpoint = Checkpoint::open(path, &OpenOptions::default()).unwrap();
    let options = PackOptions { weights, kv, layout, group: 32, ..PackOptions::default() };
    let bytes = pack::to_memory(&checkpoint, &options, &ProgressBar::hidden()).unwrap();
    Model::from_memory(bytes, "packed")
}

/// Quantized, with every table of kernels, one thread or two, a prompt at once or token by token: the same bits, near
/// the reference.
#[test]
fn every_decoder_computes_the_same_bits_with_all_kernels() {
    let forms = [
        (WeightType::Q8, KvType::Q8, Layout::InterleavedBiased, 0.3),
        (WeightType::F16, KvType::F16, Layout::Rows, 0.01),
    ];
    let tables: Vec<&str> = Kernels::available().map(Kernels::name).collect();
    for family in DECODERS {
        let Some((directory, ids, expected)) = subject(family) else { return };
        for (weights, kv, layout, tolerance) in forms {
            let model = packed(&directory, weights, kv, layout);
            let first = both_feedings(&model, &ids);
            for name in &tables {
                for (feeding, threads) in [(Feeding::Prefill, 2), (Feeding::TokenByToken, 1)] {
                    let found = logits(&model, &ids, feeding, Some(name), threads).unwrap();
                    let same =
                        found.values.iter().zip(&first.values).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{family}, {weights:?}, {kv:?}: {name} computes other bits");
                }
            }
            // GPT-Neo's scores are not scaled, so that its attention is sharp, and their errors are larger.
            let tolerance = if family == "gpt_neo" { 4.0 * tolerance } else { tolerance };
            let error = relative_error(&first.values, &expected);
            println!("{family}, {weights:?}, cache {kv:?}: largest error {error:.2e} with {tables:?}");
            assert!(error < tolerance, "{family}, {weights:?}, {kv:?}: {error:e}");
        }
    }
}

#[test]
fn every_other_family_is_refused_by_name() {
    let Some(zoo) = reference("the zoo", "data/zoo") else { return };
    let mut refused = 0;
    for entry in fs::read_dir(zoo).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if DECODERS.contains(&name.as_str()) {
            continue;
        }
        let error = Checkpoint::open(&path, &OpenOptions::default()).unwrap_err();
        let message = format!("{error:#}");
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap();
        let family = config["model_type"].as_str().unwrap();
        let says = |part: &str| message.contains(part);
        assert!(says(family) && says("not supported yet; supported:"), "{name}: {message}");
        assert!(says("an encoder") || says("a recurrent model"), "{name}: {message}");
        println!("{name}: {message}");
        refused += 1;
    }
    assert_eq!(refused, 3, "bert, roberta and rwkv4 are expected");
}
