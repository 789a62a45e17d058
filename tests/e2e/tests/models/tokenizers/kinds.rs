//! Every kind of tokenizer that the supported families use, against the `tokenizers` crate on generated text.
//!
//! The vocabularies of most of those models are not free to copy. What makes a kind is the pipeline around the
//! vocabulary, so each kind is trained here on generated text, with the same components as the original has.

use ::tokenizers::Tokenizer as Reference;
use ::tokenizers::models::bpe::{BPE, BpeTrainer};
use ::tokenizers::models::unigram::{Unigram, UnigramTrainer};
use ::tokenizers::pre_tokenizers::PreTokenizerWrapper;
use ::tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerImpl};
use serde_json::{Value, json};
use sprat::tokenizer::Special;
use sprat_tools::import::tokenizer::tokenizer_json;

use super::data::Loaded;
use super::mixed_text::{MEGABYTE, mixed_text};

type Pipeline<M> =
    TokenizerImpl<M, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

pub const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";
const MARK: &str = "\u{2581}";

/// Names of added tokens, and pieces of them, that the text is strewn with.
const NAMES: [&str; 10] =
    ["<s>", "</s>", "<|user|>", "<|end|>", "<|us", "  ", "    ", "<unk>", "<0x41>", "\u{2581}"];

/// An added token that is sought in composed text. The reference (0.23) decodes it as if the composed form, whose
/// characters all stand for bytes in a byte-level vocabulary, were such bytes, and so not as UTF-8; it is left out there.
const COMPOSED: &str = "Zoe\u{308}";

fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
}

fn byte_level(prefix: bool, regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": regex})
}

fn sequence(steps: Value) -> Value {
    json!({"type": "Sequence", "pretokenizers": steps})
}

fn added(id: usize, content: &str, special: bool, flags: &[&str]) -> Value {
    let mut token = json!({"id": id, "content": content, "special": special, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false});
    flags.iter().for_each(|flag| token[*flag] = true.into());
    token
}

/// A BPE model trained with a pre-tokenizer, as JSON.
fn trained(pre_tokenizer: &Value) -> Value {
    let is_byte_level = pre_tokenizer.to_string().contains("ByteLevel");
    let mut tokenizer = Pipeline::new(BPE::default());
    let pre_tokenizer: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer.clone()).unwrap();
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    let mut trainer = BpeTrainer::builder().vocab_size(3000).show_progress(false);
    if is_byte_level {
        let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        trainer = trainer.initial_alphabet(alphabet.into_iter().collect());
    } else {
        // Some characters stay unknown, for the byte tokens.
        trainer = trainer.limit_alphabet(300);
    }
    let text = mixed_text(7, 200_000, &["pad"]);
    tokenizer.train(&mut trainer.build(), text.split_inclusive('\n')).unwrap();
    serde_json::to_value(tokenizer.get_model()).unwrap()
}

/// A byte-level tokenizer.
fn bytes(
    normalizer: Value,
    pre_tokenizer: Value,
    extra: &[(&str, bool, &[&str])],
    ignore_merges: bool,
) -> Value {
    let mut model = trained(&pre_tokenizer);
    model["ignore_merges"] = ignore_merges.into();
    if ignore_merges {
        // Then many pieces are tokens that no merges lead to.
        let merges = model["merges"].as_array_mut().unwrap();
        let half = merges.len() / 2;
        merges[half..].reverse();
    }
    let vocab = model["vocab"].as_object().unwrap();
    let token = |((content, special, flags), fresh): (&(&str, bool, &[&str]), usize)| {
        let known = vocab.get(*content).and_then(Value::as_u64);
        self::added(known.map_or(fresh, |id| id as usize), content, *special, flags)
    };
    let added: Vec<Value> = extra.iter().zip(vocab.len()..).map(token).collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": model})
}

/// A tokenizer of characters with byte tokens, as SentencePiece's are converted.
fn pieces(normalizer: Value, pre_tokenizer: Value, strip: bool, tokens: &[Value]) -> Value {
    let mut model = trained(&json!({"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always"}));
    let names = ["<unk>", "<s>", "</s>"].into_iter().map(str::to_owned);
    let names = names.chain((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let mut vocab: serde_json::Map<String, Value> = names.zip((0..).map(Value::from)).collect();
    for (text, id) in model["vocab"].as_object().unwrap() {
        vocab.insert(text.clone(), (id.as_u64().unwrap() + 259).into());
    }
    let mut tokens = tokens.to_vec();
    for (token, id) in
        tokens.iter_mut().filter(|token| token["id"] == 0 && token["content"] != "<unk>").zip(vocab.len()..)
    {
        token["id"] = id.into();
    }
    model["vocab"] = vocab.into();
    model["unk_token"] = "<unk>".into();
    model["fuse_unk"] = true.into();
    model["byte_fallback"] = true.into();
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": MARK}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if strip {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders}, "model": model})
}

/// Compares ids and decoded text, document by document, special tokens parsed and, for each fourth one, as text.
fn assert_equal(name: &str, json: &Value, bytes: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokenizer.json");
    std::fs::write(&file, json.to_string()).unwrap();
    let import = tokenizer_json(&file, 100_000).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let section_bytes = import.section.len();
    let ours = Loaded::new(import);
    let mut reference = Reference::from_file(&file).unwrap();
    let mut text = mixed_text(11, bytes, &NAMES);
    if json["model"]["type"] == "Unigram" {
        // The reference takes the names of the unknown token and of bytes for these tokens, even where special tokens
        // are to stay text; SentencePiece does not, nor does the runtime.
        text = text.replace("<unk>", "<unk").replace("<0x", "<0");
    }
    let documents = documents(&text);
    let (mut tokens, start) = (0, std::time::Instant::now());
    for (special, step) in [(Special::Parse, 1), (Special::AsText, 4)] {
        reference.set_encode_special_tokens(special == Special::AsText);
        let documents: Vec<&str> = documents.iter().copied().step_by(step).collect();
        let expected = reference.encode_batch_fast(documents.clone(), false).unwrap();
        for (document, expected) in documents.iter().zip(&expected) {
            let (found, expected) = (ours.encode(document, special), expected.get_ids());
            if found != expected {
                let at = found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(0);
                let context = at.saturating_sub(4)..at + 6;
                let around = |ids: &[u32]| -> Vec<(u32, String)> {
                    let ids = ids.get(context.start..context.end.min(ids.len())).unwrap_or_default();
                    ids.iter().map(|&id| (id, reference.id_to_token(id).unwrap_or_default())).collect()
                };
                panic!(
                    "{name}, {special:?}, token {at}: found {:?}, expected {:?}",
                    around(&found),
                    around(expected)
                );
            }
            if special == Special::AsText {
                let composed = reference.token_to_id(COMPOSED);
                let ids: Vec<u32> = found.iter().copied().filter(|&id| Some(id) != composed).collect();
                assert_eq!(ours.decode(&ids), reference.decode(&ids, false).unwrap(), "{name}");
                composed.into_iter().for_each(|id| assert_eq!(ours.decode(&[id]), COMPOSED, "{name}"));
            }
            tokens += found.len();
        }
    }
    println!(
        "{name}: {} documents, {tokens} tokens, section of {section_bytes} bytes, {}, {:.1} s",
        documents.len(),
        ours.summary(),
        start.elapsed().as_secs_f64()
    );
}

/// Parts of a text of 2 KB and, now and then, 64 KB, cut at characters.
fn documents(text: &str) -> Vec<&str> {
    let (mut documents, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let wanted = if documents.len() % 50 == 49 { 64 << 10 } else { 2 << 10 };
        let (document, after) = rest.split_at(rest.ceil_char_boundary(wanted.min(rest.len())));
        documents.push(document);
        rest = after;
    }
    documents
}

fn marks(prepend: bool) -> Value {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": MARK});
    match prepend {
        true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, replace]}),
        false => replace,
    }
}

fn llama2_tokens(normalized: bool) -> Vec<Value> {
    let flags: &[&str] = if normalized { &["normalized"] } else { &[] };
    [(0, "<unk>"), (1, "<s>"), (2, "</s>")].map(|(id, content)| added(id, content, true, flags)).to_vec()
}

#[test]
fn llama2_equals_the_tokenizers_crate() {
    let json = pieces(marks(true), Value::Null, true, &llama2_tokens(false));
    assert_equal("Llama-2", &json, 5 * MEGABYTE);
    let normalized = pieces(marks(true), Value::Null, true, &llama2_tokens(true));
    assert_equal("Llama-2, normalized tokens", &normalized, MEGABYTE / 4);
    let metaspace =
        json!({"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": false});
    assert_equal("Mistral", &pieces(Value::Null, metaspace, true, &llama2_tokens(false)), MEGABYTE / 2);
    let no_op = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    assert_equal("Gemma", &pieces(marks(false), no_op, false, &llama2_tokens(false)), MEGABYTE / 2);
}

#[test]
fn phi3_equals_the_tokenizers_crate() {
    let mut tokens = llama2_tokens(false);
    tokens[2]["rstrip"] = true.into();
    tokens.push(added(0, "<|user|>", true, &["rstrip"]));
    tokens.push(added(0, "<|end|>", true, &["rstrip"]));
    assert_equal("Phi-3", &pieces(marks(true), Value::Null, true, &tokens), 5 * MEGABYTE);
}

#[test]
fn llama3_equals_the_tokenizers_crate() {
    let pre_tokenizer = sequence(json!([split(LLAMA3), byte_level(false, false)]));
    let tokens: &[(&str, bool, &[&str])] =
        &[("<s>", true, &[]), ("<|user|>", true, &[]), ("<|end|>", true, &[])];
    assert_equal("Llama-3", &bytes(Value::Null, pre_tokenizer, tokens, true), 5 * MEGABYTE);
}

#[test]
fn qwen_equals_the_tokenizers_crate() {
    let pre_tokenizer = sequence(json!([split(QWEN2), byte_level(false, false)]));
    let tokens: &[(&str, bool, &[&str])] =
        &[("<|user|>", true, &[]), ("<|end|>", true, &[]), (COMPOSED, false, &["normalized"])];
    assert_equal("Qwen", &bytes(json!({"type": "NFC"}), pre_tokenizer, tokens, false), 5 * MEGABYTE);
}

#[test]
fn neox_equals_the_tokenizers_crate() {
    let tokens: &[(&str, bool, &[&str])] = &[
        ("<|user|>", true, &[]),
        ("    ", false, &["normalized"]),
        ("  ", false, &["normalized"]),
        ("<|end|>", true, &["lstrip", "single_word"]),
        ("time", false, &["single_word", "normalized"]),
    ];
    let json = bytes(json!({"type": "NFC"}), byte_level(false, true), tokens, false);
    assert_equal("NeoX", &json, 5 * MEGABYTE);
}

#[test]
fn other_families_equal_the_tokenizers_crate() {
    let size = MEGABYTE / 2;
    let tokens: &[(&str, bool, &[&str])] = &[("<|user|>", true, &[]), ("<|end|>", false, &["rstrip"])];
    let digits = |individual: bool| json!({"type": "Digits", "individual_digits": individual});
    let falcon = sequence(json!([
        {"type": "Punctuation", "behavior": "Contiguous"},
        byte_level(false, true),
        digits(false),
        split("[0-9][0-9][0-9]"),
    ]));
    assert_equal("Falcon", &bytes(Value::Null, falcon, tokens, false), size);
    let bloom = sequence(json!([split(BLOOM), byte_level(false, false)]));
    assert_equal("BLOOM", &bytes(Value::Null, bloom, tokens, false), size);
    let smollm = sequence(json!([digits(true), byte_level(false, true)]));
    assert_equal("SmolLM", &bytes(Value::Null, smollm, tokens, false), size);
    let galactica = sequence(json!([
        {"type": "Split", "pattern": {"String": "SPL1T-TH1S-Pl3A5E"}, "behavior": "Removed", "invert": false},
        digits(true),
        split(r"[\(\)\[\]\{\}]|([!#\$%&'\*\+,\-./:;<=>?\\\^_`\|])\x20?"),
        {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": false},
        byte_level(false, true),
    ]));
    assert_equal("Galactica", &bytes(json!({"type": "NFKC"}), galactica, tokens, false), size);
    let gpt4o = sequence(json!([split(GPT4O), byte_level(false, false)]));
    assert_equal("GPT-4o", &bytes(Value::Null, gpt4o, tokens, true), size);
    let mut inverted = split(LLAMA3);
    inverted["behavior"] = "Removed".into();
    inverted["invert"] = true.into();
    let inverted = sequence(json!([inverted, byte_level(false, false)]));
    assert_equal("matches only", &bytes(Value::Null, inverted, tokens, false), size);
}

#[test]
fn unigram_equals_the_tokenizers_crate() {
    let metaspace = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split});
    let mut tokenizer = Pipeline::new(Unigram::default());
    let pre_tokenizer: PreTokenizerWrapper = serde_json::from_value(metaspace("always", true)).unwrap();
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    let mut trainer = UnigramTrainer::builder();
    trainer.vocab_size(1500).show_progress(false).unk_token(Some("<unk>".to_owned()));
    let text = mixed_text(7, 60_000, &["pad"]);
    tokenizer.train(&mut trainer.build().unwrap(), text.split_inclusive('\n')).unwrap();
    let model = serde_json::to_value(tokenizer.get_model()).unwrap();
    for (name, scheme, split, falls_back) in [
        ("Unigram", "always", true, false),
        ("Unigram, whole texts", "first", false, false),
        ("Unigram, bytes", "never", true, true),
    ] {
        let mut model = model.clone();
        let vocab = model["vocab"].as_array_mut().unwrap();
        let unknown = vocab.iter().position(|token| token[0] == "<unk>").unwrap();
        if falls_back {
            vocab.extend((0..256).map(|byte| json!([format!("<0x{byte:02X}>"), -20.0])));
        }
        let count = vocab.len();
        model["unk_id"] = unknown.into();
        model["byte_fallback"] = falls_back.into();
        let tokens = [added(unknown, "<unk>", true, &[]), added(count, "<s>", true, &[])];
        let decoder = match falls_back {
            true => json!({"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}]}),
            false => metaspace(scheme, split),
        };
        let json = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens,
            "normalizer": null, "pre_tokenizer": metaspace(scheme, split), "post_processor": null,
            "decoder": decoder, "model": model});
        assert_equal(name, &json, MEGABYTE / 4);
    }
}
