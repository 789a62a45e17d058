//! The metadata of an architecture, each key of which is used up by reading it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value as Json, json};

use super::super::file::{Entry, Head};
use super::super::metadata::{Metadata, Value};
use crate::map::MappedFile;

/// Keys of an architecture that change no number.
const HARMLESS: [&str; 2] = ["vocab_size", "tensor_data_layout"];

/// What the settings of an architecture are made of: its keys, and which tensors there are.
pub(super) struct Keys<'h> {
    /// llama.cpp's name of the architecture.
    pub name: &'static str,
    head: &'h Head<'h>,
    file: &'h MappedFile,
    read: RefCell<BTreeSet<String>>,
}

impl<'h> Keys<'h> {
    pub fn new(name: &'static str, head: &'h Head<'h>, file: &'h MappedFile) -> Self {
        Self { name, head, file, read: RefCell::default() }
    }

    fn metadata(&self) -> &'h Metadata<'h> {
        &self.head.metadata
    }

    fn full(&self, key: &str) -> String {
        self.read.borrow_mut().insert(key.to_owned());
        format!("{}.{key}", self.name)
    }

    fn missing(&self, key: &str) -> anyhow::Error {
        anyhow!("GGUF: {}.{key} is missing", self.name)
    }

    /// A count that may be given once for each layer, if it is the same for all.
    pub fn optional_count(&self, key: &str) -> Result<Option<u32>> {
        let full = self.full(key);
        let Some(Value::Array(array)) = self.metadata().value(&full) else {
            return self.metadata().count(&full);
        };
        let mut values = array.values();
        let first = values.next();
        ensure!(
            values.all(|value| Some(value) == first),
            "GGUF: {full} differs between layers, which is not supported; supported: one value for all"
        );
        match first {
            Some(Value::Integer(value)) if u32::try_from(value).is_ok() => Ok(Some(value as u32)),
            _ => bail!("GGUF: {full} holds no count"),
        }
    }

    pub fn count(&self, key: &str) -> Result<u32> {
        self.optional_count(key)?.ok_or_else(|| self.missing(key))
    }

    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        self.metadata().number(&self.full(key))
    }

    pub fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    fn tensor(&self, name: &str) -> Option<&'h Entry> {
        self.head.tensors.get(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    /// Entries of the vocabulary: the rows of the token embedding.
    pub fn vocab_size(&self) -> Result<usize> {
        let embedding = self.tensor("token_embd.weight");
        let rows = embedding.filter(|entry| entry.shape.len() == 2).map(|entry| entry.shape[0]);
        rows.context("GGUF: the file has no tensor token_embd.weight of two dimensions")
    }

    /// Refuses keys of the architecture that were not read.
    pub fn close(self, ignored: &[String]) -> Result<()> {
        let read = self.read.borrow();
        let prefix = format!("{}.", self.name);
        for key in self.metadata().keys() {
            let Some(own) = key.strip_prefix(&prefix) else { continue };
            if read.contains(own) || HARMLESS.contains(&own) || ignored.iter().any(|ignored| ignored == key) {
                continue;
            }
            let value = self.metadata().value(key).map_or_else(String::new, |value| value.to_string());
            bail!(
                "GGUF: {key} = {value} is a setting that this importer does not know, and only known ones are \
                 expected; if it changes no number, say --ignore-setting {key}"
            );
        }
        Ok(())
    }

    /// Whether the output head is the token embedding: absent, or the same once more.
    pub fn tied(&self) -> bool {
        let (embedding, head) = (self.tensor("token_embd.weight"), self.tensor("output.weight"));
        let Some((embedding, head)) = embedding.zip(head) else { return true };
        let range = |entry: &Entry| entry.bytes().map(|bytes| entry.offset..entry.offset + bytes);
        let ranges = range(embedding).zip(range(head)).filter(|_| embedding.storage == head.storage);
        ranges.is_some_and(|(one, other)| MappedFile::equal((self.file, one), (self.file, other)))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.metadata().flag(&self.full(key))
    }

    /// A list of truth values, one for each layer; `None` where the key is absent or a number.
    pub fn flags(&self, key: &str) -> Result<Option<Vec<bool>>> {
        let full = self.full(key);
        let Some(Value::Array(array)) = self.metadata().value(&full) else { return Ok(None) };
        let flag = |value| match value {
            Value::Flag(flag) => Ok(flag),
            other => bail!("GGUF: {full} holds {other}, expected true or false for each layer"),
        };
        array.values().map(flag).collect::<Result<_>>().map(Some)
    }

    /// Theta, scaling and rotated part of a head of rotary embedding.
    pub fn rope(&self) -> Result<Json> {
        let head_dim = self.head_dim()?;
        let rotated = self.optional_count("rope.dimension_count")?.unwrap_or(head_dim);
        let mut rope = self.rope_scaling()?;
        if rotated != head_dim {
            rope["partial_rotary_factor"] = json!(f64::from(rotated) / f64::from(head_dim));
        }
        Ok(rope)
    }

    fn rope_scaling(&self) -> Result<Json> {
        ensure!(
            !self.has("rope_factors_long.weight"),
            "GGUF: rotary embedding with factors for long contexts (longrope) is not supported"
        );
        let theta = self.optional_number("rope.freq_base")?.unwrap_or(10_000.0);
        let kind = self.metadata().text(&self.full("rope.scaling.type"))?;
        let factor = self.optional_number("rope.scaling.factor")?;
        let old = self.optional_number("rope.scale_linear")?;
        // What a stretched model was trained for: needed by no kind that is supported.
        self.optional_count("rope.scaling.original_context_length")?;
        self.metadata().flag(&self.full("rope.scaling.finetuned"))?;
        Ok(match (kind, factor.or(old)) {
            (None | Some("none"), None | Some(1.0)) | (Some("none"), _) => {
                json!({ "rope_type": "default", "rope_theta": theta })
            }
            (None | Some("linear"), Some(factor)) => {
                json!({ "rope_type": "linear", "factor": factor, "rope_theta": theta })
            }
            (Some(other), _) => bail!(
                "GGUF: {}.rope.scaling.type = {other:?} is not supported; supported: none, linear: take a model that \
                 has one of these",
                self.name
            ),
        })
    }

    /// Components of a head; llama.cpp says keys and values apart.
    pub fn head_dim(&self) -> Result<u32> {
        let (hidden, heads) = (self.count("embedding_length")?, self.count("attention.head_count")?);
        let keys = self.optional_count("attention.key_length")?;
        let values = self.optional_count("attention.value_length")?;
        let head_dim = keys.or(values).or_else(|| hidden.checked_div(heads)).context("no heads")?;
        ensure!(
            values.is_none_or(|values| values == head_dim),
            "GGUF: {}.attention.value_length = {} differs from the keys' {head_dim}, which is not supported",
            self.name,
            values.unwrap_or_default()
        );
        Ok(head_dim)
    }
}
