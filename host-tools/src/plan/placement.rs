//! Where a model lies on a board: the packed file, the arena, the stack.
//!
//! Memories are tried in the order in which the board lists them, the fastest first. The arena is one stretch, so it
//! never spans two; stack and variables move to tightly coupled memory where there is some, which leaves the arena
//! all of the other.

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use sprat::{Plan, PlanError};
use sprat_board_support::memory::{Fit, STACK_BYTES, STATICS_BYTES, limits_for_context};
use sprat_format::Limits;

use super::Subject;
use crate::boards::{Board, Kind};

/// Where the packed file lies, in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Flash {
    /// The memory's name: the first one that has room, else the one that misses least.
    pub memory: String,
    /// Its kind.
    pub kind: &'static str,
    /// The packed file.
    pub model: u64,
    /// Of it, the tokenizer.
    pub tokenizer: u64,
    /// Kept for the firmware in the same memory.
    pub firmware: u64,
    /// Model and firmware.
    pub needed: u64,
    /// What the memory has.
    pub available: u64,
    /// What is missing; 0 when it fits.
    pub missing: u64,
}

/// Where the RAM goes, in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Ram {
    /// The memory in which the arena lies: the first one that has room, else the one that misses least.
    pub memory: String,
    /// Keys and values.
    pub kv: u64,
    /// Logits of one position or of a block, and what they are computed from.
    pub logits: u64,
    /// Tokens of a prompt.
    pub tokens: u64,
    /// Activations, or the tokenizer's work space, whichever is larger.
    pub scratch: u64,
    /// All of them: what the device reserves.
    pub arena: u64,
    /// The memory in which stack and variables lie.
    pub stack_memory: String,
    /// Stack.
    pub stack: u64,
    /// The firmware's own variables.
    pub statics: u64,
    /// What the arena's memory has to hold: the arena, and stack and variables where they lie there too.
    pub needed: u64,
    /// What that memory has.
    pub available: u64,
    /// What is missing; 0 when it fits.
    pub missing: u64,
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Flash => "flash",
        Kind::ExternalFlash => "external flash",
        Kind::TightlyCoupled => "tightly coupled",
        Kind::Ram => "RAM",
        Kind::ExternalRam => "external RAM",
    }
}

/// The packed file's place, and the index of its memory.
///
/// # Errors
/// The board has no memory for it.
pub(super) fn flash(subject: &Subject, board: &Board) -> Result<(Flash, usize)> {
    let holding = board.memory.iter().enumerate().filter(|(_, memory)| memory.holds_model());
    let places = holding.enumerate().map(|(rank, (index, memory))| {
        // The firmware boots from the first.
        let firmware = if rank == 0 { board.firmware_bytes } else { 0 };
        let needed = subject.file_bytes + firmware;
        let available = memory.available_bytes();
        let flash = Flash {
            memory: memory.name.clone(),
            kind: kind_name(memory.kind),
            model: subject.file_bytes,
            tokenizer: subject.tokenizer_bytes,
            firmware,
            needed,
            available,
            missing: needed.saturating_sub(available),
        };
        (flash, index)
    });
    let found = places.min_by_key(|(flash, _)| flash.missing);
    found.with_context(|| format!("board {} has no memory for a model", board.name))
}

/// The arena's place for what is needed, and that of stack and variables; `None` without RAM.
fn place(board: &Board, fit: &Fit, used: impl Fn(usize) -> u64) -> Option<Place> {
    let rest = fit.ram_bytes() - fit.arena_bytes;
    let memories = || board.memory.iter().enumerate().filter(|(_, memory)| memory.kind.is_ram());
    let available = |index: usize| board.memory[index].available_bytes().saturating_sub(used(index));
    let coupled =
        memories().find(|&(index, memory)| memory.kind == Kind::TightlyCoupled && rest <= available(index));
    let places = memories().map(|(arena, _)| {
        let stack = coupled.map_or(arena, |(index, _)| index);
        let needed = fit.arena_bytes + if stack == arena { rest } else { 0 };
        let available = available(arena);
        Place { arena, stack, needed, available }
    });
    places.min_by_key(Place::missing)
}

struct Place {
    arena: usize,
    stack: usize,
    needed: u64,
    available: u64,
}

impl Place {
    const fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.available)
    }
}

fn fit(subject: &Subject, limits: &Limits, board: &Board) -> std::result::Result<Fit, PlanError> {
    let plan = Plan::for_team(&subject.config, limits, board.cores as usize)?;
    Ok(Fit::new(plan, limits, STACK_BYTES, STATICS_BYTES))
}

/// What the packed file and the firmware take of each memory.
fn used_by_model(flash: &Flash, at: usize) -> impl Fn(usize) -> u64 {
    let needed = flash.needed;
    move |index| if index == at { needed } else { 0 }
}

/// Where the RAM goes when the packed file lies in memory `model_at`, and the index of the arena's memory.
pub(super) fn ram(
    subject: &Subject,
    limits: &Limits,
    board: &Board,
    model_at: usize,
) -> Result<(Ram, usize)> {
    let fit = fit(subject, limits, board).map_err(|error| anyhow!("the model cannot be planned: {error}"))?;
    let (flash, _) = flash(subject, board)?;
    let place = place(board, &fit, used_by_model(&flash, model_at));
    let place = place.with_context(|| format!("board {} has no RAM", board.name))?;
    let ram = Ram {
        memory: board.memory[place.arena].name.clone(),
        kv: fit.plan.kv_bytes as u64,
        logits: (fit.plan.logits_bytes + fit.plan.last_bytes) as u64,
        tokens: fit.plan.tokens_bytes as u64,
        scratch: fit.plan.scratch_bytes as u64,
        arena: fit.arena_bytes,
        stack_memory: board.memory[place.stack].name.clone(),
        stack: fit.stack_bytes,
        statics: fit.request_bytes + fit.statics_bytes,
        needed: place.needed,
        available: place.available,
        missing: place.missing(),
    };
    Ok((ram, place.arena))
}

/// The largest context that fits the RAM; `None` when not even one token does. Never more than the positions that the
/// model was trained for.
pub fn largest_context(subject: &Subject, limits: &Limits, board: &Board) -> Option<u32> {
    let (flash, at) = flash(subject, board).ok()?;
    let fits = |context| {
        fit(subject, &limits_for_context(limits, context), board).is_ok_and(|fit| {
            place(board, &fit, used_by_model(&flash, at)).is_some_and(|place| place.missing() == 0)
        })
    };
    // RAM use grows with the context, so the last one that fits is found by halving.
    let (mut fitting, mut failing) = (0, subject.config.max_positions.saturating_add(1));
    while failing - fitting > 1 {
        let middle = fitting + (failing - fitting) / 2;
        if fits(middle) { fitting = middle } else { failing = middle }
    }
    (fitting > 0).then_some(fitting)
}
