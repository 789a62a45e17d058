//! The logits at every position of a sequence, for comparing with a reference.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sprat_board_support::memory::limits_for_context;
use sprat_format::Limits;

use crate::model::{Model, arena_for, engine, host_limits, kernels};
use crate::threads::Threads;

/// How the sequence is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// In chunks, as a prompt is.
    Prefill,
    /// One token a pass, as an answer is.
    TokenByToken,
}

/// The logits after each token: positions x vocabulary, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// Rows.
    pub positions: usize,
    /// Columns.
    pub vocab_size: usize,
    /// Values.
    pub values: Vec<f32>,
}

/// Computes the logits of `ids`, with so many threads.
///
/// # Errors
/// The model cannot be used, or the ids do not fit it.
pub fn logits(
    model: &Model,
    ids: &[u32],
    feeding: Feeding,
    kernels_name: Option<&str>,
    threads: usize,
) -> Result<Logits> {
    let image = model.image()?;
    // The context is as large as the sequence: what the file was packed for is not the question here.
    let limits = limits_for_context(image.limits(), ids.len() as u32);
    let limits = Limits { logits_rows: 0, ..host_limits(&limits) };
    let team = Threads::new(threads)?;
    let mut arena = arena_for(&image, &limits, &team).context("the ids do not fit the model's positions")?;
    let mut engine = engine(&image, limits, &mut arena, kernels(kernels_name)?, &team)?;
    let vocab_size = image.config().vocab_size as usize;
    let mut values = Vec::with_capacity(ids.len() * vocab_size);
    let fed = match feeding {
        Feeding::Prefill => engine.feed_each(ids, |_, logits| values.extend_from_slice(logits)),
        Feeding::TokenByToken => ids.iter().try_for_each(|&id| {
            engine.feed(&[id])?;
            values.extend_from_slice(engine.logits()?);
            Ok(())
        }),
    };
    fed.map_err(|error| anyhow!("{error}")).with_context(|| {
        format!(
            "{} takes ids from 0 to {}: one of --ids is another, give only such",
            model.path(),
            vocab_size - 1
        )
    })?;
    Ok(Logits { positions: ids.len(), vocab_size, values })
}

impl Logits {
    /// The logits after one token.
    pub fn row(&self, position: usize) -> &[f32] {
        &self.values[position * self.vocab_size..][..self.vocab_size]
    }

    /// Writes the tensor `logits` as safetensors.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![self.positions, self.vocab_size], &bytes)?;
        let file = safetensors::serialize([("logits", view)], None)?;
        std::fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
    }
}
