//! Emulated boards: what each is expected to compute with, and models packed for it.

use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::ProgressBar;
use sprat_board_support::memory::{Board, DEFAULT_MODEL};
use sprat_emulator::machine;
use sprat_format::Layout;
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::pack::{self, PackOptions};

use crate::repository;

/// What is missing on this machine to build and boot the board's firmware, if anything is.
pub fn missing(board: &Board) -> Option<String> {
    match machine::program(board) {
        Some(program) => crate::missing(program, board.target),
        None => Some(format!("{} is not emulated", board.name)),
    }
}

/// Whether the board can be emulated here; a test says what is missing and returns when not.
pub fn can_emulate(test: &str, board: &Board) -> bool {
    let missing = missing(board);
    if let Some(missing) = &missing {
        println!("SKIP {test}: {missing}");
    }
    missing.is_none()
}

/// The kernels that the board's firmware is to choose.
pub fn kernels(board: &Board) -> &'static str {
    match (board.target, board.cpu) {
        (_, "cortex-m55") => "mve",
        ("thumbv7em-none-eabihf", _) | (_, "cortex-m33") => "dsp",
        ("aarch64-unknown-none", _) => "neon",
        _ => "portable",
    }
}

/// The arrangement of weights that those kernels are made for.
pub fn layout(board: &Board) -> Layout {
    match kernels(board) {
        "dsp" => Layout::InterleavedBiased,
        _ => Layout::Interleaved,
    }
}

/// Packs a checkpoint for a board.
///
/// # Errors
/// What packing says.
pub fn pack_for(board: &Board, source: &Path, open: &OpenOptions, out: &Path) -> Result<()> {
    let options = PackOptions { layout: layout(board), ..PackOptions::default() };
    let checkpoint = Checkpoint::open(source, open)?;
    pack::to_file(&checkpoint, &options, out, &ProgressBar::hidden(), |_| Ok(()))?;
    Ok(())
}

/// Packs the default model for a board.
///
/// # Errors
/// What packing says.
pub fn pack_default_for(board: &Board, out: &Path) -> Result<()> {
    let packed = repository().join(DEFAULT_MODEL);
    let source = packed.parent().context("the default model lies in a folder")?;
    pack_for(board, source, &OpenOptions::default(), out)
}
