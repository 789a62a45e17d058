//! Models for these tests: the default one, and one of random weights that has its tokenizer and template.

use std::fs;
use std::sync::OnceLock;

use indicatif::ProgressBar;
use serde_json::json;
use sprat_e2e::repository;
use sprat_tools::fixture::{HuggingFace, Numbers};
use sprat_tools::import::{Checkpoint, Dtype, OpenOptions};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions};

const DEFAULT: &str = "models/assistant";
const VOCAB_SIZE: usize = 832;
const HIDDEN: usize = 16;

/// Tokens of the default tokenizer.
pub const END: u32 = 3;
pub const OPEN_CALCULATION: u32 = 5;
pub const OPEN_WORK: u32 = 7;

pub fn assistant() -> Model {
    let path = repository().join(DEFAULT).join("assistant-q8.sprat");
    Model::open(&path, &OpenOptions::default(), &ProgressBar::hidden()).unwrap()
}

/// Random weights for a context of 256 tokens; what it writes is noise.
pub fn noise() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let mut checkpoint = HuggingFace::llama(11);
        checkpoint.set("vocab_size", json!(VOCAB_SIZE));
        checkpoint.set("max_position_embeddings", json!(512));
        checkpoint.set("eos_token_id", json!(END));
        checkpoint.set("bos_token_id", json!(null));
        let embedding = Numbers(12).weights(VOCAB_SIZE * HIDDEN);
        checkpoint.tensors.insert("model.embed_tokens.weight".into(), (vec![VOCAB_SIZE, HIDDEN], embedding));
        let folder = tempfile::tempdir().unwrap();
        let source = checkpoint.write(folder.path(), "noise", Dtype::F32).unwrap();
        for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            fs::copy(repository().join(DEFAULT).join(name), source.join(name)).unwrap();
        }
        let checkpoint = Checkpoint::open(&source, &OpenOptions::default()).unwrap();
        let options = PackOptions { context: Some(256), ..PackOptions::default() };
        let bytes = pack::to_memory(&checkpoint, &options, &ProgressBar::hidden()).unwrap();
        Model::from_memory(bytes, "noise")
    })
}
