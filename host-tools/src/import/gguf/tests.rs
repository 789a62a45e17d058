//! Whole files: the same model through GGUF and through a Hugging Face directory.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::json;
use sprat_format::{Pairing, Position, Role};

use crate::fixture::gguf::{File, llama};
use crate::fixture::{HuggingFace, Numbers, VOCAB_SIZE};
use crate::import::{Checkpoint, Dtype, OpenOptions};
use crate::logits::{Feeding, logits};
use crate::model::Model;

fn write(file: &File, directory: &Path) -> PathBuf {
    // The name says nothing.
    let path = directory.join("model.bin");
    file.write(&path).unwrap();
    path
}

fn run(path: &Path) -> Vec<f32> {
    let model = Model::open(path, &OpenOptions::default(), &ProgressBar::hidden());
    let model = model.unwrap_or_else(|error| panic!("{error:#}"));
    logits(&model, &[1, 5, 7, 200, 9, 3], Feeding::Prefill, None, 1).unwrap().values
}

#[test]
fn a_llama_gives_the_same_logits_through_both_formats() {
    for tied in [true, false] {
        let mut model = HuggingFace::llama(21);
        model.set("tie_word_embeddings", json!(tied));
        if !tied {
            let head = (vec![VOCAB_SIZE, 16], Numbers(22).weights(VOCAB_SIZE * 16));
            model.tensors.insert("lm_head.weight".into(), head);
        }
        let directory = tempfile::tempdir().unwrap();
        let reference = run(&model.write(directory.path(), "m", Dtype::F32).unwrap());
        let found = run(&write(&llama(&model), directory.path()));
        assert_eq!(found.len(), reference.len());
        let worst = found.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Products of queries and keys are summed in another order.
        assert!(worst < 1e-5, "{worst}");
    }
}

#[test]
fn a_file_is_described_by_its_metadata() {
    let mut file = llama(&HuggingFace::llama(23));
    file.entries.text("tokenizer.chat_template", "{{ messages }}");
    file.entries.u32("tokenizer.ggml.bos_token_id", 1);
    file.entries.u32("tokenizer.ggml.eos_token_id", 2);
    file.f32("rope_freqs.weight", &[2], &[1.0, 4.0]);
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(&write(&file, directory.path()), &OpenOptions::default()).unwrap();
    assert_eq!(checkpoint.source, "GGUF version 3 (llama)");
    assert_eq!(checkpoint.config.position, Position::Rotary { dims: 4, pairing: Pairing::Interleaved });
    assert_eq!(checkpoint.read(Role::RotaryFrequencies, None).unwrap(), [1.0, 0.0025]);
    assert_eq!((checkpoint.bos, &checkpoint.end_tokens[..]), (Some(1), &[2][..]));
    assert_eq!(checkpoint.chat_template, "{{ messages }}");
}

#[track_caller]
fn refused(file: &File, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(&write(file, directory.path()), &OpenOptions::default()).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains(expected) && error.contains("model.bin"), "expected {expected:?} in: {error}");
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let some = || llama(&HuggingFace::llama(24));
    let mut file = File::default();
    refused(&file, "general.architecture is missing");
    file.entries.text("general.architecture", "rwkv6");
    refused(&file, "\"rwkv6\" is not supported; supported: llama");
    let mut file = some();
    file.entries.u32("llama.expert_count", 8);
    refused(&file, "llama.expert_count = 8: a mixture of experts is not supported");
    let mut file = some();
    file.entries.f32("llama.mystery", 0.5);
    refused(&file, "llama.mystery = 0.5 is a setting that this importer does not know");
    let mut file = some();
    file.entries.text("llama.rope.scaling.type", "yarn");
    refused(&file, "llama.rope.scaling.type = \"yarn\" is not supported");
    let mut file = some();
    file.tensors.retain(|tensor| tensor.name != "blk.1.ffn_up.weight");
    refused(&file, "lacks tensor blk.1.ffn_up.weight");
    let mut file = some();
    file.f32("blk.0.attn_q_norm.weight", &[4], &[1.0; 4]);
    refused(&file, "has tensor blk.0.attn_q_norm.weight");
    let mut file = some();
    file.f32("rope_freqs.weight", &[3], &[1.0; 3]);
    refused(&file, "rope_freqs.weight has the shape [3]");
}
