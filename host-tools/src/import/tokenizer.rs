//! Tokenizers of other projects, made into the `TOKN` section of a packed file.
//!
//! Five sources: Hugging Face's `tokenizer.json` (BPE over bytes or characters, Unigram), GPT-2's `vocab.json` with
//! `merges.txt`, SentencePiece's `tokenizer.model`, the vocabulary of a GGUF file, and llama2.c's `tokenizer.bin`.
//! What the runtime cannot do exactly as the original does is refused by name: a tokenizer that is almost right
//! makes a model that is quietly worse. All sorting happens here, and so does everything that needs Unicode tables
//! or regular expressions, of which the section gets what it needs and no more.

mod bytes;
mod classes;
pub mod draft;
mod gguf;
mod gpt2;
mod hugging_face;
mod llama2c;
mod normalization;
mod sentencepiece;
mod settings;
mod split;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sprat_format::tokenizer::TokenizerTables;

pub use self::draft::Draft;
pub use self::gguf::gguf;
pub use self::gpt2::gpt2_files;
pub use self::hugging_face::tokenizer_json;
pub use self::llama2c::llama2c;
pub use self::sentencepiece::tokenizer_model;

/// A tokenizer, ready to be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerImport {
    /// The `TOKN` section, parsed once.
    pub section: Vec<u8>,
    /// Number of ids of the tokenizer; the model may have more.
    pub vocab_size: u32,
    /// The token that begins a text, if the files name one.
    pub bos: Option<u32>,
    /// Whether the tokenizer puts `bos` before a text by itself.
    pub add_bos: bool,
    /// The tokens that end a text or a turn, as far as the files name them; ascending.
    pub eos: Vec<u32>,
    /// The Jinja template of a conversation.
    pub chat_template: Option<String>,
    /// The special tokens that the template knows by name, as far as the files name them.
    pub template_tokens: BTreeMap<String, String>,
}

impl TokenizerImport {
    /// Checks a section against the size of the model.
    fn new(file: &Path, draft: &Draft, model_vocab: u32) -> Result<Self> {
        let section = draft.section()?;
        let tables = TokenizerTables::parse(&section)
            .with_context(|| format!("{}: the tables made from it are not valid", file.display()))?;
        let vocab_size = tables.vocab_size();
        if vocab_size > model_vocab {
            bail!(
                "{}: the tokenizer has {vocab_size} tokens, the model's vocabulary only {model_vocab}; \
                 give the tokenizer that the model was trained with",
                file.display()
            );
        }
        Ok(Self {
            section,
            vocab_size,
            bos: None,
            add_bos: false,
            eos: Vec::new(),
            chat_template: None,
            template_tokens: BTreeMap::new(),
        })
    }

    /// The id of the token with exactly this text.
    pub fn id_of(&self, text: &str) -> Option<u32> {
        TokenizerTables::parse(&self.section).ok()?.id_of(text.as_bytes())
    }

    /// Names a token for the template, unless it is named already.
    fn name_token(&mut self, name: &str, id: u32) {
        let text = TokenizerTables::parse(&self.section)
            .ok()
            .and_then(|tables| Some(String::from_utf8_lossy(tables.token(id)?).into_owned()));
        if let Some(text) = text {
            self.template_tokens.entry(name.to_owned()).or_insert(text);
        }
    }

    fn add_eos(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.eos.extend(ids);
        self.eos.sort_unstable();
        self.eos.dedup();
    }
}

/// Imports the tokenizer of a Hugging Face directory: `tokenizer.json`, or else `tokenizer.model`, or else
/// `vocab.json` and `merges.txt`; then what `tokenizer_config.json`, `generation_config.json` and
/// `chat_template.jinja` say, where they exist.
///
/// # Errors
/// No tokenizer in the directory, a file that cannot be read, anything unsupported (by name), a vocabulary
/// larger than `model_vocab`.
pub fn hugging_face_directory(directory: &Path, model_vocab: u32) -> Result<TokenizerImport> {
    let file = |name: &str| directory.join(name);
    let has = |name: &str| file(name).is_file();
    if !has("tokenizer.json") && has("added_tokens.json") {
        bail!(
            "{}: added tokens of a slow tokenizer are not supported; save the tokenizer as tokenizer.json \
             (PreTrainedTokenizerFast.save_pretrained)",
            file("added_tokens.json").display()
        );
    }
    let mut import = if has("tokenizer.json") {
        tokenizer_json(&file("tokenizer.json"), model_vocab)?
    } else if has("tokenizer.model") {
        tokenizer_model(&file("tokenizer.model"), model_vocab)?
    } else if has("vocab.json") && has("merges.txt") {
        gpt2_files(&file("vocab.json"), &file("merges.txt"), model_vocab)?
    } else {
        bail!(
            "{}: no tokenizer found; expected tokenizer.json, tokenizer.model, or vocab.json with merges.txt",
            directory.display()
        );
    };
    settings::add_companions(&mut import, directory, model_vocab)?;
    Ok(import)
}
