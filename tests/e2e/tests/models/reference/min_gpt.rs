//! minGPT's export as a Hugging Face directory: test data, not an importer.
//!
//! minGPT is GPT-2 with its matrices stored outputs x inputs, where GPT-2's own checkpoints have inputs x outputs,
//! and with a head of its own.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use sprat_tools::fixture::HuggingFace;
use sprat_tools::import::Dtype;

fn read(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn tensor(value: &Value) -> (Vec<usize>, Vec<f32>) {
    let shape = value["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let bytes = BASE64_STANDARD.decode(value["data"].as_str().unwrap()).unwrap();
    (shape, super::floats(&bytes))
}

/// Writes the directory and returns its path.
pub fn convert(source: &Path, parent: &Path) -> PathBuf {
    let export = read(&source.join("gpt-nano-sort-model.json"));
    let size = |key: &str| export["config"][key].as_u64().unwrap();
    let config = json!({
        "model_type": "gpt2", "vocab_size": size("vocab_size"), "n_positions": size("block_size"),
        "n_embd": size("n_embd"), "n_layer": size("n_layer"), "n_head": size("n_head"),
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": false,
    });
    let is_tensor = |name: &&String| name.as_str() != "config";
    let tensors = export.keys().filter(is_tensor).map(|name| {
        let (shape, values) = tensor(&export[name]);
        // Linear layers of the blocks are stored the other way round; embeddings and head are not.
        match shape[..] {
            [outputs, inputs] if name.contains(".h.") => {
                let turned = (0..inputs * outputs).map(|at| values[at % outputs * inputs + at / outputs]);
                (name.clone(), (vec![inputs, outputs], turned.collect()))
            }
            _ => (name.clone(), (shape, values)),
        }
    });
    let model = HuggingFace { config: config.as_object().unwrap().clone(), tensors: tensors.collect() };
    model.write(parent, "gpt-nano", Dtype::F32).unwrap()
}

/// The sequences of the recorded run, and the logits of each.
pub fn partials(source: &Path) -> (Vec<Vec<u32>>, Vec<Vec<f32>>) {
    let recorded = read(&source.join("gpt-nano-sort-t0-partials.json"));
    let ((ids_shape, ids), (_, logits)) = (tensor(&recorded["idx"]), tensor(&recorded["lm_head"]));
    let positions = ids_shape[1];
    let sequences = ids.chunks(positions).map(|row| row.iter().map(|&id| id as u32).collect()).collect();
    let rows = logits.len() / ids_shape[0];
    (sequences, logits.chunks(rows).map(<[f32]>::to_vec).collect())
}
