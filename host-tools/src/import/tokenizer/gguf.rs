//! The vocabulary of a GGUF file: SentencePiece pieces with scores ("llama") or byte-level BPE with merges ("gpt2").
//!
//! GGUF names a pre-tokenizer and does not describe it; what the names mean is in llama.cpp (`llama-vocab.cpp`), as
//! are the rules for special tokens. A file says nothing of Unicode forms, and llama.cpp applies none: neither does
//! this.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sprat_format::tokenizer::{AddedFlags, Prefix, Settings, TokenizerKind};

use super::TokenizerImport;
use super::draft::Draft;
use super::gpt2::{AddedToken, byte_level, merge_line};
use super::sentencepiece::{Matching, Piece, PieceKind, pieces};
use super::split::{GPT2, Split};
use crate::import::gguf::Metadata;

const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";

/// The expressions that the name of a pre-tokenizer stands for, and whether whole pieces are sought first.
fn expressions(name: &str) -> Option<(&'static [&'static str], bool)> {
    Some(match name {
        "gpt-2" | "gpt2" | "gpt-neox" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion" => (&[GPT2], false),
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" => (&[LLAMA3], true),
        "dbrx" | "smaug-bpe" => (&[LLAMA3], false),
        "qwen2" | "stablelm2" | "deepseek-r1-qwen" => (&[QWEN2], false),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => (&[r"\p{N}", GPT2], false),
        "falcon" => (&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, THREE_DIGITS], false),
        "bloom" | "poro-chat" | "gpt3-finnish" => (&[BLOOM], false),
        "default" => (&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", THREE_DIGITS], false),
        _ => return None,
    })
}

/// Imports the vocabulary of a GGUF file's metadata; `None` if it has none.
///
/// # Errors
/// A key that is missing or of another type, a kind of vocabulary or pre-tokenizer that is not supported (by name), a
/// vocabulary larger than `model_vocab`.
pub fn gguf(file: &Path, metadata: &Metadata<'_>, model_vocab: u32) -> Result<Option<TokenizerImport>> {
    let model = metadata.text("tokenizer.ggml.model")?;
    let convert = || match model {
        None | Some("none" | "no_vocab") => Ok(None),
        Some("llama") => sentence_piece(file, metadata).map(|draft| Some((draft, true))),
        Some("gpt2") => byte_pairs(file, metadata).map(Some),
        Some(other) => bail!(
            "tokenizer.ggml.model = {other:?} is not supported; expected \"llama\" or \"gpt2\", or give the model's \
             own tokenizer with --tokenizer"
        ),
    };
    let Some((draft, adds_bos)) = convert().with_context(|| format!("{}", file.display()))? else {
        return Ok(None);
    };
    let mut import = TokenizerImport::new(file, &draft, model_vocab)?;
    let id = |name: &str| -> Result<Option<u32>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = metadata.count(&key)? else { return Ok(None) };
        ensure!(id < model_vocab, "{}: {key} = {id}; expected an id below {model_vocab}", file.display());
        Ok(Some(id))
    };
    import.bos = id("bos")?;
    import.add_bos =
        import.bos.is_some() && metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    for name in ["eos", "eot"] {
        import.add_eos(id(name)?);
    }
    for (name, key) in [("bos_token", "bos"), ("eos_token", "eos")] {
        if let Some(id) = id(key)? {
            import.name_token(name, id);
        }
    }
    import.chat_template = metadata.text("tokenizer.chat_template")?.map(str::to_owned);
    Ok(Some(import))
}

/// The tokens with their kinds; without kinds all are normal.
fn vocabulary<'a>(metadata: &Metadata<'a>) -> Result<Vec<(&'a str, PieceKind)>> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    const KINDS: &str = "tokenizer.ggml.token_type";
    let tokens =
        metadata.texts(TOKENS)?.with_context(|| format!("{TOKENS} is missing; expected the vocabulary"))?;
    let kinds = metadata.integers(KINDS)?.unwrap_or_else(|| vec![1; tokens.len()]);
    ensure!(
        kinds.len() == tokens.len(),
        "{KINDS} has {} values for {} tokens; expected one each",
        kinds.len(),
        tokens.len()
    );
    let kind = |(&text, &kind): (&&'a str, &i32)| {
        let known = PieceKind::from_number(kind.into());
        Ok((text, known.with_context(|| format!("token {text:?} is of type {kind}; expected 1 to 6"))?))
    };
    tokens.iter().zip(&kinds).map(kind).collect()
}

/// Whether white space behind special tokens goes with them, which llama.cpp decides by the model's name.
fn right_strips(metadata: &Metadata<'_>, token: &str) -> Result<bool> {
    let name = metadata.text("general.name")?.unwrap_or_default().to_lowercase();
    let is_phi3 = name.contains("phi-3") || name.contains("phi3");
    Ok(is_phi3 && !["<unk>", "<s>", "<|endoftext|>"].contains(&token))
}

fn sentence_piece(file: &Path, metadata: &Metadata<'_>) -> Result<Draft> {
    const SCORES: &str = "tokenizer.ggml.scores";
    let tokens = vocabulary(metadata)?;
    let scores =
        metadata.numbers(SCORES)?.with_context(|| format!("{SCORES} is missing; expected one a token"))?;
    ensure!(
        scores.len() == tokens.len(),
        "{SCORES} has {} values for {} tokens; expected one each",
        scores.len(),
        tokens.len()
    );
    let piece = |((text, kind), score): (&(&str, PieceKind), &f32)| {
        // No text leads to a token that is not used.
        let text = if *kind == PieceKind::Unused { "" } else { text };
        Piece { text: text.to_owned(), score: *score, kind: *kind }
    };
    let list: Vec<Piece> = tokens.iter().zip(&scores).map(piece).collect();
    let prefixed = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let settings = Settings {
        prefix: if prefixed { Prefix::Segments } else { Prefix::None },
        strip_first_space: prefixed,
        ..Settings::plain(TokenizerKind::SentencePieceBpe)
    };
    let mut draft = pieces(file, settings, &list, Matching::RawText)?;
    let unknown = metadata.count("tokenizer.ggml.unknown_token_id")?;
    draft.settings.unknown = unknown.filter(|&id| (id as usize) < list.len()).or(draft.settings.unknown);
    for added in &mut draft.added {
        let text = list.get(added.id as usize).map_or("", |piece| piece.text.as_str());
        if right_strips(metadata, text)? {
            added.flags = added.flags.with(AddedFlags::RIGHT_STRIP);
        }
    }
    draft.cut_by(&[])?;
    Ok(draft)
}

/// The tokenizer, and whether it puts BOS before a text if the file does not say.
fn byte_pairs(file: &Path, metadata: &Metadata<'_>) -> Result<(Draft, bool)> {
    const MERGES: &str = "tokenizer.ggml.merges";
    let name = metadata.text("tokenizer.ggml.pre")?.unwrap_or("default");
    let (splits, ignore_merges) = expressions(name).with_context(|| {
        format!(
            "tokenizer.ggml.pre = {name:?} is not supported; give the model's own tokenizer.json with --tokenizer"
        )
    })?;
    let (mut vocab, mut added) = (HashMap::new(), Vec::new());
    for (id, (text, kind)) in (0..).zip(vocabulary(metadata)?) {
        if kind == PieceKind::Unused || text.is_empty() {
            continue;
        }
        if matches!(kind, PieceKind::Control | PieceKind::Unknown | PieceKind::UserDefined) {
            let flags = match right_strips(metadata, text)? {
                true => AddedFlags::RIGHT_STRIP,
                false => AddedFlags::default(),
            };
            let special = kind != PieceKind::UserDefined;
            added.push(AddedToken { id, content: text.to_owned(), pattern: text.to_owned(), flags, special });
        }
        if let Some(other) = vocab.insert(text.to_owned(), id) {
            bail!("token {text:?} has the ids {other} and {id}; expected one");
        }
    }
    let lines =
        metadata.texts(MERGES)?.with_context(|| format!("{MERGES} is missing; expected the merges"))?;
    let merge = |(place, line): (usize, &&str)| {
        merge_line(line)
            .with_context(|| format!("{MERGES}[{place}] = {line:?}; expected two tokens, one space between"))
    };
    let merges: Vec<_> = lines.iter().enumerate().map(merge).collect::<Result<_>>()?;
    let settings = Settings { ignore_merges, ..Settings::plain(TokenizerKind::ByteLevelBpe) };
    let mut draft = byte_level(file, settings, &vocab, &merges, &added)?;
    draft.cut_by(&splits.iter().map(|expression| Split::isolated(*expression)).collect::<Vec<_>>())?;
    Ok((draft, expressions(name) == Some((&[LLAMA3], true))))
}
