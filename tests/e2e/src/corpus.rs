//! What fuzzing begins with: small good files of every format, made by the project's own writers.
//!
//! Random bytes hardly ever pass the first checks of a parser, so mutations begin with files that it accepts. They are
//! committed in `tests/fuzz/corpus`, at most 4 KB each, and made anew when a format changes:
//! `cargo run -p sprat-e2e --bin fuzz-corpus`.

use std::io::Cursor;
use std::sync::OnceLock;

use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sprat_tools::chat::{self, BUILTIN};
use sprat_tools::fixture::{HuggingFace, Numbers, gguf};
use sprat_tools::import::{Checkpoint, Dtype, OpenOptions};
use sprat_tools::model as packed;
use sprat_tools::pack::{self, PackOptions, WeightType};
use sprat_tools::prefix::{self, PrefixText};

/// Sizes of the models: as small as they get.
const VOCABULARY: usize = 16;
const HIDDEN: usize = 8;
const FFN: usize = 8;

/// A model as a Hugging Face directory.
#[derive(Clone, Debug)]
pub struct Model {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `model.safetensors`.
    pub safetensors: Vec<u8>,
}

/// A Llama of one layer.
fn small() -> HuggingFace {
    let mut model = HuggingFace::llama(1);
    let sizes = [
        ("vocab_size", VOCABULARY),
        ("hidden_size", HIDDEN),
        ("intermediate_size", FFN),
        ("num_hidden_layers", 1),
        ("num_attention_heads", 2),
        ("num_key_value_heads", 1),
        ("max_position_embeddings", 16),
    ];
    for (key, size) in sizes {
        model.set(key, json!(size));
    }
    model.tensors.retain(|name, _| !name.contains(".1."));
    let mut numbers = Numbers(2);
    for (name, (shape, values)) in &mut model.tensors {
        *shape = match name.rsplit('.').nth(1).unwrap_or_default() {
            "embed_tokens" => vec![VOCABULARY, HIDDEN],
            "k_proj" | "v_proj" => vec![HIDDEN / 2, HIDDEN],
            "gate_proj" | "up_proj" => vec![FFN, HIDDEN],
            "down_proj" => vec![HIDDEN, FFN],
            "q_proj" | "o_proj" => vec![HIDDEN, HIDDEN],
            _ => vec![HIDDEN],
        };
        *values = numbers.weights(shape.iter().product());
    }
    model
}

/// The files of the small Llama.
pub fn llama() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = small().write(directory.path(), "m", Dtype::Bf16).expect("a written model");
        let read = |name: &str| std::fs::read(folder.join(name)).expect("a file that was just written");
        Model { config: read("config.json"), safetensors: read("model.safetensors") }
    })
}

/// The seeds of every parser: its name, the seed's name, the bytes.
///
/// # Errors
/// A file cannot be written or packed.
pub fn seeds() -> anyhow::Result<Vec<(&'static str, &'static str, Vec<u8>)>> {
    let directory = tempfile::tempdir()?;
    let llama = llama();
    let mut seeds = vec![
        ("safetensors", "llama", llama.safetensors.clone()),
        ("config_json", "llama", llama.config.clone()),
        ("config_json", "rope_scaling", with_scaling(&llama.config)?),
        ("gguf", "llama", gguf_file().bytes()),
        ("gguf", "tokenizer", gguf_with_tokenizer().bytes()),
        ("llama2c", "version_0", llama2c(0)),
        ("llama2c", "version_1", llama2c(1)),
        ("llama2c", "version_2", llama2c(2)),
        ("tokenizer_json", "byte_level", byte_level().to_string().into_bytes()),
        ("tokenizer_json", "sentence_piece", sentence_piece().to_string().into_bytes()),
        ("tokenizer_bin", "few", tokenizer_bin()),
        ("chat", "chatml", chat_section("chatml")?),
        ("chat", "llama2", chat_section("llama2")?),
    ];
    let folder = small().write(directory.path(), "m", Dtype::F32)?;
    // A vocabulary that needs no tables of Unicode's classes: those alone have 4 KB.
    let tokenizer = directory.path().join("tokenizer.bin");
    std::fs::write(&tokenizer, tokenizer_bin())?;
    let options = OpenOptions { tokenizer: Some(tokenizer), ..OpenOptions::default() };
    let checkpoint = Checkpoint::open(&folder, &options)?;
    for (name, weights) in [("q8", WeightType::Q8), ("f16", WeightType::F16)] {
        let options = PackOptions { weights, group: 8, context: Some(8), ..PackOptions::default() };
        let mut packed = Cursor::new(Vec::new());
        pack::write(&checkpoint, &options, &mut packed, &ProgressBar::hidden())?;
        seeds.push(("packed_file", name, packed.into_inner()));
    }
    let model = pack::to_memory(
        &checkpoint,
        &PackOptions { group: 8, context: Some(8), ..PackOptions::default() },
        &ProgressBar::hidden(),
    )?;
    let with_prefix = directory.path().join("prefix.sprat");
    let text = PrefixText::Raw("a b".into());
    prefix::to_file(&packed::Model::from_memory(model, "m"), &text, &with_prefix, |_| Ok(()))?;
    seeds.push(("packed_file", "prefix", std::fs::read(with_prefix)?));
    Ok(seeds)
}

/// A template that the tools bring along, compiled.
fn chat_section(name: &str) -> anyhow::Result<Vec<u8>> {
    let (_, jinja) = BUILTIN.iter().find(|(known, _)| *known == name).context("a known template")?;
    let specials = ["<s>", "</s>"].map(str::to_owned);
    let names = ["bos_token", "eos_token"].map(str::to_owned);
    let tokens = names.into_iter().zip(specials.clone()).collect();
    Ok(chat::compile(name, jinja, &tokens, &specials, None)?.section)
}

fn with_scaling(config: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(config)?;
    config["rope_scaling"] = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    });
    Ok(config.to_string().into_bytes())
}

fn gguf_file() -> gguf::File {
    gguf::llama(&small())
}

/// The same with another alignment and llama.cpp's keys of a vocabulary.
fn gguf_with_tokenizer() -> gguf::File {
    let mut file = gguf_file();
    file.version = 2;
    file.alignment = 8;
    let entries = &mut file.entries;
    entries.u32("general.alignment", 8);
    entries.text("tokenizer.ggml.model", "llama");
    let tokens = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab", "\u{2581}a"];
    entries.texts("tokenizer.ggml.tokens", &tokens);
    entries.f32s("tokenizer.ggml.scores", &[0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
    entries.i32s("tokenizer.ggml.token_type", &[2, 3, 3, 1, 1, 1, 1, 1]);
    entries.u32("tokenizer.ggml.bos_token_id", 1);
    entries.u32("tokenizer.ggml.eos_token_id", 2);
    entries.flag("tokenizer.ggml.add_bos_token", true);
    entries.text("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}");
    file
}

fn llama2c(version: i32) -> Vec<u8> {
    let mut numbers = Numbers(3);
    let header = [HIDDEN, FFN, 1, 2, 1, VOCABULARY, 8].map(|number| number as i32);
    let mut out = Vec::new();
    if version > 0 {
        out.extend(b"24ka");
        out.extend(version.to_le_bytes());
    }
    out.extend(header.into_iter().flat_map(i32::to_le_bytes));
    if version > 0 {
        out.push(1);
        out.extend(if version == 2 { 8i32 } else { 0 }.to_le_bytes());
        out.resize(256, 0);
    }
    let matrices = VOCABULARY * HIDDEN + 3 * HIDDEN * HIDDEN + 3 * FFN * HIDDEN;
    let table = if version == 0 { 8 * HIDDEN / 2 } else { 0 };
    let bytes = match version {
        2 => 4 * 3 * HIDDEN + matrices + matrices / 8 * 4,
        _ => 4 * (3 * HIDDEN + matrices + table),
    };
    // Small numbers everywhere: they mean the same at any place.
    let end = out.len() + bytes;
    while out.len() < end {
        out.extend(numbers.weight(0.3).to_le_bytes());
    }
    out
}

/// The stand-ins of GPT-2 for the bytes that are no visible characters, for a few bytes.
fn byte_level() -> Value {
    let letters: Vec<char> = ('a'..='p').chain(['\u{120}', '0', '.']).collect();
    let mut vocabulary = serde_json::Map::new();
    for (id, letter) in letters.iter().enumerate() {
        vocabulary.insert(letter.to_string(), json!(id));
    }
    for merged in ["ab", "\u{120}a", "abc"] {
        vocabulary.insert(merged.to_owned(), json!(vocabulary.len()));
    }
    let added = json!({
        "id": vocabulary.len(), "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [added], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
            "merges": ["a b", "\u{120} a", "ab c"],
        },
    })
}

/// Llama 2's kind: pieces with a mark for spaces, and bytes for what has no piece.
fn sentence_piece() -> Value {
    let mut vocabulary = serde_json::Map::new();
    let words = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab", "\u{2581}a"];
    for word in words {
        vocabulary.insert(word.to_owned(), json!(vocabulary.len()));
    }
    let special = |id: usize| {
        json!({
            "id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2)],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "\u{2581}" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" },
        ] },
        "pre_tokenizer": null, "post_processor": null,
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary,
            "merges": ["a b", "\u{2581} a"],
        },
    })
}

fn tokenizer_bin() -> Vec<u8> {
    let mut out = 8u32.to_le_bytes().to_vec();
    for (index, token) in
        ["<unk>", "\n<s>\n", "\n</s>\n", "<0x00>", "<0x01>", " ", "a", "b", " a", "ab"].iter().enumerate()
    {
        out.extend((-(index as f32)).to_le_bytes());
        out.extend((token.len() as u32).to_le_bytes());
        out.extend(token.as_bytes());
    }
    out
}
