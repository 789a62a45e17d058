//! A vocabulary without the tokens that a domain never uses.
//!
//! The embedding (and the output head, where it is another matrix) has a row for every token, and is most of a small
//! model; a device that only ever speaks of one thing needs few of them. Which, a text of that domain says: those that
//! it is encoded to, and those on the way there, since a token of BPE is merged from others. Always kept are special
//! and added tokens, the tokens of single bytes, and single characters where these cannot stand in for them, so that
//! every text can still be encoded, if to more tokens.
//!
//! What is kept keeps its order, so merges and scores still prefer what they preferred: the text of the domain is
//! encoded to the same pieces as before, and the logits of the kept tokens are the same bits, with the others left
//! out. What another text loses is measured on a part of it that was not looked at.

mod derivation;
mod rebuild;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use sprat::tokenizer::scratch_words;
use sprat::{Special, Tokenizer};
use sprat_format::tokenizer::{TokenFlags, TokenizerKind, TokenizerTables};

use crate::import::Checkpoint;
use crate::table::grouped;
use derivation::derivation;
use rebuild::rebuilt;

/// The share of a text, its beginning, that tokens are taken from when its end is to say what they are worth.
const LEARNED_PERCENT: usize = 90;

/// How a vocabulary is trimmed.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrimOptions<'t> {
    /// Another text of the domain, to measure on what was not looked at. By default the last tenth of the text stands
    /// for it, with the tokens that the rest would have kept.
    pub held_out: Option<&'t str>,
    /// Keep at most so many tokens: the most frequent ones.
    pub most_tokens: Option<usize>,
}

/// How many tokens a text needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Bytes of text.
    pub bytes: usize,
    /// Tokens with the whole vocabulary.
    pub before: usize,
    /// Tokens with the trimmed one.
    pub after: usize,
}

impl Lengths {
    fn to_text(self) -> String {
        let rate = |tokens: usize| tokens as f64 / self.bytes.max(1) as f64;
        format!(
            "{:.4} tokens a byte instead of {:.4}, {:+.2} % ({} bytes)",
            rate(self.after),
            rate(self.before),
            100.0 * (self.after as f64 / self.before.max(1) as f64 - 1.0),
            grouped(self.bytes as u64)
        )
    }
}

/// What was trimmed, and what that costs.
#[derive(Clone, Debug, Serialize)]
pub struct TrimReport {
    /// Rows of the vocabulary before.
    pub tokens_before: usize,
    /// Rows that are kept.
    pub tokens_kept: usize,
    /// Of these, kept in any case.
    pub always: usize,
    /// Of these, tokens that the text is encoded to, those that are kept in any case among them.
    pub used: usize,
    /// Bytes of the tokenizer before.
    pub tokenizer_bytes_before: usize,
    /// Bytes of the tokenizer after.
    pub tokenizer_bytes_after: usize,
    /// The text of the domain.
    pub text: Lengths,
    /// A text that was not looked at.
    pub held_out: Lengths,
    /// Whether that was a part of the text of the domain.
    pub split: bool,
}

impl TrimReport {
    /// As text.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "vocabulary: {} of {} tokens kept ({} of them in any case, {} used by the text)\n",
            grouped(self.tokens_kept as u64),
            grouped(self.tokens_before as u64),
            grouped(self.always as u64),
            grouped(self.used as u64)
        );
        let _ = writeln!(
            out,
            "tokenizer: {} bytes instead of {}",
            grouped(self.tokenizer_bytes_after as u64),
            grouped(self.tokenizer_bytes_before as u64)
        );
        let _ = writeln!(out, "the text: {}", self.text.to_text());
        let held_out = match self.split {
            true => format!("its last tenth, with the tokens of the first {LEARNED_PERCENT} %"),
            false => "held-out text".into(),
        };
        let _ = writeln!(out, "{held_out}: {}", self.held_out.to_text());
        out
    }

    /// What a packed file says of it.
    fn recipe(&self) -> String {
        let Lengths { bytes, before, after } = self.held_out;
        let bytes = bytes.max(1) as f64;
        format!(
            "vocabulary trimmed from {} to {} tokens; held-out text needs {:.4} instead of {:.4} tokens a byte",
            self.tokens_before,
            self.tokens_kept,
            after as f64 / bytes,
            before as f64 / bytes
        )
    }
}

/// Trims a checkpoint's vocabulary to what `text` uses.
///
/// # Errors
/// A checkpoint without a tokenizer, or a bound on the tokens that is less than what must be kept.
pub fn trim(checkpoint: &mut Checkpoint, text: &str, options: &TrimOptions<'_>) -> Result<TrimReport> {
    let section = checkpoint.tokenizer.as_deref();
    let section = section.context("a vocabulary is trimmed by its tokenizer, and the model has none")?;
    let before = tokenizer(section)?;
    let specials: BTreeSet<u32> = checkpoint.bos.into_iter().chain(checkpoint.end_tokens.clone()).collect();
    let chosen = choose(&before, &specials, text, options.most_tokens)?;
    let (trimmed, kept) = rebuilt(before.tables(), &chosen.kept)?;
    let after = tokenizer(&trimmed)?;
    let held_out = match options.held_out {
        Some(text) => lengths(&before, &after, text)?,
        None => {
            let (learned, rest) = text.split_at(text.floor_char_boundary(text.len() * LEARNED_PERCENT / 100));
            let chosen = choose(&before, &specials, learned, options.most_tokens)?;
            lengths(&before, &tokenizer(&rebuilt(before.tables(), &chosen.kept)?.0)?, rest)?
        }
    };
    let report = TrimReport {
        tokens_before: checkpoint.config.vocab_size as usize,
        tokens_kept: kept.len(),
        always: chosen.always,
        used: chosen.used,
        tokenizer_bytes_before: section.len(),
        tokenizer_bytes_after: trimmed.len(),
        text: lengths(&before, &after, text)?,
        held_out,
        split: options.held_out.is_none(),
    };
    checkpoint.select_tokens(kept, trimmed);
    checkpoint.recipe = report.recipe();
    Ok(report)
}

/// The tokens that are kept.
struct Chosen {
    /// Their ids.
    kept: BTreeSet<u32>,
    always: usize,
    used: usize,
}

/// Decides which tokens a text needs.
fn choose(
    tokenizer: &Tokenizer<'_>,
    specials: &BTreeSet<u32>,
    text: &str,
    most_tokens: Option<usize>,
) -> Result<Chosen> {
    let tables = tokenizer.tables();
    let mut kept = always_kept(tables, specials);
    let always = kept.len();
    let counts = uses(tokenizer, text)?;
    let used = counts.len();
    match most_tokens {
        None => {
            for &id in counts.keys() {
                kept.insert(id);
                kept.extend(derivation(tables, id));
            }
        }
        Some(most) => {
            ensure!(
                always <= most,
                "at most {most} tokens were asked for, and {always} are kept in any case (special and added \
                 tokens, single bytes and characters): ask for more"
            );
            let mut frequent: Vec<_> = counts.iter().collect();
            frequent.sort_by_key(|&(&id, &count)| (std::cmp::Reverse(count), id));
            for (&id, _) in frequent {
                let new: BTreeSet<u32> =
                    derivation(tables, id).into_iter().chain([id]).filter(|id| !kept.contains(id)).collect();
                if kept.len() + new.len() <= most {
                    kept.extend(new);
                }
            }
        }
    }
    Ok(Chosen { kept, always, used })
}

/// Tokens without which some text could not be encoded, or that are not of text at all.
fn always_kept(tables: &TokenizerTables<'_>, specials: &BTreeSet<u32>) -> BTreeSet<u32> {
    let settings = tables.settings();
    let not_text =
        TokenFlags::SPECIAL.with(TokenFlags::ADDED).with(TokenFlags::BYTE).with(TokenFlags::CONTROL);
    let bytes_suffice = settings.byte_fallback || settings.kind == TokenizerKind::ByteLevelBpe;
    let is_kept = |id: &u32| {
        let (flags, bytes) = (tables.flags(*id), tables.token(*id).unwrap_or_default());
        if flags.any(TokenFlags::UNUSED) {
            return false;
        }
        let mut characters = std::str::from_utf8(bytes).unwrap_or_default().chars();
        let single = characters.next().is_some() && characters.next().is_none();
        // A model has hardly seen the byte of a character that has a token of its own: plain letters stay.
        flags.any(not_text) || single && (bytes.len() == 1 || !bytes_suffice)
    };
    let added = (0..tables.added_count()).filter_map(|place| tables.added(place)).map(|added| added.id);
    let bytes = (0..=u8::MAX).filter_map(|byte| tables.byte_token(byte));
    let others = added.chain(bytes).chain(settings.unknown).chain(specials.iter().copied());
    (0..tables.vocab_size()).filter(is_kept).chain(others).collect()
}

/// The tokens that a text is encoded to, with how often: as a whole, and each line by itself, as prompts are.
fn uses(tokenizer: &Tokenizer<'_>, text: &str) -> Result<BTreeMap<u32, usize>> {
    let mut counts = BTreeMap::new();
    let lines = text.lines().filter(|line| !line.is_empty());
    for part in std::iter::once(text).chain(lines) {
        for id in encode(tokenizer, part)? {
            *counts.entry(id).or_default() += 1;
        }
    }
    Ok(counts)
}

fn tokenizer(section: &[u8]) -> Result<Tokenizer<'_>> {
    let tables = TokenizerTables::parse(section);
    Ok(Tokenizer::new(tables.map_err(|error| anyhow!("the tokenizer cannot be read: {error}"))?))
}

/// The tokens of a text, in which special tokens are written out.
fn encode(tokenizer: &Tokenizer<'_>, text: &str) -> Result<Vec<u32>> {
    let (mut scratch, mut ids) = (vec![0; scratch_words(text.len())], vec![0; text.len() + 2]);
    let count = tokenizer
        .encode(text, Special::Parse, &mut scratch, &mut ids)
        .map_err(|error| anyhow!("the text cannot be tokenized: {error}"))?;
    ids.truncate(count);
    Ok(ids)
}

fn lengths(before: &Tokenizer<'_>, after: &Tokenizer<'_>, text: &str) -> Result<Lengths> {
    let count = |tokenizer| encode(tokenizer, text).map(|ids| ids.len());
    Ok(Lengths { bytes: text.len(), before: count(before)?, after: count(after)? })
}

#[cfg(test)]
mod tests;
