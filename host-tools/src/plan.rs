//! What a board needs for a model: where weights and arena lie, whether they fit, the largest context that does, and
//! the predicted time for a token with its formula.
//!
//! RAM comes from the same constant function that the device runs, so a plan that fits here fits there. Time is a
//! prediction from counted instructions and assumed cycles, and says so.

mod placement;
pub mod shapes;
mod stream;
mod text;
mod time;

use anyhow::{Result, bail};
use serde::Serialize;
use sprat_format::{Config, KvType, Limits};

use crate::boards::Board;
use crate::boards::counts::Weights;
use crate::model::Model;
use crate::pack::Layout;
use crate::table::grouped;

pub use placement::{Flash, Ram, largest_context};
pub use stream::{Streamed, streamed};
pub use text::table_of_boards;
pub use time::{Bound, Pass, Time};

/// What is planned: a model's blueprint and the size of its file.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The blueprint.
    pub config: Config,
    /// What a token takes of the weights.
    pub weights: Weights,
    /// Bytes of the packed file.
    pub file_bytes: u64,
    /// Bytes of its tokenizer.
    pub tokenizer_bytes: u64,
}

impl Subject {
    /// A packed file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn of(model: &Model) -> Result<Self> {
        let image = model.image()?;
        let file = image.file();
        let tensors =
            file.tensors().map(|(role, _, tensor)| (role, tensor.element, tensor.rows, tensor.cols));
        Ok(Self {
            config: *image.config(),
            weights: Weights::of(tensors.collect::<Vec<_>>().into_iter()),
            file_bytes: model.bytes().len() as u64,
            tokenizer_bytes: file.tokenizer_section().len() as u64,
        })
    }

    /// What is about to be packed, in a file of so many bytes.
    pub fn of_layout(layout: &Layout, file_bytes: u64, tokenizer_bytes: u64) -> Self {
        let tensors = layout.specs.iter().map(|spec| (spec.role, spec.element, spec.rows, spec.cols));
        Self { config: layout.config, weights: Weights::of(tensors), file_bytes, tokenizer_bytes }
    }
}

/// The plan of a model on a board.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The board.
    pub board: String,
    /// What it is.
    pub title: String,
    /// Its core.
    pub core: String,
    /// What a person should know of the board; may be empty.
    pub note: String,
    /// Tokens of context.
    pub context: u32,
    /// How keys and values are kept.
    pub kv: &'static str,
    /// Tokens that one pass over the weights processes while reading a prompt.
    pub prefill_chunk: u32,
    /// Rows of the output head whose logits are in memory at once; 0 for all.
    pub logits_rows: u32,
    /// Where the packed file lies.
    pub flash: Flash,
    /// RAM.
    pub ram: Ram,
    /// Whether both fit.
    pub fits: bool,
    /// The largest context whose RAM fits; 0 when none does.
    pub largest_context: u32,
    /// Predicted time.
    pub time: Time,
}

/// Name of a type of keys and values.
pub const fn kv_name(kv: KvType) -> &'static str {
    match kv {
        KvType::Q8 => "q8",
        KvType::F16 => "f16",
        KvType::F32 => "f32",
    }
}

/// Plans a model for a board.
///
/// # Errors
/// Impossible limits.
pub fn plan(subject: &Subject, limits: &Limits, board: &Board) -> Result<Report> {
    let (flash, at) = placement::flash(subject, board)?;
    let (ram, arena_at) = placement::ram(subject, limits, board, at)?;
    Ok(Report {
        board: board.name.clone(),
        title: board.title.clone(),
        core: board.core.name.clone(),
        note: board.note.clone(),
        context: limits.context,
        kv: kv_name(limits.kv),
        prefill_chunk: limits.prefill_chunk,
        logits_rows: limits.logits_rows,
        fits: flash.missing == 0 && ram.missing == 0,
        largest_context: largest_context(subject, limits, board).unwrap_or(0),
        time: time::predict(subject, limits, board, at, (arena_at, ram.kv)),
        flash,
        ram,
    })
}

impl Report {
    /// Refuses a model that does not fit, with the bytes missing and what would fit.
    ///
    /// # Errors
    /// The model does not fit.
    pub fn require_fit(&self) -> Result<()> {
        let Self { flash, ram, .. } = self;
        if flash.missing > 0 {
            bail!(
                "the model does not fit the flash of {} ({}): model {} + firmware {} = {} bytes, {} available: {} \
                 bytes are missing; pack it as q8, train a smaller one, or take a board with more \
                 (sprat plan F --all-boards)",
                self.board,
                flash.memory,
                grouped(flash.model),
                grouped(flash.firmware),
                grouped(flash.needed),
                grouped(flash.available),
                grouped(flash.missing)
            );
        }
        if ram.missing > 0 {
            let advice = match self.largest_context {
                0 => "no context fits: a smaller prefill chunk, prompt or vocabulary, or logits in blocks \
                      (--logits-rows), is needed"
                    .to_owned(),
                largest => format!("the largest context that fits is {largest} (--context {largest})"),
            };
            let (rest, elsewhere) = match ram.stack_memory == ram.memory {
                true => (
                    format!("stack {} + variables {} = ", grouped(ram.stack), grouped(ram.statics)),
                    String::new(),
                ),
                false => (String::new(), format!(" (stack and variables lie in {})", ram.stack_memory)),
            };
            let plus = if rest.is_empty() { "= " } else { "+ " };
            bail!(
                "a context of {} tokens does not fit the RAM of {} ({}): arena {} {plus}{rest}{} bytes{elsewhere}, {} \
                 available: {} bytes are missing; {advice}",
                self.context,
                self.board,
                ram.memory,
                grouped(ram.arena),
                grouped(ram.needed),
                grouped(ram.available),
                grouped(ram.missing)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
