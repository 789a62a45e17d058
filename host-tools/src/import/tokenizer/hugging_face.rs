//! Hugging Face's `tokenizer.json`: a pipeline of named components, each taken over exactly or refused by name.
//!
//! Each component is checked: one that the runtime does the same way becomes settings and tables, any other is an
//! error that names it. Truncation and padding are no part of a text's tokens and are ignored, as is everything
//! about offsets.

mod model;
mod normalizer;
mod post_processor;
mod pre_tokenizer;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use sprat_format::tokenizer::{AddedFlags, Prefix, Settings, TokenizerKind};

use self::pre_tokenizer::PreTokenizer;
use super::TokenizerImport;
use super::draft::Draft;
use super::gpt2::{AddedToken, SPACE_MARK};
use super::normalization::Form;

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
    let mut import = TokenizerImport::new(file, &draft, model_vocab)?;
    (import.bos, import.add_bos) = (bos, bos.is_some());
    Ok(import)
}

fn convert(file: &Path, json: File) -> Result<(Draft, Option<u32>)> {
    let normalizer = normalizer::read(&json.normalizer)?;
    let pieces = pre_tokenizer::read(&json.pre_tokenizer, &normalizer)?;
    let strip_first_space = decoder(&json.decoder, &pieces)?;
    let bos = post_processor::read(&json.post_processor)?;
    let prefix = match (normalizer.prepends, pieces.prefix) {
        (false, prefix) => prefix,
        (true, Prefix::None) => Prefix::Segments,
        (true, _) => bail!("normalizer Prepend with a pre_tokenizer that adds a space is not supported"),
    };
    let settings = Settings {
        prefix,
        space_mark: normalizer.marks_spaces || pieces.marks_spaces,
        strip_first_space,
        ..Settings::plain(if pieces.is_byte_level {
            TokenizerKind::ByteLevelBpe
        } else {
            TokenizerKind::CharacterBpe
        })
    };
    let mut added = Vec::new();
    for token in json.added_tokens.into_iter().filter(|token| !token.content.is_empty()) {
        let flags = [
            (token.single_word, AddedFlags::SINGLE_WORD),
            (token.lstrip, AddedFlags::LEFT_STRIP),
            (token.rstrip, AddedFlags::RIGHT_STRIP),
            (token.normalized, AddedFlags::SECOND_PASS),
        ];
        let set = flags.into_iter().filter(|(set, _)| *set);
        let flags = set.fold(AddedFlags::default(), |sum, (_, flag)| sum.with(flag));
        let pattern = if token.normalized { normalizer.apply(&token.content) } else { token.content.clone() };
        // A normalized pattern is sought where marks are spaces already.
        let pattern = match token.normalized && settings.space_mark {
            true => pattern.replace(SPACE_MARK, " "),
            false => pattern,
        };
        if pattern.is_empty() {
            bail!("added token {:?} is empty when normalized; expected some text", token.content);
        }
        added.push(AddedToken {
            id: token.id,
            content: token.content,
            pattern,
            flags,
            special: token.special,
        });
    }
    let mut draft = model::read(file, settings, json.model, &added)?;
    draft.form = normalizer.form.map(Form::new).unwrap_or_default();
    draft.cut_by(&pieces.splits)?;
    Ok((draft, bos))
}

/// Whether decoding takes one space off the beginning. All decoders that give back the text of byte-level tokens, or
/// of tokens with marks for spaces, do the same as the runtime otherwise.
fn decoder(component: &Value, pieces: &PreTokenizer) -> Result<bool> {
    let text = |step: &Value, name: &str| step.pointer(name).and_then(Value::as_str).map(str::to_owned);
    let mut strips = false;
    for step in flatten(component, "decoders") {
        let known = match kind(step) {
            "ByteLevel" => pieces.is_byte_level,
            "ByteFallback" | "Fuse" => !pieces.is_byte_level,
            "Metaspace" => {
                strips = text(step, "/prepend_scheme").as_deref() != Some("never")
                    && flag(step, "add_prefix_space", true);
                !pieces.is_byte_level
            }
            "Replace" => {
                let (from, to) = (text(step, "/pattern/String"), text(step, "/content"));
                from.as_deref() == Some("\u{2581}") && to.as_deref() == Some(" ")
            }
            "Strip" => {
                let count = |name: &str| step.get(name).and_then(Value::as_u64);
                strips = text(step, "/content").as_deref() == Some(" ") && count("start") == Some(1);
                strips && count("stop") == Some(0)
            }
            _ => false,
        };
        if !known {
            bail!(
                "decoder {} is not supported; expected ByteLevel, or Replace of U+2581 by a space, ByteFallback, Fuse \
                 and Strip of one space in front, or Metaspace",
                describe(step)
            );
        }
    }
    Ok(strips)
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
