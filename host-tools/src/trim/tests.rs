//! Trimmed vocabularies of every kind of tokenizer: what the domain's text becomes, what other text becomes, and that
//! the logits of what is kept are the same bits.

use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{HuggingFace, VOCAB_SIZE, write_llama2c, write_tokenizer_bin};
use crate::import::{Dtype, OpenOptions};
use crate::logits::{Feeding, logits};
use crate::model::Model;
use crate::pack::{self, PackOptions};

const DOMAIN: &str = "abc abc de\nab abcd <|end|>de abc é\n";
const OTHER: &str = "cab bed 😀 edc\nde aab <|end|>cdba — é";

/// GPT-2's alphabet: the printable bytes as they are, the others from U+0100 on.
fn character(byte: u8) -> char {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match printable(&byte) {
        true => char::from(byte),
        false => {
            let before = (0..byte).filter(|other| !printable(other)).count() as u32;
            char::from_u32(0x100 + before).unwrap()
        }
    }
}

/// Bytes and merges of letters; `de` is merged by two different merges' parts, `ddd` never occurs in the domain.
fn byte_level() -> Value {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255u8 {
        vocab.insert(character(byte).to_string(), byte.into());
    }
    let merges =
        ["a b", "d e", "Ġ ab", "ab c", "Ġab c", "d d", "dd d", "e d", "c a", "Ġ de", "b ed", "Ġabc d"];
    for (id, merge) in (256..).zip(merges) {
        vocab.insert(merge.replace(' ', ""), id.into());
    }
    json!({
        "version": "1.0",
        "added_tokens": [{"id": 268, "content": "<|end|>", "special": true, "normalized": false}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    })
}

/// Pieces with scores, bytes for what has no piece.
fn unigram() -> Value {
    let special = ["<unk>", "<s>", "<|end|>"].map(|text| json!([text, 0.0]));
    let bytes = (0..=255).map(|byte| json!([format!("<0x{byte:02X}>"), 0.0]));
    let words = ["▁", "a", "b", "c", "▁abc", "d", "e", "de", "▁de", "ab", "▁ab", "bed", "cab"];
    let words =
        words.iter().zip(1..).map(|(word, place)| json!([word, -f64::from(place) - word.len() as f64]));
    let vocab: Vec<Value> = special.into_iter().chain(bytes).chain(words).collect();
    json!({
        "version": "1.0",
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": true, "normalized": false},
            {"id": 1, "content": "<s>", "special": true, "normalized": false},
            {"id": 2, "content": "<|end|>", "special": true, "normalized": false},
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": null,
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": true},
    })
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path, &OpenOptions::default()).unwrap()
}

/// A checkpoint with a head of its own, biased, and the given `tokenizer.json`.
fn with_tokenizer(directory: &Path, name: &str, tokenizer: &Value) -> Checkpoint {
    let model = if name == "gpt2" { HuggingFace::gpt2(3) } else { HuggingFace::llama(4) };
    let path = model.write(directory, name, Dtype::F32).unwrap();
    fs::write(path.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    open(&path)
}

fn tokens(checkpoint: &Checkpoint, text: &str) -> Vec<u32> {
    encode(&tokenizer(checkpoint.tokenizer.as_ref().unwrap()).unwrap(), text).unwrap()
}

fn decoded(checkpoint: &Checkpoint, ids: &[u32]) -> String {
    let tokenizer = tokenizer(checkpoint.tokenizer.as_ref().unwrap()).unwrap();
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect();
    String::from_utf8(bytes).unwrap()
}

fn logits_of(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    let bytes = pack::to_memory(checkpoint, &PackOptions::exact(), &ProgressBar::hidden()).unwrap();
    let model = Model::from_memory(bytes, "made up");
    logits(&model, ids, Feeding::TokenByToken, None, 1).unwrap().values
}

/// Trims `trimmed`, which is the same model as `whole`, and checks everything that is promised.
fn check(whole: &Checkpoint, mut trimmed: Checkpoint) -> TrimReport {
    let report = trim(&mut trimmed, DOMAIN, &TrimOptions::default()).unwrap();
    let kept = trimmed.kept().unwrap().to_vec();
    assert_eq!(kept.len(), report.tokens_kept);
    assert!(report.tokens_kept < report.tokens_before, "{report:?}");
    assert_eq!(trimmed.config.vocab_size as usize, kept.len());
    assert_eq!(report.text.before, report.text.after);

    let back = |ids: &[u32]| ids.iter().map(|&id| kept[id as usize]).collect::<Vec<_>>();
    for text in [DOMAIN].into_iter().chain(DOMAIN.lines()) {
        assert_eq!(back(&tokens(&trimmed, text)), tokens(whole, text), "{text:?}");
    }
    let (before, after) = (tokens(whole, OTHER), tokens(&trimmed, OTHER));
    assert!(after.len() >= before.len());
    assert_eq!(decoded(&trimmed, &after), decoded(whole, &before), "every text can still be encoded");

    let new = &tokens(&trimmed, DOMAIN)[..8];
    let (before, after) = (logits_of(whole, &back(new)), logits_of(&trimmed, new));
    let rows = before.chunks_exact(whole.config.vocab_size as usize);
    let expected: Vec<u32> = rows.flat_map(|row| kept.iter().map(|&id| row[id as usize].to_bits())).collect();
    let found: Vec<u32> = after.iter().map(|logit| logit.to_bits()).collect();
    assert_eq!(found, expected, "the rest of the model is the same");
    assert!(trimmed.recipe.starts_with("vocabulary trimmed from 272 to"), "{}", trimmed.recipe);
    report
}

#[test]
fn byte_level_bpe_keeps_what_leads_to_its_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let make = || with_tokenizer(directory.path(), "gpt2", &byte_level());
    check(&make(), make());
    let mut trimmed = make();
    trim(&mut trimmed, DOMAIN, &TrimOptions::default()).unwrap();
    let has = |text: &str| tokenizer(trimmed.tokenizer.as_ref().unwrap()).unwrap().id_of(text).is_some();
    // ` abcd` is merged from ` abc`, that from ` ab`, and that from `ab`.
    assert!([" abcd", " abc", " ab", "ab", "<|end|>", "d"].iter().all(|text| has(text)));
    assert!(["dd", "ddd", "ed", "bed", "ca"].iter().all(|text| !has(text)));
}

#[test]
fn sentencepiece_bpe_is_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_llama2c(directory.path(), 5, false).unwrap();
    write_tokenizer_bin(directory.path(), VOCAB_SIZE).unwrap();
    check(&open(&path), open(&path));
}

#[test]
fn unigram_is_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let make = || with_tokenizer(directory.path(), "llama", &unigram());
    check(&make(), make());
}

#[test]
fn a_bound_keeps_the_most_frequent_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let make = || with_tokenizer(directory.path(), "gpt2", &byte_level());
    let bounded = |most| {
        let mut checkpoint = make();
        let options = TrimOptions { most_tokens: Some(most), held_out: Some(OTHER) };
        trim(&mut checkpoint, DOMAIN, &options).map(|report| (report, checkpoint))
    };
    let (report, checkpoint) = bounded(259).unwrap();
    assert_eq!((report.tokens_kept, report.always, report.split), (259, 257, false));
    let tokenizer = tokenizer(checkpoint.tokenizer.as_ref().unwrap()).unwrap();
    assert!(tokenizer.id_of("de").is_some() && tokenizer.id_of(" abcd").is_none());
    assert!(report.text.after > report.text.before);
    let error = bounded(200).unwrap_err().to_string();
    assert!(error.contains("at most 200 tokens") && error.contains("257"), "{error}");
}

#[test]
fn a_model_without_a_tokenizer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoint = open(&write_llama2c(directory.path(), 6, true).unwrap());
    let error = trim(&mut checkpoint, DOMAIN, &TrimOptions::default()).unwrap_err();
    assert!(error.to_string().contains("the model has none"), "{error}");
}
