//! Running a model on an emulated board: the device's firmware, built around it, boots and answers.
//!
//! What is timed on the laptop in seconds is counted here in instructions, exactly and repeatably.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Serialize;
use sprat_board_support::memory::{BOARDS, Board};
use sprat_board_support::protocol::Request;
use sprat_emulator::firmware::{self, Built, Form, Progress, Sizes, Source};
use sprat_emulator::{Boot, Event, Input, boot};

use crate::table::bytes;

pub mod linux;

/// A firmware around a model, ready to be booted as often as there are questions.
#[derive(Debug)]
pub struct Emulated {
    board: &'static Board,
    firmware: Built,
    sizes: Sizes,
    /// When to stop an emulator that has not ended by itself.
    pub time_limit: Duration,
}

/// What firmware to build.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of the board.
    pub board: &'a str,
    /// The packed model.
    pub model: &'a Path,
    /// Tokens of context; those it was packed for by default.
    pub context: Option<u32>,
    /// Name of the kernels; the best ones of the board's core by default.
    pub kernels: Option<&'a str>,
    /// What it is to do.
    pub form: Form,
    /// Whether it takes the model from slots of its own; the one here is what its memory is planned for.
    pub slots: bool,
    /// Bytes of the window through which it reads the model, if it is to be streamed.
    pub window: Option<u32>,
    /// What is seen of the building.
    pub progress: Progress,
}

impl<'a> Wanted<'a> {
    /// A model on a board with nothing out of the ordinary, built in silence.
    pub const fn new(board: &'a str, model: &'a Path) -> Self {
        Self {
            board,
            model,
            context: None,
            kernels: None,
            form: Form::Prompt,
            slots: false,
            window: None,
            progress: Progress::Silent,
        }
    }
}

/// What the board says of an answer, and where its memory goes.
#[derive(Clone, Debug, Serialize)]
pub struct EmulateReport {
    /// The text written.
    pub text: String,
    /// The board.
    pub board: String,
    /// The target triple that the firmware was built for.
    pub target: String,
    /// The kernels that computed.
    pub kernels: String,
    /// Tokens of context.
    pub context: u32,
    /// Tokens of the prompt, the beginning token included.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// Why it ended: `end token`, `limit` or `context full`.
    pub stop: String,
    /// Hash over the bits of all logits that were sampled from, if it was asked for.
    pub logits_hash: Option<String>,
    /// Instructions for checking the model and laying out the arena.
    pub load_instructions: u64,
    /// Instructions for reading the prompt.
    pub prefill_instructions: u64,
    /// Instructions for writing the answer.
    pub decode_instructions: u64,
    /// Calls that were answered.
    pub calls: u32,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// Tokens of results, beside those of prompt and answer.
    pub inserted_tokens: u32,
    /// Where the flash goes.
    pub flash: Flash,
    /// Where the RAM goes.
    pub ram: Ram,
}

/// Flash, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Flash {
    /// The packed model.
    pub model: u64,
    /// Code and constants.
    pub firmware: u64,
    /// What the board has.
    pub available: u64,
}

/// RAM, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ram {
    /// The arena.
    pub arena: u64,
    /// The firmware's other variables.
    pub statics: u64,
    /// Stack that the plan reserves.
    pub stack: u64,
    /// Of it, what was used.
    pub stack_used: u64,
    /// What the board has.
    pub available: u64,
}

impl Emulated {
    /// Builds the firmware that `wanted` describes.
    ///
    /// # Errors
    /// A board without firmware, or a model that does not fit it, with what is missing.
    pub fn build(wanted: &Wanted<'_>) -> Result<Self> {
        let Wanted { board, model, context, kernels, form, slots, window, progress } = *wanted;
        let board = BOARDS.iter().find(|known| known.name == board).ok_or_else(|| {
            let names = BOARDS.iter().map(|board| board.name);
            let names: Vec<_> = names.chain(linux::LINUX_BOARDS.iter().map(|board| board.name)).collect();
            anyhow!("the board {board:?} cannot be emulated; those that can: {}", names.join(", "))
        })?;
        ensure!(
            crate::model::is_packed(model),
            "{} is not a packed model; `sprat pack {}` makes one",
            model.display(),
            model.display()
        );
        let firmware =
            firmware::build(&Source { board, model, context, kernels, form, slots, window, progress })?;
        let elf = fs::read(firmware.elf("")).context("cannot read the firmware")?;
        let sizes = firmware::sizes(board, &elf)?;
        Ok(Self { board, firmware, sizes, time_limit: Duration::from_secs(600) })
    }

    /// Path of the firmware, or of the one that fails on purpose (`"-drill"`).
    pub fn elf(&self, suffix: &str) -> PathBuf {
        self.firmware.elf(suffix)
    }

    /// Boots the firmware, asks it, and calls `show` with each piece of text.
    ///
    /// # Errors
    /// A missing emulator, or a firmware that failed, with what it logged.
    pub fn ask(&self, request: &Request<'_>, mut show: impl FnMut(&str)) -> Result<EmulateReport> {
        let elf = self.firmware.elf("");
        let what =
            Boot { elf: &elf, memory: &[], input: Input::Request(request), time_limit: self.time_limit };
        let outcome = boot(&what, &mut |event| match event {
            Event::Text(piece) => show(piece),
            // Told with the error, if there is one.
            Event::Log(_) => {}
        })?;
        let report = outcome.report().with_context(|| format!("{} gave no answer", self.board.name))?;
        let arena = u64::from(report.arena_bytes);
        Ok(EmulateReport {
            board: report.board.to_owned(),
            target: report.target.to_owned(),
            kernels: report.kernel.to_owned(),
            context: report.context_tokens,
            prompt_tokens: report.prompt_tokens,
            answer_tokens: report.answer_tokens,
            stop: report.stop.to_string(),
            logits_hash: report.logits_hash.map(|hash| format!("{hash:016x}")),
            load_instructions: report.load_instructions,
            prefill_instructions: report.prefill_instructions,
            decode_instructions: report.decode_instructions,
            calls: report.calls,
            abandoned_calls: report.abandoned_calls,
            inserted_tokens: report.inserted_tokens,
            flash: Flash {
                model: self.sizes.model_flash,
                firmware: self.sizes.firmware_flash,
                available: self.board.firmware.bytes + self.board.model.bytes,
            },
            ram: Ram {
                arena,
                statics: self.sizes.statics_ram.saturating_sub(arena),
                stack: report.stack_reserved_bytes.into(),
                stack_used: report.stack_used_bytes.into(),
                available: self.board.ram.bytes,
            },
            text: outcome.text.clone(),
        })
    }
}

impl fmt::Display for EmulateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash, ram, .. } = self;
        let each = |instructions: u64, tokens: u32| bytes(instructions / u64::from(tokens.max(1)));
        writeln!(f, "{} ({}), kernels {}, context {}", self.board, self.target, self.kernels, self.context)?;
        writeln!(f, "\nflash, bytes of {}", bytes(flash.available).trim_start())?;
        writeln!(f, "  model                     {}", bytes(flash.model))?;
        writeln!(f, "  firmware                  {}", bytes(flash.firmware))?;
        writeln!(f, "\nRAM, bytes of {}", bytes(ram.available).trim_start())?;
        writeln!(f, "  arena                     {}", bytes(ram.arena))?;
        writeln!(f, "  stack                     {}", bytes(ram.stack))?;
        writeln!(f, "    of it, used             {}", bytes(ram.stack_used))?;
        writeln!(f, "  firmware variables        {}", bytes(ram.statics))?;
        writeln!(f, "\ninstructions")?;
        writeln!(f, "  check the model, once     {}", bytes(self.load_instructions))?;
        let (read, written) = (self.prompt_tokens, self.answer_tokens);
        writeln!(f, "  a token read  ({read:>4})      {}", each(self.prefill_instructions, read))?;
        writeln!(f, "  a token written ({written:>4})    {}", each(self.decode_instructions, written))?;
        writeln!(f, "\nended by: {}", self.stop)?;
        match &self.logits_hash {
            Some(hash) => writeln!(f, "logits: {hash}"),
            None => Ok(()),
        }
    }
}
