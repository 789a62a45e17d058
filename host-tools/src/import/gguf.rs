//! GGUF: llama.cpp's file of metadata, tokenizer and tensors, versions 2 and 3, little endian.
//!
//! The specification is `docs/gguf.md` of the ggml project. A file is read without trusting it: every length is held
//! against the bytes that are there before anything is allocated, and what is kept borrows from the file.
//!
//! llama.cpp writes the same models as Hugging Face in other words. `architecture` says them in Hugging Face's, so
//! that one blueprint serves both: metadata become the settings of a `config.json`, tensors get other names, and what
//! llama.cpp's conversion does to weights is taken into account:
//!
//! - Fused and transposed matrices are all stored outputs x inputs, queries before keys before values.
//! - Rows of queries and keys are reordered for Llama and its kin, so that rotary embedding turns neighbours.
//! - Gemma's norms have their one added already.
//! - Llama 3's scaling of rotary frequencies is a tensor of factors.

mod architecture;
mod file;
pub mod metadata;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sprat_format::{Pairing, Position, Role};

use self::architecture::Architecture;
use self::file::Head;
use super::families::{Blueprint, Wanted, blueprint};
use super::hugging_face::{Names, Present, SpecialTokens, assign};
use super::settings::Settings;
use super::tensor::{Storage, View};
use super::{Checkpoint, OpenOptions, TokenizerImport, tokenizer};
use crate::map::MappedFile;

pub(super) use self::file::MAGIC;
pub use self::metadata::{Array, Metadata, Value};

/// What this format is called.
pub(super) const NAME: &str = "GGUF";
/// Factors by which rotary frequencies are divided.
const FREQUENCY_FACTORS: &str = "rope_freqs.weight";

/// Opens a mapped file.
pub(super) fn open(path: &Path, file: MappedFile, options: &OpenOptions) -> Result<Checkpoint> {
    let head = Head::read(&file)?;
    let architecture = Architecture::of(&head)?;
    let (family, settings) = architecture.settings(&head, &file, &options.ignored_settings)?;
    let place = format!("GGUF metadata ({}), as Hugging Face calls it", architecture.name);
    let mut blueprint = blueprint(&family, Settings::new(place, &settings), &[])?;
    if architecture.interleaved
        && let Position::Rotary { pairing, .. } = &mut blueprint.config.position
    {
        *pairing = Pairing::Interleaved;
    }
    let config = blueprint.config;
    blueprint.wanted = blueprint.wanted.into_iter().map(|want| as_stored(want, &config)).collect();

    let mut present: BTreeMap<String, Present> = BTreeMap::new();
    for (name, entry) in &head.tensors {
        let tensor = Present {
            file: 0,
            offset: entry.offset,
            bytes: entry.bytes().context("a tensor's size")?,
            storage: Ok(entry.storage),
            shape: entry.shape.clone(),
        };
        present.insert((*name).to_owned(), tensor);
    }
    if let Some(factors) = present.remove(FREQUENCY_FACTORS) {
        divide_frequencies(&mut blueprint, &factors, &file)?;
    }
    let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
    let source = format!("{NAME} version {} ({})", head.version, architecture.name);
    let tokens = special_tokens(&head.metadata)?;
    let chat_template = head.metadata.text("tokenizer.chat_template")?.unwrap_or_default().to_owned();
    let files = vec![file];
    let names = Names { of: &|name| architecture.tensor(name), head: "output.weight" };
    let tensors = assign(blueprint, &present, &names, &files)?;
    let mut checkpoint = Checkpoint::new(config, name, source, files, tensors);
    checkpoint.chat_template = chat_template;
    checkpoint.take_tokens(tokens);
    Ok(checkpoint)
}

/// The tokenizer of a GGUF file; `None` if it has none.
///
/// # Errors
/// The file cannot be read, is no GGUF file, or its tokenizer is not supported.
pub fn tokenizer_of(path: &Path, model_vocab: u32) -> Result<Option<TokenizerImport>> {
    let file = MappedFile::open(path)?;
    let head = Head::read(&file).with_context(|| format!("{}", path.display()))?;
    tokenizer::gguf(path, &head.metadata, model_vocab)
}

/// A tensor as GGUF has it: the rows of its parts one after the other, outputs x inputs.
fn as_stored(want: Wanted, config: &sprat_format::Config) -> Wanted {
    let shapes = want.parts.iter().map(|(role, _)| role.shape(config));
    let shapes: Vec<_> = shapes.map(|(rows, cols)| (rows as usize, cols as usize)).collect();
    let is_vector = want.shape.len() == 1;
    let mut at = 0;
    let parts = want.parts.iter().zip(&shapes).map(|(&(role, _), &(rows, cols))| {
        let view = View { start: at, ..View::whole(rows, cols) };
        at += rows * cols;
        (role, view)
    });
    let parts: Vec<_> = parts.collect();
    let shape = match shapes.first() {
        Some(&(_, cols)) if !is_vector => vec![at / cols, cols],
        _ => vec![at],
    };
    Wanted { shape, parts, ..want }
}

fn divide_frequencies(blueprint: &mut Blueprint, factors: &Present, file: &MappedFile) -> Result<()> {
    let rotary = blueprint.computed.iter_mut().find(|(role, _)| *role == Role::RotaryFrequencies);
    let (_, rotary) = rotary
        .with_context(|| format!("tensor {FREQUENCY_FACTORS} scales frequencies, and there are none"))?;
    let count = rotary.len();
    ensure!(
        factors.shape == [count],
        "tensor {FREQUENCY_FACTORS} has the shape {:?}, the model has {count} rotary frequencies",
        factors.shape
    );
    let storage: Storage = factors.storage.clone().map_err(anyhow::Error::msg)?;
    let bytes = &file[factors.offset..factors.offset + factors.bytes];
    for (frequency, factor) in rotary.iter_mut().zip(View::slice(0, count).read(storage, bytes, 0..1)) {
        *frequency /= factor;
    }
    Ok(())
}

/// Special tokens without a tokenizer: with one, that knows them better.
fn special_tokens(metadata: &Metadata<'_>) -> Result<SpecialTokens> {
    let mut end_tokens = Vec::new();
    for name in ["eos", "eot", "eom"] {
        end_tokens.extend(metadata.count(&format!("tokenizer.ggml.{name}_token_id"))?);
    }
    Ok(SpecialTokens { bos: metadata.count("tokenizer.ggml.bos_token_id")?, end_tokens })
}
