//! GPT-2's own files, `vocab.json` and `merges.txt`, and the vocabulary that they share with `tokenizer.json`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sprat_format::tokenizer::{AddedFlags, Merge, NONE, Settings, TokenFlags, TokenizerKind};

use super::draft::{AddedEntry, Draft};
use super::split::{GPT2, Split};
use super::{TokenizerImport, bytes};

/// The one special token of GPT-2: it begins and ends texts.
const END_OF_TEXT: &str = "<|endoftext|>";

/// A token matched before anything else.
pub struct AddedToken {
    pub id: u32,
    pub content: String,
    /// The text that it is found by.
    pub pattern: String,
    pub flags: AddedFlags,
    pub special: bool,
}

/// Imports GPT-2's `vocab.json` and `merges.txt`. `<|endoftext|>` is special if the vocabulary has it.
///
/// # Errors
/// A file that cannot be read, merges that do not fit the vocabulary, a vocabulary larger than `model_vocab`.
pub fn gpt2_files(vocab_file: &Path, merges_file: &Path, model_vocab: u32) -> Result<TokenizerImport> {
    let text = fs::read_to_string(vocab_file).with_context(|| format!("{}", vocab_file.display()))?;
    let vocab: HashMap<String, u32> = serde_json::from_str(&text).with_context(|| {
        format!("{}: expected one JSON object of token texts and ids", vocab_file.display())
    })?;
    let text = fs::read_to_string(merges_file).with_context(|| format!("{}", merges_file.display()))?;
    let mut merges = Vec::new();
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"));
    for (number, line) in lines {
        let pair = merge_line(line).with_context(|| {
            let (file, number) = (merges_file.display(), number + 1);
            format!("{file}: line {number} is {line:?}; expected two tokens with one space between")
        })?;
        merges.push(pair);
    }
    let settings = Settings::plain(TokenizerKind::ByteLevelBpe);
    let end_of_text = vocab.get(END_OF_TEXT).copied();
    let added = end_of_text.map(|id| AddedToken {
        id,
        content: END_OF_TEXT.to_owned(),
        pattern: END_OF_TEXT.to_owned(),
        flags: AddedFlags::default(),
        special: true,
    });
    let mut draft = byte_level(vocab_file, settings, &vocab, &merges, &Vec::from_iter(added))?;
    draft.cut_by(&[Split::isolated(GPT2)])?;
    let mut import = TokenizerImport::new(vocab_file, &draft, model_vocab)?;
    import.bos = end_of_text;
    import.add_eos(end_of_text);
    Ok(import)
}

/// The two tokens of a line of a merge list.
pub fn merge_line(line: &str) -> Option<(String, String)> {
    let (left, right) = line.split_once(' ')?;
    let is_token = |part: &str| !part.is_empty() && !part.contains(' ');
    (is_token(left) && is_token(right)).then(|| (left.to_owned(), right.to_owned()))
}

/// A byte-level tokenizer: tokens and merges in GPT-2's alphabet, added tokens as they are.
pub fn byte_level(
    file: &Path,
    settings: Settings,
    vocab: &HashMap<String, u32>,
    merges: &[(String, String)],
    added: &[AddedToken],
) -> Result<Draft> {
    let mut draft = Draft::new(settings);
    let name = file.display();
    let seen = add_tokens(&mut draft, file, vocab, added)?;
    for AddedToken { content, .. } in added {
        if vocab.contains_key(content)
            && bytes::decode(content).is_some_and(|bytes| bytes != content.as_bytes())
        {
            bail!(
                "{name}: {content:?} is an added token with this text, and in the vocabulary a byte-level token \
                 with another; the two meanings cannot be told apart"
            );
        }
    }
    for (text, &id) in vocab.iter().filter(|(text, _)| !seen.contains(text.as_str())) {
        match bytes::decode(text) {
            Some(bytes) => draft.set(file, id, bytes, TokenFlags::NORMAL)?,
            // No text leads to it, since no byte is written with these characters.
            None => draft.set(file, id, text.clone().into_bytes(), TokenFlags::OUTSIDE)?,
        }
    }
    for (byte, slot) in (0..=255).zip(&mut draft.byte_tokens) {
        *slot = vocab.get(bytes::character(byte).to_string().as_str()).copied().unwrap_or(NONE);
        if let Some(token) = added.iter().find(|token| token.special && token.id == *slot) {
            bail!(
                "{name}: special token {:?} is also the token of byte {byte:#04x}; then ordinary text would \
                 become a special token",
                token.content
            );
        }
    }
    draft.merges = merge_table(file, vocab, merges)?;
    Ok(draft)
}

/// Ids without a token, at most.
const MAX_UNUSED: usize = 1 << 14;

/// Puts the added tokens into a draft; their texts.
pub fn add_tokens<'a>(
    draft: &mut Draft,
    file: &Path,
    vocab: &HashMap<String, u32>,
    added: &'a [AddedToken],
) -> Result<HashSet<&'a str>> {
    let name = file.display();
    // A table has a place for every id up to the largest: a few tokens cannot ask for a million.
    let count = vocab.len() + added.len();
    let largest = vocab.values().copied().chain(added.iter().map(|token| token.id)).max().unwrap_or(0);
    if largest as usize > count + MAX_UNUSED {
        bail!(
            "{name}: a token has id {largest}, and there are {count} tokens; at most {MAX_UNUSED} ids may be unused"
        );
    }
    let mut seen = HashSet::new();
    for token in added {
        let AddedToken { id, content, .. } = token;
        if !seen.insert(content.as_str()) {
            bail!("{name}: added token {content:?} is there twice; expected one id for it");
        }
        let mut flags = TokenFlags::ADDED;
        if token.special {
            flags = flags.with(TokenFlags::SPECIAL);
        }
        match vocab.get(content) {
            Some(known) if known != id => {
                bail!("{name}: added token {content:?} has id {id}, but id {known} in the vocabulary");
            }
            Some(_) => {}
            None => flags = flags.with(TokenFlags::OUTSIDE),
        }
        let content =
            if draft.settings.space_mark { content.replace(SPACE_MARK, " ") } else { content.clone() };
        draft.set(file, *id, content.into_bytes(), flags)?;
        let pattern = token.pattern.clone().into_bytes();
        draft.added.push(AddedEntry { id: *id, flags: token.flags, pattern });
    }
    Ok(seen)
}

/// What SentencePiece writes for a space.
pub const SPACE_MARK: char = '\u{2581}';

/// Merges as ids, ranked in the order of the list; of equal pairs the last counts, as in `tokenizers`.
pub fn merge_table(
    file: &Path,
    vocab: &HashMap<String, u32>,
    merges: &[(String, String)],
) -> Result<Vec<Merge>> {
    let id = |text: &str, pair: &(String, String)| {
        vocab.get(text).copied().with_context(|| {
            let (file, (left, right)) = (file.display(), pair);
            format!("{file}: merge of {left:?} and {right:?}: token {text:?} is not in the vocabulary")
        })
    };
    let mut last: HashMap<(u32, u32), usize> = HashMap::new();
    let mut table = Vec::with_capacity(merges.len());
    for (place, pair) in merges.iter().enumerate() {
        let (left, right) = (id(&pair.0, pair)?, id(&pair.1, pair)?);
        let merged = id(&format!("{}{}", pair.0, pair.1), pair)?;
        last.insert((left, right), place);
        table.push((place, Merge { left, right, rank: 0, id: merged }));
    }
    table.retain(|(place, merge)| last.get(&(merge.left, merge.right)) == Some(place));
    Ok(table.into_iter().zip(0..).map(|((_, merge), rank)| Merge { rank, ..merge }).collect())
}
