//! Checkpoints: whatever format a model comes in, seen as a configuration and its tensors by role.
//!
//! An importer understands one format completely or refuses it by naming what it does not understand: a model
//! that loads has the numbers that its author gave it. Tensors stay in their files until they are read, one at
//! a time.

mod families;
pub mod ggml;
pub mod gguf;
mod hugging_face;
mod llama2c;
mod recognize;
mod rotary;
mod settings;
mod tensor;
#[cfg(test)]
mod tests;
pub mod tokenizer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use sprat_format::{Config, Role, TensorSpec};

use crate::map::MappedFile;
use crate::quantize::first_not_finite;
use hugging_face::SpecialTokens;
use tensor::{Source, Stored};

pub use tensor::{Dtype, Storage};
pub use tokenizer::TokenizerImport;

/// The most end tokens that a packed file can name.
pub(crate) const MAX_END_TOKENS: usize = 8;

/// What the person who opens a checkpoint may say about it.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The tokenizer's file, where it is not found beside the checkpoint.
    pub tokenizer: Option<PathBuf>,
    /// Settings of `config.json` that are known to change no number.
    pub ignored_settings: Vec<String>,
}

/// Tensors by layer and role.
type Tensors = BTreeMap<(Option<u16>, Role), Stored>;

/// A model as it was trained.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its blueprint.
    pub config: Config,
    /// Its name: that of its file or directory.
    pub name: String,
    /// The format that it came in.
    pub source: String,
    /// The tokenizer's section of the packed file; `None` without a tokenizer.
    pub tokenizer: Option<Vec<u8>>,
    /// Chat template (Jinja), empty when there is none.
    pub chat_template: String,
    /// The special tokens that the template knows by name.
    pub template_tokens: BTreeMap<String, String>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// Whether a prompt begins with it.
    pub add_bos: bool,
    /// Tokens that end a generation.
    pub end_tokens: Vec<u32>,
    /// What was noticed on the way and a person should know.
    pub notes: Vec<String>,
    /// What was done to it since it was trained, for people: a packed file's recipe begins with it.
    pub recipe: String,
    /// The tokens that are left of its vocabulary, by their old ids, ascending; `None` when all are.
    kept: Option<Vec<u32>>,
    files: Vec<MappedFile>,
    tensors: Tensors,
}

/// One tensor as a listing shows it.
#[derive(Clone, Debug)]
pub struct TensorInfo<'a> {
    /// What it is for.
    pub role: Role,
    /// The layer, for tensors inside the layers.
    pub layer: Option<u16>,
    /// Name in the checkpoint.
    pub name: &'a str,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// How its numbers are stored.
    pub storage: Storage,
}

impl Checkpoint {
    /// Opens a checkpoint: a Hugging Face directory (or a safetensors file in it), a GGUF file or a llama2.c file.
    /// What it is, its content says, not its name.
    ///
    /// # Errors
    /// An unknown format, a damaged file, a setting that is not supported, or a tensor that is missing, extra
    /// or of the wrong shape, by name.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let open = || -> Result<Self> {
            let mut checkpoint = Self::open_format(path, options)?;
            attach_tokenizer(&mut checkpoint, path, options.tokenizer.as_deref())?;
            Ok(checkpoint)
        };
        open().with_context(|| format!("cannot import {}", path.display()))
    }

    fn open_format(path: &Path, options: &OpenOptions) -> Result<Self> {
        if path.is_dir() {
            return hugging_face::open(path, options);
        }
        let file = MappedFile::open(path)?;
        if let Some(what) = recognize::foreign(&file) {
            bail!("it is {what}");
        }
        if file.starts_with(gguf::MAGIC) {
            return gguf::open(path, file, options);
        }
        if hugging_face::is_safetensors(&file) {
            // The directory around it is the checkpoint.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return hugging_face::open(directory.unwrap_or(Path::new(".")), options);
        }
        let begin = file[..file.len().min(16)].to_vec();
        match llama2c::open(path, file)? {
            Some(checkpoint) => Ok(checkpoint),
            None => bail!(
                "it is no checkpoint that is known here: it begins with {:?}, and a GGUF file, a llama2.c checkpoint, \
                 a safetensors file or a Hugging Face directory is expected",
                begin.escape_ascii().to_string()
            ),
        }
    }

    fn new(config: Config, name: String, source: String, files: Vec<MappedFile>, tensors: Tensors) -> Self {
        Self {
            config,
            name,
            source,
            tokenizer: None,
            chat_template: String::new(),
            template_tokens: BTreeMap::new(),
            bos: None,
            add_bos: false,
            end_tokens: Vec::new(),
            notes: Vec::new(),
            recipe: String::new(),
            kept: None,
            files,
            tensors,
        }
    }

    /// Takes over special tokens, without those outside the vocabulary (test models keep the defaults of a
    /// large vocabulary).
    fn take_tokens(&mut self, tokens: SpecialTokens) {
        let vocab_size = self.config.vocab_size;
        let mut known = |id: u32, what: &str| {
            if id >= vocab_size {
                self.notes.push(format!("{what} {id} is outside the vocabulary of {vocab_size}: left out"));
            }
            id < vocab_size
        };
        self.bos = tokens.bos.filter(|&id| known(id, "beginning token"));
        self.end_tokens.extend(tokens.end_tokens);
        self.end_tokens.retain(|&id| known(id, "end token"));
        self.end_tokens.sort_unstable();
        self.end_tokens.dedup();
        for id in self.end_tokens.drain(MAX_END_TOKENS.min(self.end_tokens.len())..) {
            self.notes.push(format!("end token {id} is left out: at most {MAX_END_TOKENS} are kept"));
        }
    }

    /// The tensors in the order of the packed file; a role's shape is known to match the configuration.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo<'_>> {
        let (outside, layers): (Vec<_>, Vec<_>) =
            self.tensors.iter().partition(|((layer, _), _)| layer.is_none());
        layers.into_iter().chain(outside).map(|(&(layer, role), stored)| {
            let (rows, cols) = self.shape(role, stored);
            TensorInfo { role, layer, name: &stored.name, rows, cols, storage: stored.storage() }
        })
    }

    /// Reads a tensor: rows x columns, row by row.
    ///
    /// # Errors
    /// The model has no such tensor, or a number in it is infinite or not a number.
    pub fn read(&self, role: Role, layer: Option<u16>) -> Result<Vec<f32>> {
        let rows = self.shape(role, self.stored(role, layer)?).0;
        self.read_rows(role, layer, 0..rows)
    }

    /// Reads some rows of a tensor.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// When it has no such rows.
    pub fn read_rows(&self, role: Role, layer: Option<u16>, rows: Range<usize>) -> Result<Vec<f32>> {
        match (&self.kept, role) {
            (Some(kept), Role::TokenEmbedding | Role::Head) => {
                // Runs of neighbours are read at once.
                let runs = kept[rows].chunk_by(|id, next| id + 1 == *next);
                let runs = runs.map(|run| run[0] as usize..run[0] as usize + run.len());
                Ok(runs.map(|run| self.read_stored(role, layer, run)).collect::<Result<Vec<_>>>()?.concat())
            }
            (Some(kept), Role::HeadBias) => {
                let all = self.read_stored(role, layer, rows)?;
                Ok(kept.iter().map(|&id| all[id as usize]).collect())
            }
            _ => self.read_stored(role, layer, rows),
        }
    }

    /// Rows of a tensor as the checkpoint has it.
    fn read_stored(&self, role: Role, layer: Option<u16>, rows: Range<usize>) -> Result<Vec<f32>> {
        let stored = self.stored(role, layer)?;
        let cols = stored.shape().1;
        let values = match &stored.source {
            Source::Mapped { file, offset, bytes, storage, view } => {
                view.read(*storage, &self.files[*file][*offset..*offset + *bytes], rows.clone())
            }
            Source::Computed(values) => values[rows.start * cols..rows.end * cols].to_vec(),
        };
        if let Some(index) = first_not_finite(&values) {
            bail!(
                "tensor {} holds {} (as {}: row {}, column {}), expected a finite number: export the \
                 model again, from a step before its training failed",
                stored.name,
                values[index],
                role.name(),
                rows.start + index / cols,
                index % cols
            );
        }
        Ok(values)
    }

    fn stored(&self, role: Role, layer: Option<u16>) -> Result<&Stored> {
        let stored = self.tensors.get(&(layer, role));
        stored.ok_or_else(|| anyhow!("the model has no tensor {}", role.name()))
    }

    /// Rows and columns of a tensor, of the tokens that are kept.
    fn shape(&self, role: Role, stored: &Stored) -> (usize, usize) {
        let (rows, cols) = stored.shape();
        match (&self.kept, role) {
            (Some(kept), Role::TokenEmbedding | Role::Head) => (kept.len(), cols),
            (Some(kept), Role::HeadBias) => (rows, kept.len()),
            _ => (rows, cols),
        }
    }

    /// The recipe of a packed file: what was done to the checkpoint, and how it was quantized.
    pub(crate) fn recipe_with(&self, quantization: &str) -> String {
        let parts = [self.recipe.as_str(), quantization].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("; ")
    }

    /// The tokens that are left of a trimmed vocabulary, by their old ids, ascending.
    pub fn kept(&self) -> Option<&[u32]> {
        self.kept.as_deref()
    }

    /// Keeps some tokens, by their ids, ascending, whose tokenizer is `section`: they become 0, 1, 2 and so on. Special
    /// tokens must be among them.
    pub(crate) fn select_tokens(&mut self, kept: Vec<u32>, section: Vec<u8>) {
        let new = |id: u32| kept.binary_search(&id).ok().map(|place| place as u32);
        self.config.vocab_size = kept.len() as u32;
        self.tokenizer = Some(section);
        self.bos = self.bos.and_then(new);
        self.add_bos &= self.bos.is_some();
        self.end_tokens = self.end_tokens.iter().copied().filter_map(new).collect();
        // Trimmed again, the ids are those of the first trimming.
        let old = |id: u32| self.kept.as_ref().map_or(id, |before| before[id as usize]);
        self.kept = Some(kept.into_iter().map(old).collect());
    }

    /// Lets go of the memory that holds a tensor's part of its file. It may be read again.
    pub fn release(&self, role: Role, layer: Option<u16>) {
        if let Ok(Stored { source: Source::Mapped { file, offset, bytes, .. }, .. }) =
            self.stored(role, layer)
        {
            self.files[*file].release(*offset..*offset + *bytes);
        }
    }

    fn is_llama2c(&self) -> bool {
        self.source.starts_with(llama2c::NAME)
    }

    /// The name that a tensor has in the checkpoint.
    pub fn tensor_name(&self, spec: &TensorSpec) -> &str {
        self.tensors.get(&(spec.layer, spec.role)).map_or(spec.role.name(), |stored| &stored.name)
    }
}

/// Finds the checkpoint's tokenizer, or takes the one that was given, and with it what the tokenizer's files say
/// of special tokens. A checkpoint without a tokenizer can be packed, but takes token ids only.
fn attach_tokenizer(checkpoint: &mut Checkpoint, path: &Path, given: Option<&Path>) -> Result<()> {
    let vocab_size = checkpoint.config.vocab_size;
    let directory = if path.is_dir() { Some(path) } else { path.parent() };
    let directory = directory.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = |name: &str| Some(directory.join(name)).filter(|file| file.is_file());
    let import = match given {
        Some(given) => import_tokenizer(given, vocab_size)?,
        None if checkpoint.is_llama2c() => match beside("tokenizer.bin") {
            Some(file) => tokenizer::llama2c(&file, vocab_size)?,
            None => return without_tokenizer(checkpoint, "tokenizer.bin"),
        },
        None if checkpoint.source.starts_with(gguf::NAME) => match gguf::tokenizer_of(path, vocab_size)? {
            Some(import) => import,
            None => return without_tokenizer(checkpoint, "vocabulary in the file and no tokenizer.json"),
        },
        None if ["tokenizer.json", "tokenizer.model", "vocab.json"]
            .iter()
            .any(|name| beside(name).is_some()) =>
        {
            tokenizer::hugging_face_directory(directory, vocab_size)?
        }
        None => return without_tokenizer(checkpoint, "tokenizer.json"),
    };
    // llama2.c's special tokens are fixed. A Hugging Face tokenizer knows best which token begins a text, and
    // one whose configuration names none has none, whatever config.json says.
    if !checkpoint.is_llama2c() {
        let says = import.bos.is_some() || directory.join("tokenizer_config.json").is_file();
        checkpoint.bos = if says { import.bos } else { checkpoint.bos };
        checkpoint.add_bos = import.add_bos && checkpoint.bos.is_some();
        checkpoint.take_tokens(SpecialTokens { bos: checkpoint.bos, end_tokens: import.eos });
    }
    checkpoint.chat_template = import.chat_template.unwrap_or_default();
    checkpoint.template_tokens = import.template_tokens;
    checkpoint.tokenizer = Some(import.section);
    Ok(())
}

/// A tokenizer whose kind its content tells.
fn import_tokenizer(path: &Path, vocab_size: u32) -> Result<TokenizerImport> {
    if path.is_dir() {
        return tokenizer::hugging_face_directory(path, vocab_size);
    }
    let file = MappedFile::open(path)?;
    if file.starts_with(gguf::MAGIC) {
        let import = gguf::tokenizer_of(path, vocab_size)?;
        return import.with_context(|| format!("{}: it has no vocabulary; expected one", path.display()));
    }
    match file.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => tokenizer::tokenizer_json(path, vocab_size),
        // The first field of a tokenizer.model: a piece. It is the length of the longest token in a tokenizer.bin, as
        // the lowest of four bytes.
        _ if file.starts_with(b"\x0A") && !file.starts_with(b"\x0A\0\0\0") => {
            tokenizer::tokenizer_model(path, vocab_size)
        }
        _ => tokenizer::llama2c(path, vocab_size),
    }
}

fn without_tokenizer(checkpoint: &mut Checkpoint, expected: &str) -> Result<()> {
    checkpoint.notes.push(format!(
        "there is no {expected} beside the checkpoint: without a tokenizer (--tokenizer FILE) the model takes \
         token ids only"
    ));
    Ok(())
}
