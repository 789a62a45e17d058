//! Tests of the importers on files made here: what is taken over, what is refused and in which words.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sprat::tokenizer::{Special, Tokenizer, scratch_words};
use sprat_format::tokenizer::{Prefix, Properties, StageFlags, TokenizerKind, TokenizerTables};
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
        let flags: Vec<StageFlags> = tables.stages().iter().map(|stage| stage.flags).collect();
        (tables.settings().prefix, flags, tables.stage_bytes())
    };
    let byte_level =
        |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": regex});
    let sequence = |list: Value| json!({"type": "Sequence", "pretokenizers": list});
    let split = |regex: &str, behavior: &str| json!({"type": "Split", "behavior": behavior, "invert": false, "pattern": {"Regex": regex}});
    let plain = StageFlags::default();
    let (prefix, flags, stage_bytes) = settings(byte_level(true));
    assert_eq!((prefix, &flags[..]), (Prefix::None, &[plain][..]));
    assert!((4000..9000).contains(&stage_bytes), "{stage_bytes}");
    assert_eq!(settings(byte_level(false)), (Prefix::None, vec![], 0), "nothing for who needs nothing");
    let digits = |individual: bool| json!({"type": "Digits", "individual_digits": individual});
    assert_eq!(settings(sequence(json!([digits(true), byte_level(true)]))).1, [plain; 2]);
    let removing = sequence(json!([split("SPL1T", "Removed"), digits(true), byte_level(true)]));
    assert_eq!(settings(removing).1, [StageFlags::REMOVE, plain, plain]);
    let punctuation = json!({"type": "Punctuation", "behavior": "Contiguous"});
    let falcon =
        sequence(json!([punctuation, byte_level(true), digits(false), split("[0-9][0-9][0-9]", "Isolated")]));
    assert_eq!(settings(falcon).1, [plain, plain, StageFlags::BYTES, StageFlags::BYTES]);
    let prefixed = json!({"type": "ByteLevel", "add_prefix_space": true});
    assert_eq!(settings(prefixed).0, Prefix::Pieces);
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
        ("/normalizer", json!({"type": "NFD"}), "normalizer NFD"),
        (
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
            "normalizer Precompiled",
        ),
        (
            "/normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}),
            "normalizer Lowercase",
        ),
        ("/pre_tokenizer", Value::Null, "decoder ByteLevel"),
        ("/pre_tokenizer", json!({"type": "Whitespace"}), "pre_tokenizer Whitespace"),
        ("/pre_tokenizer", regex(r"(?<=a)\p{N}"), r"(?<=a)\\p{N}"),
        ("/pre_tokenizer", regex("a*b"), "\"a*b\" is not supported"),
        ("/post_processor", json!({"type": "RobertaProcessing"}), "post_processor RobertaProcessing"),
        (
            "/post_processor",
            json!({"type": "TemplateProcessing", "single": []}),
            "post_processor TemplateProcessing",
        ),
        ("/decoder", json!({"type": "WordPiece"}), "decoder WordPiece"),
        ("/model/type", "Unigram".into(), "model Unigram"),
        ("/model/type", "WordPiece".into(), "model WordPiece"),
        ("/model/dropout", 0.1.into(), "dropout 0.1"),
        ("/model/end_of_word_suffix", "</w>".into(), "end_of_word_suffix \"</w>\""),
        ("/model/merges", json!([["a", "c"]]), "merge of \"a\" and \"c\": token \"ac\""),
        ("/model/merges", json!(["a b c"]), "merge \"a b c\""),
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
    assert!(
        error.contains("expected tokenizer.json, tokenizer.model, or vocab.json with merges.txt"),
        "{error}"
    );
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
    assert_eq!(tables.stage_bytes(), 0);
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
fn added_tokens_bring_the_properties_that_they_ask_for() {
    let mut file = file();
    file["pre_tokenizer"]["use_regex"] = false.into();
    file["added_tokens"][1]["rstrip"] = true.into();
    file["added_tokens"][0]["single_word"] = true.into();
    let import = import(&file, 300).unwrap();
    let tables = TokenizerTables::parse(&import.section).unwrap();
    for character in '\0'..=char::MAX {
        let properties = tables.properties(character);
        assert_eq!(properties.any(Properties::SPACE), character.is_whitespace(), "{character:?}");
        let expected = match character {
            'é' | '中' | 'ª' | '가' | '\u{301}' | '٣' | '_' | '\u{200D}' => Some(true),
            '²' | '€' | '🦀' | ' ' | '-' => Some(false),
            _ => None,
        };
        assert!(expected.is_none_or(|word| word == properties.any(Properties::WORD)), "{character:?}");
    }
    assert_eq!(encode(&import, "=> \u{3000}ab <|end|>x_<|end|>", Special::Parse)[..2], [259, 256]);
    assert!(!encode(&import, "x<|end|>", Special::Parse).contains(&258));
    assert!(encode(&import, "-<|end|> x", Special::Parse).contains(&258));
}

/// Llama-2's way: characters, marks for spaces, bytes for the rest.
#[test]
fn a_sentence_piece_tokenizer_json_becomes_a_section() {
    let mut vocab = serde_json::Map::new();
    for (id, text) in ["<unk>", "<s>", "</s>"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..256).map(|byte| format!("<0x{byte:02X}>")))
        .chain(["\u{2581}", "a", "b", "ab", "\u{2581}ab"].map(str::to_owned))
        .enumerate()
    {
        vocab.insert(text, id.into());
    }
    let added = |id: u32, content: &str, normalized: bool| json!({"id": id, "content": content, "special": true, "normalized": normalized});
    let file = json!({
        "added_tokens": [added(0, "<unk>", true), added(1, "<s>", false), added(2, "</s>", true)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}]},
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
            "merges": ["a b", "\u{2581} ab"]},
    });
    let import = import(&file, 300).unwrap();
    let settings = TokenizerTables::parse(&import.section).unwrap().settings();
    assert_eq!((settings.kind, settings.prefix), (TokenizerKind::CharacterBpe, Prefix::Segments));
    assert!(
        settings.space_mark && settings.strip_first_space && settings.byte_fallback && settings.fuse_unknown
    );
    let [mark, b, mark_ab] = [259, 261, 263];
    assert_eq!(
        encode(&import, "ab b\u{2581}\u{e9}", Special::Parse),
        [mark_ab, mark, b, mark, 3 + 0xC3, 3 + 0xA9]
    );
    assert_eq!(encode(&import, "<s>ab<s>", Special::Parse), [1, mark_ab, 1], "each part gets its prefix");
    // A normalized token is sought with the prefix that every part has.
    assert_eq!(encode(&import, "</s>b", Special::Parse), [2, b]);
    assert!(!encode(&import, "b</s>", Special::Parse).contains(&2));
}

#[test]
fn a_trimmed_draft_is_a_tokenizer_again() {
    let import = import(&file(), 300).unwrap();
    let draft = Draft::read(&TokenizerTables::parse(&import.section).unwrap());
    assert_eq!(draft.section().unwrap(), import.section, "read and written back");
    let keep = [256].into();
    let (trimmed, old) = draft.trimmed(&keep);
    assert_eq!(old, (0..257).chain(258..260).collect::<Vec<_>>());
    let trimmed = TokenizerImport::new(std::path::Path::new("trimmed"), &trimmed, 300).unwrap();
    assert_eq!(encode(&trimmed, "ab ab<|end|>=>", Special::Parse), [256, u32::from(b' '), 256, 257, 258]);
}
