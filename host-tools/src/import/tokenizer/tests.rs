//! Tests of the importers on files made here: what is taken over, what is refused and in which words.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sprat::tokenizer::{Special, Tokenizer, scratch_words};
use sprat_format::tokenizer::{Class, PreTokenizer, TokenizerTables};
use tempfile::TempDir;

use super::*;

/// A byte-level `tokenizer.json`: ids 0 to 255 the bytes, 256 `ab`, 257 ` ab`, 258 `<|end|>` (special), 259 `=>`.
fn file() -> Value {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255u8 {
        vocab.insert(bytes::character(byte).to_string(), byte.into());
    }
    vocab.insert("ab".into(), 256.into());
    vocab.insert("Ġab".into(), 257.into());
    vocab.insert("<|end|>".into(), 258.into());
    json!({
        "version": "1.0",
        "added_tokens": [
            {"id": 258, "content": "<|end|>", "special": true, "normalized": false},
            {"id": 259, "content": "=>", "special": false, "normalized": true},
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"], ["Ġ", "ab"]]},
    })
}

fn directory(files: &[(&str, String)]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let path = directory.path().to_owned();
    (directory, path)
}

fn import(file: &Value, model_vocab: u32) -> Result<TokenizerImport> {
    let (_keep, path) = directory(&[("tokenizer.json", file.to_string())]);
    hugging_face_directory(&path, model_vocab)
}

fn encode(import: &TokenizerImport, text: &str, special: Special) -> Vec<u32> {
    let tokenizer = Tokenizer::new(TokenizerTables::parse(&import.section).unwrap());
    let mut out = vec![0; text.len() + 1];
    let count = tokenizer.encode(text, special, &mut vec![0; scratch_words(text.len())], &mut out).unwrap();
    out.truncate(count);
    out
}

#[test]
fn the_alphabet_is_gpt2s() {
    assert_eq!([b' ', b'\n', b'A', 0x7F, 0xAD].map(bytes::character), ['Ġ', 'Ċ', 'A', 'ġ', 'Ń']);
    for value in 0..=255 {
        assert_eq!(bytes::byte(bytes::character(value)), Some(value));
    }
    assert_eq!(bytes::decode("Ġé"), Some(vec![b' ', 0xE9]));
    assert_eq!((bytes::decode("<｜>"), bytes::decode(" ")), (None, None));
}

#[test]
fn a_tokenizer_json_becomes_a_section() {
    let import = import(&file(), 300).unwrap();
    assert_eq!((import.vocab_size, import.bos, import.add_bos, &import.eos[..]), (260, None, false, &[][..]));
    assert_eq!(encode(&import, "ab ab<|end|>=>", Special::Parse), [256, 257, 258, 259]);
    let as_text = encode(&import, "<|end|>=>", Special::AsText);
    assert!(!as_text.contains(&258) && as_text.ends_with(&[259]), "{as_text:?}");
    assert_eq!(import.id_of("<|end|>"), Some(258));
}

#[test]
fn components_become_settings() {
    let settings = |pre_tokenizer: Value| {
        let mut file = file();
        file["pre_tokenizer"] = pre_tokenizer;
        let section = import(&file, 300).unwrap().section;
        let tables = TokenizerTables::parse(&section).unwrap();
        (tables.settings().pre_tokenizer, tables.settings().individual_digits, tables.class_bytes())
    };
    let byte_level =
        |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": regex});
    let sequence = |list: Value| json!({"type": "Sequence", "pretokenizers": list});
    let digits = json!({"type": "Digits", "individual_digits": true});
    let split = json!({"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}});
    let (kind, individual, class_bytes) = settings(byte_level(true));
    assert_eq!((kind, individual), (PreTokenizer::Gpt2, false));
    assert!((4000..9000).contains(&class_bytes), "{class_bytes}");
    assert_eq!(settings(byte_level(false)), (PreTokenizer::None, false, 0), "no classes for who needs none");
    assert!(settings(sequence(json!([digits, byte_level(true)]))).1);
    assert_eq!(settings(sequence(json!([split, byte_level(false)]))).0, PreTokenizer::Llama3);
    let mut llama = file();
    llama["post_processor"] = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [258], "tokens": ["<|end|>"]}},
    }]});
    llama["model"]["ignore_merges"] = true.into();
    let llama = import(&llama, 300).unwrap();
    assert_eq!((llama.bos, llama.add_bos), (Some(258), true));
    assert!(TokenizerTables::parse(&llama.section).unwrap().settings().ignore_merges);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let regex = |regex: &str| {
        json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex": regex}},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})
    };
    let cases = [
        ("/normalizer", json!({"type": "NFC"}), "normalizer NFC"),
        (
            "/normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}),
            "normalizer Lowercase",
        ),
        ("/pre_tokenizer", Value::Null, "pre_tokenizer none"),
        ("/pre_tokenizer", json!({"type": "Whitespace"}), "pre_tokenizer Whitespace"),
        ("/pre_tokenizer", regex(r"\p{N}"), r"\\p{N}"),
        ("/pre_tokenizer", json!({"type": "Digits", "individual_digits": false}), "individual_digits"),
        ("/post_processor", json!({"type": "RobertaProcessing"}), "post_processor RobertaProcessing"),
        (
            "/post_processor",
            json!({"type": "TemplateProcessing", "single": []}),
            "post_processor TemplateProcessing",
        ),
        ("/decoder", json!({"type": "WordPiece"}), "decoder WordPiece"),
        ("/model/type", "Unigram".into(), "model Unigram"),
        ("/model/byte_fallback", true.into(), "byte_fallback"),
        ("/model/dropout", 0.1.into(), "dropout 0.1"),
        ("/model/end_of_word_suffix", "</w>".into(), "end_of_word_suffix \"</w>\""),
        ("/model/merges", json!([["a", "c"]]), "merge of \"a\" and \"c\": token \"ac\""),
        ("/model/merges", json!(["a b c"]), "merge \"a b c\""),
        ("/added_tokens/0/single_word", true.into(), "single_word"),
        ("/added_tokens/0/id", 7.into(), "has id 7, but id 258"),
        ("/added_tokens/1/id", 7.into(), "id 7 is given to two tokens"),
        ("/added_tokens/1/content", "<|end|>".into(), "is there twice"),
        ("/added_tokens/1/id", u32::MAX.into(), "id 4294967295"),
    ];
    for (place, value, expected) in cases {
        let mut file = file();
        let (parent, name) = place.rsplit_once('/').unwrap();
        file.pointer_mut(parent).unwrap()[name] = value;
        let error = format!("{:#}", import(&file, 300).unwrap_err());
        assert!(error.contains(expected) && error.contains("tokenizer.json"), "{place}: {error}");
    }
    let error = format!("{:#}", import(&file(), 259).unwrap_err());
    assert!(error.contains("260 tokens") && error.contains("only 259"), "{error}");
}

#[test]
fn bytes_without_tokens_need_no_unknown_token() {
    let mut file = file();
    file["model"]["vocab"].as_object_mut().unwrap().remove("!");
    assert_eq!(
        encode(&import(&file, 300).unwrap(), "ab!ab", Special::Parse),
        [256, 256],
        "left out, as in tokenizers"
    );
    file["model"]["unk_token"] = "<|end|>".into();
    let error = format!("{:#}", import(&file, 300).unwrap_err());
    assert!(error.contains("1 of the 256 bytes") && error.contains("unk_token"), "{error}");
}

#[test]
fn gpt2_files_and_their_companions() {
    let vocab = file()["model"]["vocab"].to_string().replace("<|end|>", "<|endoftext|>");
    let merges = "#version: 0.2\na b\nĠ ab\n";
    let config = json!({"bos_token": {"content": "<|endoftext|>"}, "eos_token": "ab", "add_bos_token": true,
        "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]});
    let generation = json!({"eos_token_id": [258, 7]});
    let mut files = vec![("vocab.json", vocab), ("merges.txt", merges.to_owned())];
    let (_keep, path) = directory(&files);
    let import = hugging_face_directory(&path, 259).unwrap();
    assert_eq!((import.bos, import.add_bos, &import.eos[..]), (Some(258), false, &[258][..]));
    assert_eq!(encode(&import, "ab ab", Special::Parse), [256, 257]);
    files.extend([
        ("tokenizer_config.json", config.to_string()),
        ("generation_config.json", generation.to_string()),
    ]);
    let (_keep, path) = directory(&files);
    let import = hugging_face_directory(&path, 259).unwrap();
    assert_eq!((import.bos, import.add_bos, &import.eos[..]), (Some(258), true, &[7, 256, 258][..]));
    assert_eq!(import.chat_template.as_deref(), Some("d"));
    let missing = json!({"eos_token": "<nothing>"});
    files.push(("tokenizer_config.json", missing.to_string()));
    files.push(("chat_template.jinja", "j".to_owned()));
    let (_keep, path) = directory(&files);
    let error = format!("{:#}", hugging_face_directory(&path, 259).unwrap_err());
    assert!(error.contains("eos_token is \"<nothing>\""), "{error}");
    fs::write(path.join("tokenizer_config.json"), "{}").unwrap();
    assert_eq!(hugging_face_directory(&path, 259).unwrap().chat_template.as_deref(), Some("j"));
    fs::write(path.join("generation_config.json"), r#"{"eos_token_id": 259}"#).unwrap();
    let error = format!("{:#}", hugging_face_directory(&path, 259).unwrap_err());
    assert!(error.contains("eos_token_id is 259"), "{error}");
    fs::write(path.join("merges.txt"), "a b\nx\n").unwrap();
    let error = format!("{:#}", hugging_face_directory(&path, 259).unwrap_err());
    assert!(error.contains("merges.txt: line 2"), "{error}");
    let (_keep, path) = directory(&[]);
    let error = format!("{:#}", hugging_face_directory(&path, 259).unwrap_err());
    assert!(error.contains("expected tokenizer.json, or vocab.json with merges.txt"), "{error}");
}

/// A `tokenizer.bin` with the tokens of llama2.c and some pieces.
fn tokenizer_bin(pieces: &[(&str, f32)]) -> Vec<u8> {
    let fixed = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_owned).into_iter();
    let fixed = fixed.chain((0..256).map(|byte| format!("<0x{byte:02X}>"))).map(|text| (text, 0.0));
    let mut file = 8u32.to_le_bytes().to_vec();
    for (text, score) in fixed.chain(pieces.iter().map(|&(text, score)| (text.to_owned(), score))) {
        file.extend(score.to_le_bytes());
        file.extend((text.len() as u32).to_le_bytes());
        file.extend(text.as_bytes());
    }
    file
}

#[test]
fn a_tokenizer_bin_becomes_a_section() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokenizer.bin");
    let good = tokenizer_bin(&[(" ", -3.0), ("a", -2.0), (" a", -1.0), ("aa", -1.0), ("aaa", -2e10)]);
    fs::write(&file, &good).unwrap();
    let import = llama2c(&file, 264).unwrap();
    assert_eq!(
        (import.vocab_size, import.bos, import.add_bos, &import.eos[..]),
        (264, Some(1), true, &[1, 2][..])
    );
    assert_eq!(encode(&import, "aaé", Special::Parse), [261, 260, 198, 172], "the leftmost of equal scores");
    assert_eq!(encode(&import, "aaa", Special::Parse), [261, 262]);
    let tables = TokenizerTables::parse(&import.section).unwrap();
    assert_eq!(tables.token(3 + 10), Some(&b"\n"[..]));
    assert_eq!(
        (tables.score_rank(261), tables.score_rank(262), tables.score_rank(263)),
        (Some(1), Some(1), None)
    );
    assert_eq!(tables.class_bytes(), 0);
    let refused = |content: &[u8], model_vocab| {
        fs::write(&file, content).unwrap();
        format!("{:#}", llama2c(&file, model_vocab).unwrap_err())
    };
    assert!(refused(&good, 263).contains("264 tokens, the model's vocabulary only 263"));
    assert!(refused(&good[..good.len() - 1], 264).contains("in the middle of token 263"));
    assert!(refused(&[1, 0, 0], 264).contains("shorter than 4 bytes"));
    assert!(refused(&tokenizer_bin(&[("x", f32::NAN)]), 264).contains("token 259 has the score NaN"));
    assert!(refused(&tokenizer_bin(&[("123456789", 0.0)]), 264).contains("token 259 is 9 bytes long"));
}

#[test]
fn boundaries_say_what_the_classes_are() {
    let section = import(&file(), 300).unwrap().section;
    let tables = TokenizerTables::parse(&section).unwrap();
    for character in '\0'..=char::MAX {
        let expected = match character {
            _ if character.is_whitespace() => Some(Class::Space),
            'é' | '中' | 'ª' | 'Ⴀ' | '가' | '\u{20000}' => Some(Class::Letter),
            '٣' | '²' | 'Ⅷ' | '〇' | '½' => Some(Class::Number),
            '\u{85}'..='\u{A0}' | '\u{301}' | '🦀' | '€' | '\u{200D}' => Some(Class::Other),
            _ => None,
        };
        if let Some(expected) = expected {
            assert_eq!(tables.class(character), expected, "{character:?}");
        }
    }
}
