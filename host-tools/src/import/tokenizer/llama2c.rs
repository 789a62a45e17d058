//! llama2.c's `tokenizer.bin`: SentencePiece pieces with scores, as `tokenizer.py` of that project exports them.
//!
//! The longest token's length (u32), then for each token its score (f32), its length (i32) and its bytes, little
//! endian. The file names neither kinds nor counts; llama2.c's `encode` and `decode` fix them: 0 is the unknown
//! token, 1 begins and 2 ends a text, byte b is token b + 3.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sprat_format::tokenizer::{NONE, Prefix, Settings, TokenFlags, TokenizerKind};

use super::TokenizerImport;
use super::draft::Draft;

/// The score that a merge has to beat in llama2.c.
const WORST_SCORE: f32 = -1e10;

/// Imports a `tokenizer.bin` for a model with `model_vocab` tokens.
///
/// # Errors
/// A file that cannot be read, is cut off, is no such file, or has more tokens than the model.
pub fn llama2c(file: &Path, model_vocab: u32) -> Result<TokenizerImport> {
    let name = file.display();
    let content = fs::read(file).with_context(|| format!("{name}"))?;
    let tokens = read(&content).with_context(|| format!("{name}: not a tokenizer.bin of llama2.c"))?;
    let settings = Settings {
        prefix: Prefix::Text,
        strip_first_space: true,
        byte_fallback: true,
        unknown: Some(0),
        ..Settings::plain(TokenizerKind::SentencePieceBpe)
    };
    let mut draft = Draft::new(settings);
    for (id, (_, text)) in (0..).zip(&tokens) {
        let byte = byte_of(text);
        let (bytes, flags) = match byte {
            _ if id < 3 => (text.to_vec(), TokenFlags::SPECIAL.with(TokenFlags::CONTROL)),
            Some(byte) => (vec![byte], TokenFlags::BYTE),
            None if text.is_empty() => (Vec::new(), TokenFlags::OUTSIDE),
            None => (text.to_vec(), TokenFlags::NORMAL),
        };
        if let Some(byte) = byte
            && id == u32::from(byte) + 3
            && let Some(slot) = draft.byte_tokens.get_mut(usize::from(byte))
        {
            *slot = id;
        }
        draft.set(file, id, bytes, flags)?;
    }
    draft.settings.byte_fallback = draft.byte_tokens.iter().any(|&id| id != NONE);
    draft.scores = ranks(tokens.iter().map(|(score, _)| *score).collect(), WORST_SCORE);
    let mut import = TokenizerImport::new(file, &draft, model_vocab)?;
    if import.vocab_size < 3 {
        bail!("{name}: {} tokens found; expected at least the unknown token, BOS and EOS", import.vocab_size);
    }
    (import.bos, import.add_bos) = (Some(1), true);
    // llama2.c ends a text at BOS too: its stories follow one another with nothing else between them.
    import.add_eos([1, 2]);
    Ok(import)
}

/// Scores and bytes of all tokens.
fn read(content: &[u8]) -> Result<Vec<(f32, &[u8])>> {
    let (longest, mut rest) = content.split_first_chunk().context("it is shorter than 4 bytes")?;
    let longest = u32::from_le_bytes(*longest) as usize;
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let id = tokens.len();
        let cut_off = || format!("the file ends in the middle of token {id}");
        let (score, after) = rest.split_first_chunk().with_context(cut_off)?;
        let (length, after) = after.split_first_chunk().with_context(cut_off)?;
        let (score, length) = (f32::from_le_bytes(*score), u32::from_le_bytes(*length) as usize);
        if length > longest {
            bail!(
                "token {id} is {length} bytes long; the longest is {longest}, says the beginning of the file"
            );
        }
        if !score.is_finite() {
            bail!("token {id} has the score {score}; expected a finite number");
        }
        let (text, after) = after.split_at_checked(length).with_context(cut_off)?;
        tokens.push((score, text));
        rest = after;
    }
    Ok(tokens)
}

/// The byte that a token like `<0x0A>` stands for.
pub fn byte_of(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits).ok()?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The place of each score among all different scores, the best first; none for scores that never win, which are
/// those up to `worst`.
pub fn ranks(scores: Vec<f32>, worst: f32) -> Vec<u32> {
    let mut order = scores.clone();
    order.sort_unstable_by(|a, b| b.total_cmp(a));
    order.dedup();
    let rank = |score: f32| order.partition_point(|&better| better > score) as u32;
    scores.iter().map(|&score| if score > worst { rank(score) } else { NONE }).collect()
}
