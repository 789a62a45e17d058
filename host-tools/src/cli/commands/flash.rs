//! `sprat flash` and `sprat monitor`: a real board, through the tools that are installed for it.

use anyhow::{Context as _, Result};

use super::super::arguments::{FlashArguments, MonitorArguments};
use super::print;
use crate::flash::{Wanted, flash, monitor};

/// Runs `sprat flash`.
pub(super) fn flash_board(arguments: &FlashArguments) -> Result<()> {
    let boards = arguments.boards.load()?;
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = arguments.files.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let wanted = Wanted {
        board: boards.by_name(&arguments.board)?,
        model: arguments.model.as_deref(),
        firmware: arguments.firmware.as_deref(),
        slot: arguments.slot.slot(),
        tool: arguments.tool,
        drive: arguments.drive.as_deref(),
        dry_run: arguments.dry_run,
    };
    let mut said = String::new();
    let flashed = flash(&wanted, folder, |step| match arguments.dry_run {
        true => said += &format!("{step}\n"),
        false => eprintln!("{step}"),
    });
    print(&said)?;
    flashed
}

/// Runs `sprat monitor`.
pub(super) fn monitor_board(arguments: &MonitorArguments) -> Result<()> {
    let boards = arguments.boards.load()?;
    let command = monitor(boards.by_name(&arguments.board)?, arguments.tool, &arguments.firmware)?;
    match arguments.dry_run {
        true => print(&format!("{command}\n")),
        false => {
            eprintln!("{command}");
            command.run()
        }
    }
}
