//! Hugging Face's `tokenizer.json`: the parts that make a byte-level BPE tokenizer; all others are refused.
//!
//! The file is a pipeline of named components. Each is checked here: one that the runtime does the same way is
//! turned into settings, any other is an error that names it. Truncation and padding are no part of a text's
//! tokens and are ignored, as is everything about offsets.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use sprat_format::tokenizer::{AddedFlags, NONE, PreTokenizer, Settings, TokenizerKind};

use super::TokenizerImport;
use super::gpt2::{AddedToken, byte_level, merge_line};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: Value,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: HashMap<String, u32>,
    merges: Merges,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merges {
    Pairs(Vec<(String, String)>),
    Lines(Vec<String>),
}

/// Imports a `tokenizer.json`. BOS is known if the post-processor adds one.
///
/// # Errors
/// A file that cannot be read, a component that is not supported (by name), a vocabulary larger than
/// `model_vocab`.
pub fn tokenizer_json(file: &Path, model_vocab: u32) -> Result<TokenizerImport> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name}"))?;
    let json: File = serde_json::from_str(&text).with_context(|| format!("{name}: not a tokenizer.json"))?;
    let (draft, bos) = convert(file, json).with_context(|| format!("{name}"))?;
    let mut import = TokenizerImport::new(file, draft.section()?, model_vocab)?;
    (import.bos, import.add_bos) = (bos, bos.is_some());
    Ok(import)
}

fn convert(file: &Path, json: File) -> Result<(super::draft::Draft, Option<u32>)> {
    if let Some(found) = flatten(&json.normalizer, "normalizers").first() {
        bail!("normalizer {} is not supported; expected none", describe(found));
    }
    let mut settings = pre_tokenizer(&json.pre_tokenizer)?;
    for decoder in flatten(&json.decoder, "decoders") {
        if kind(decoder) != "ByteLevel" {
            bail!("decoder {} is not supported; expected ByteLevel", describe(decoder));
        }
    }
    let bos = post_processor(&json.post_processor)?;
    let model = model(json.model)?;
    settings.ignore_merges = model.ignore_merges;
    let mut added = Vec::new();
    for token in json.added_tokens.into_iter().filter(|token| !token.content.is_empty()) {
        if token.single_word {
            bail!("added token {:?}: single_word is not supported; expected false", token.content);
        }
        let flags = [
            (token.lstrip, AddedFlags::LEFT_STRIP),
            (token.rstrip, AddedFlags::RIGHT_STRIP),
            (token.normalized, AddedFlags::SECOND_PASS),
        ];
        let set = flags.into_iter().filter(|(set, _)| *set);
        let flags = set.fold(AddedFlags::default(), |sum, (_, flag)| sum.with(flag));
        added.push(AddedToken { id: token.id, content: token.content, flags, special: token.special });
    }
    let merges = match model.merges {
        Merges::Pairs(pairs) => pairs,
        Merges::Lines(lines) => {
            let pair = |line: &String| {
                merge_line(line)
                    .with_context(|| format!("merge {line:?}: expected two tokens, one space between"))
            };
            lines.iter().map(pair).collect::<Result<_>>()?
        }
    };
    let draft = byte_level(file, settings, &model.vocab, &merges, &added)?;
    let missing = draft.byte_tokens.iter().filter(|&&id| id == NONE).count();
    if let Some(unknown) = model.unk_token.filter(|_| missing > 0) {
        bail!(
            "{missing} of the 256 bytes have no token, and unk_token {unknown:?} stands for them; \
             expected all bytes in the vocabulary, or no unk_token"
        );
    }
    Ok((draft, bos))
}

/// The `type` of a component.
fn kind(component: &Value) -> &str {
    component.get("type").and_then(Value::as_str).unwrap_or("without a type")
}

/// A component for an error message: its type, and its settings if they are short.
fn describe(component: &Value) -> String {
    let settings = component.to_string();
    if settings.len() > 400 { kind(component).to_owned() } else { format!("{} {settings}", kind(component)) }
}

/// A component as a list: none, itself, or the members of a Sequence, which may be nested.
fn flatten<'a>(component: &'a Value, members: &str) -> Vec<&'a Value> {
    match component.get(members).and_then(Value::as_array) {
        Some(list) if kind(component) == "Sequence" => {
            list.iter().flat_map(|member| flatten(member, members)).collect()
        }
        _ if component.is_null() => Vec::new(),
        _ => vec![component],
    }
}

fn flag(component: &Value, name: &str, default: bool) -> bool {
    component.get(name).and_then(Value::as_bool).unwrap_or(default)
}

/// Digits (individual), Split by a known expression, ByteLevel: in this order, all but the last optional.
fn pre_tokenizer(component: &Value) -> Result<Settings> {
    let mut settings = Settings::plain(TokenizerKind::ByteLevelBpe);
    let list = flatten(component, "pretokenizers");
    let mut steps = list.iter().copied().peekable();
    if let Some(digits) = steps.next_if(|step| kind(step) == "Digits") {
        if !flag(digits, "individual_digits", false) {
            bail!("pre_tokenizer Digits with individual_digits false is not supported; expected true");
        }
        settings.individual_digits = true;
    }
    let split = steps.next_if(|step| kind(step) == "Split");
    if let Some(split) = split {
        settings.pre_tokenizer = split_expression(split)?;
    }
    let Some(byte_level) = steps.next_if(|step| kind(step) == "ByteLevel") else {
        let found = steps.next().map_or("none".to_owned(), describe);
        bail!(
            "pre_tokenizer {found} is not supported; expected ByteLevel, or Digits, Split (GPT-2 or Llama-3) \
             and ByteLevel in this order"
        );
    };
    if let Some(after) = steps.next() {
        bail!(
            "pre_tokenizer {} after ByteLevel is not supported; expected nothing after it",
            describe(after)
        );
    }
    settings.add_prefix_space = flag(byte_level, "add_prefix_space", true);
    match (split, flag(byte_level, "use_regex", true)) {
        (Some(_), true) => bail!("pre_tokenizer Split before ByteLevel with use_regex is not supported"),
        (Some(_), false) if settings.add_prefix_space => {
            bail!("pre_tokenizer Split before ByteLevel with add_prefix_space is not supported")
        }
        (None, true) => settings.pre_tokenizer = PreTokenizer::Gpt2,
        _ => {}
    }
    Ok(settings)
}

fn split_expression(split: &Value) -> Result<PreTokenizer> {
    let behavior = split.get("behavior").and_then(Value::as_str).unwrap_or_default();
    if behavior != "Isolated" || flag(split, "invert", false) {
        bail!("pre_tokenizer {} is not supported; expected behavior Isolated, not inverted", describe(split));
    }
    match split.pointer("/pattern/Regex").and_then(Value::as_str) {
        Some(GPT2) => Ok(PreTokenizer::Gpt2),
        Some(LLAMA3) => Ok(PreTokenizer::Llama3),
        _ => bail!(
            "pre_tokenizer Split by {} is not supported; expected the expression of GPT-2, {GPT2}, or of \
             Llama-3, {LLAMA3}",
            split.get("pattern").unwrap_or(&Value::Null)
        ),
    }
}

/// The BOS that a template adds; ByteLevel changes offsets only.
fn post_processor(component: &Value) -> Result<Option<u32>> {
    let mut bos = None;
    for step in flatten(component, "processors") {
        match kind(step) {
            "ByteLevel" => {}
            "TemplateProcessing" if bos.is_none() => bos = template(step)?,
            _ => bail!(
                "post_processor {} is not supported; expected ByteLevel, or one TemplateProcessing that adds a \
                 BOS token or nothing",
                describe(step)
            ),
        }
    }
    Ok(bos)
}

fn template(step: &Value) -> Result<Option<u32>> {
    let items = step.get("single").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |item: &Value| item.pointer("/SpecialToken/id").and_then(Value::as_str).map(str::to_owned);
    let is_text = |item: &Value| item.get("Sequence").is_some();
    let bos = match items {
        [text] if is_text(text) => return Ok(None),
        [bos, text] if is_text(text) => name(bos),
        _ => None,
    };
    let Some(bos) = bos else {
        let single = step.get("single").unwrap_or(&Value::Null);
        bail!(
            "post_processor TemplateProcessing {single} is not supported; expected a BOS token, then the text"
        );
    };
    let ids = step.get("special_tokens").and_then(|all| all.get(&bos)).and_then(|token| token.get("ids"));
    match ids.and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
        [id] => Ok(id.as_u64().and_then(|id| u32::try_from(id).ok())),
        other => bail!("post_processor TemplateProcessing: {bos:?} has ids {other:?}; expected one id"),
    }
}

fn model(json: Value) -> Result<Model> {
    let found = json.get("type").and_then(Value::as_str).unwrap_or("BPE").to_owned();
    if found != "BPE" {
        bail!(
            "model {found} is not supported; expected BPE on bytes (GPT-2, Llama-3), or give a SentencePiece \
             model as llama2.c's tokenizer.bin"
        );
    }
    let model: Model = serde_json::from_value(json).context("model BPE")?;
    if model.byte_fallback {
        bail!(
            "model BPE with byte_fallback is not supported in tokenizer.json; expected BPE on bytes, or give \
             the SentencePiece model as llama2.c's tokenizer.bin"
        );
    }
    if let Some(dropout) = model.dropout.filter(|&dropout| dropout != 0.0) {
        bail!("model BPE with dropout {dropout} is not supported; expected none");
    }
    let affixes = [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (name, affix) in affixes {
        if let Some(found) = affix.as_deref().filter(|affix| !affix.is_empty()) {
            bail!("model BPE with {name} {found:?} is not supported; expected none");
        }
    }
    Ok(model)
}
