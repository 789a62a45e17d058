//! Vocabularies that come in other formats than `tokenizer.json`: GGUF and SentencePiece's own.

use std::fs;
use std::path::Path;

use sprat::tokenizer::Special;
use sprat_e2e::reference as shared_data;
use sprat_tools::import::gguf;
use sprat_tools::import::tokenizer::{gpt2_files, tokenizer_model};

use super::data::Loaded;
use super::mixed_text::mixed_text;

/// llama.cpp's texts, and the ids that it and the model's own tokenizer have for them.
fn compare_with_llama_cpp(file: &Path) {
    let import = gguf::tokenizer_of(file, 100_000).unwrap().unwrap();
    let tokenizer = Loaded::new(import);
    let with = |end: &str| fs::read_to_string(format!("{}.{end}", file.display())).unwrap();
    let (texts, expected) = (with("inp"), with("out"));
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let lines: Vec<&str> = expected.lines().collect();
    // Behind the last separator there is nothing.
    assert!(
        lines.len() >= 40 && texts.len() == lines.len() + 1,
        "{} texts, {} lines",
        texts.len(),
        lines.len()
    );
    for (text, line) in texts.iter().zip(&lines) {
        let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(tokenizer.encode(text, Special::AsText), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), **text);
    }
}

#[test]
fn gguf_of_phi3_equals_llama_cpp() {
    let Some(file) = shared_data("gguf_of_phi3", "data/llamacpp_vocab/ggml-vocab-phi-3.gguf") else { return };
    let import = gguf::tokenizer_of(&file, 32_064).unwrap().unwrap();
    assert_eq!(
        (import.vocab_size, import.bos, import.add_bos, &import.eos[..]),
        (32_064, Some(1), true, &[32_000][..])
    );
    assert!(import.chat_template.as_deref().is_some_and(|template| template.contains("<|assistant|>")));
    compare_with_llama_cpp(&file);
    let tokenizer = Loaded::new(import);
    let ids = tokenizer.encode("<|user|>\nHi<|end|>\n<|assistant|>", Special::Parse);
    assert_eq!((ids[0], *ids.last().unwrap()), (32_010, 32_001), "{ids:?}");
    assert!(tokenizer.encode("<|user|>", Special::AsText).iter().all(|&id| !tokenizer.is_special(id)));
}

#[test]
fn gguf_of_gpt2_equals_llama_cpp_and_its_own_files() {
    let Some(file) = shared_data("gguf_of_gpt2", "data/llamacpp_vocab/ggml-vocab-gpt-2.gguf") else { return };
    compare_with_llama_cpp(&file);
    let Some(directory) = shared_data("gguf_of_gpt2", "data/gpt2_tokenizer") else { return };
    let ours = Loaded::new(gguf::tokenizer_of(&file, 50_257).unwrap().unwrap());
    let own = gpt2_files(&directory.join("vocab.json"), &directory.join("merges.txt"), 50_257).unwrap();
    let own = Loaded::new(own);
    let text = mixed_text(5, 100_000, &["<|endoftext|>"]);
    for special in [Special::Parse, Special::AsText] {
        assert!(ours.encode(&text, special) == own.encode(&text, special), "{special:?}");
    }
    let error = gguf::tokenizer_of(&file, 50_000).unwrap_err().to_string();
    assert!(error.contains("50257") && error.contains("50000"), "{error}");
}

/// The ids are those of the `sentencepiece` package: `SentencePieceProcessor(model_file=...).encode(text)`.
#[test]
fn tok105_equals_sentencepiece() {
    let Some(file) = shared_data("tok105", "data/babyllama_tok105/tok105.model") else { return };
    let import = tokenizer_model(&file, 105).unwrap();
    assert_eq!(
        (import.vocab_size, import.bos, import.add_bos, &import.eos[..]),
        (105, Some(1), true, &[2][..])
    );
    let tokenizer = Loaded::new(import);
    let cases: serde_json::Value = serde_json::from_str(include_str!("tok105.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    for case in cases {
        let text = case[0].as_str().unwrap();
        let ids: Vec<u32> =
            case[1].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(text, Special::AsText), ids, "{text:?}");
    }
}
