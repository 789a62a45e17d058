//! The model of a `tokenizer.json`: BPE over bytes or characters, and Unigram.
//!
//! What decides is the pre-tokenizer: `ByteLevel` writes text in GPT-2's alphabet, and all tokens with it. All other
//! BPE models and Unigram hold characters, with a mark for the space.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use sprat_format::tokenizer::{NONE, Settings, TokenFlags, TokenizerKind};

use crate::import::tokenizer::draft::Draft;
use crate::import::tokenizer::gpt2::{
    AddedToken, SPACE_MARK, add_tokens, byte_level, merge_line, merge_table,
};
use crate::import::tokenizer::llama2c::byte_of;

#[derive(Deserialize)]
struct Bpe {
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
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

#[derive(Deserialize)]
struct Unigram {
    unk_id: Option<u32>,
    vocab: Vec<(String, f64)>,
    #[serde(default)]
    byte_fallback: bool,
}

pub fn read(file: &Path, settings: Settings, json: Value, added: &[AddedToken]) -> Result<Draft> {
    let found = json.get("type").and_then(Value::as_str);
    // Old files do not name BPE; Unigram is a list of tokens with scores.
    let is_list = json.get("vocab").is_some_and(Value::is_array);
    match found.unwrap_or(if is_list { "Unigram" } else { "BPE" }) {
        "BPE" => bpe(file, settings, serde_json::from_value(json).context("model BPE")?, added),
        "Unigram" if settings.kind == TokenizerKind::ByteLevelBpe => {
            bail!("model Unigram with the pre_tokenizer ByteLevel is not supported")
        }
        "Unigram" => unigram(file, settings, serde_json::from_value(json).context("model Unigram")?, added),
        other => bail!("model {other} is not supported; expected BPE or Unigram"),
    }
}

fn bpe(file: &Path, settings: Settings, model: Bpe, added: &[AddedToken]) -> Result<Draft> {
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
    let settings = Settings { ignore_merges: model.ignore_merges, fuse_unknown: model.fuse_unk, ..settings };
    if settings.kind == TokenizerKind::ByteLevelBpe {
        let draft = byte_level(file, settings, &model.vocab, &merges, added)?;
        let missing = draft.byte_tokens.iter().filter(|&&id| id == NONE).count();
        if let Some(unknown) = model.unk_token.filter(|_| missing > 0) {
            bail!(
                "{missing} of the 256 bytes have no token, and unk_token {unknown:?} stands for them; \
                 expected all bytes in the vocabulary, or no unk_token"
            );
        }
        return Ok(draft);
    }
    let unknown = model.unk_token.map(|unknown| {
        let id = model.vocab.get(&unknown).copied();
        let id = id.or_else(|| added.iter().find(|token| token.content == unknown).map(|token| token.id));
        id.with_context(|| format!("unk_token {unknown:?} is not in the vocabulary"))
    });
    let settings = Settings { unknown: unknown.transpose()?, byte_fallback: model.byte_fallback, ..settings };
    let mut draft = characters(file, settings, &model.vocab, added)?;
    draft.merges = merge_table(file, &model.vocab, &merges)?;
    Ok(draft)
}

fn unigram(file: &Path, settings: Settings, model: Unigram, added: &[AddedToken]) -> Result<Draft> {
    let Some(unknown) = model.unk_id.filter(|&id| (id as usize) < model.vocab.len()) else {
        bail!(
            "model Unigram with unk_id {:?}; expected one of its {} tokens",
            model.unk_id,
            model.vocab.len()
        );
    };
    let settings = Settings {
        kind: TokenizerKind::Unigram,
        unknown: Some(unknown),
        byte_fallback: model.byte_fallback,
        ..settings
    };
    let vocab: HashMap<String, u32> = model.vocab.iter().map(|(text, _)| text.clone()).zip(0..).collect();
    if vocab.len() != model.vocab.len() {
        bail!("model Unigram has a token twice; expected one id a token");
    }
    let mut draft = characters(file, settings, &vocab, added)?;
    if let Some((text, score)) = model.vocab.iter().find(|(_, score)| !score.is_finite()) {
        bail!("model Unigram: token {text:?} has the score {score}; expected a finite number");
    }
    draft.weights = model.vocab.iter().map(|&(_, score)| score).collect();
    let lowest = draft.weights.iter().copied().fold(f64::INFINITY, f64::min);
    draft.weights.resize(draft.tokens.len(), lowest);
    // What an unknown character costs in `tokenizers`.
    if let Some(score) = draft.weights.get_mut(unknown as usize) {
        *score = lowest - 10.0;
    }
    Ok(draft)
}

/// A vocabulary of characters; tokens like `<0x0A>` are bytes if the model falls back to them.
fn characters(
    file: &Path,
    settings: Settings,
    vocab: &HashMap<String, u32>,
    added: &[AddedToken],
) -> Result<Draft> {
    let mut draft = Draft::new(settings);
    let seen: HashSet<&str> = add_tokens(&mut draft, file, vocab, added)?;
    for (text, &id) in vocab.iter().filter(|(text, _)| !seen.contains(text.as_str())) {
        let byte = byte_of(text.as_bytes()).filter(|_| settings.byte_fallback);
        let (bytes, flags) = match byte {
            Some(byte) => (vec![byte], TokenFlags::BYTE),
            None if settings.unknown == Some(id) => {
                (text.clone().into_bytes(), TokenFlags::SPECIAL.with(TokenFlags::CONTROL))
            }
            // No text has spaces where spaces become marks.
            None if settings.space_mark && text.contains(' ') => {
                (text.clone().into_bytes(), TokenFlags::OUTSIDE)
            }
            None if settings.space_mark => (text.replace(SPACE_MARK, " ").into_bytes(), TokenFlags::NORMAL),
            None => (text.clone().into_bytes(), TokenFlags::NORMAL),
        };
        if let Some(slot) = byte.and_then(|byte| draft.byte_tokens.get_mut(usize::from(byte))) {
            *slot = id;
        }
        draft.set(file, id, bytes, flags)?;
    }
    let missing = draft.byte_tokens.iter().filter(|&&id| id == NONE).count();
    match missing {
        0 => {}
        256 => draft.settings.byte_fallback = false,
        _ if settings.byte_fallback => {
            bail!("byte_fallback, but {missing} of the 256 bytes have no token; expected all or none")
        }
        _ => {}
    }
    Ok(draft)
}
