//! The arguments of `sprat flash` and `sprat monitor`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sprat_board_support::slots::Slot;

use super::BoardsArguments;
use crate::boards::Tool;

/// Which slot a model goes to.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum SlotChoice {
    /// The one that is not in use, as the board's flash says
    Auto,
    /// The first
    A,
    /// The second
    B,
}

impl SlotChoice {
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::Auto => None,
            Self::A => Some(Slot::A),
            Self::B => Some(Slot::B),
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FlashArguments {
    /// The board
    #[arg(value_name = "BOARD")]
    pub board: String,
    /// A packed file for one of the board's two slots; the firmware stays as it is
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// A firmware
    #[arg(long, value_name = "ELF")]
    pub firmware: Option<PathBuf>,
    /// The slot for the model
    #[arg(long, value_enum, default_value = "auto")]
    pub slot: SlotChoice,
    /// What writes to the flash [default: the board's usual tool]
    #[arg(long, value_enum)]
    pub tool: Option<Tool>,
    /// The drive of a board that takes a file [default: the one that is found]
    #[arg(long, value_name = "PATH")]
    pub drive: Option<PathBuf>,
    /// Where the files for the tool are written and stay [default: a temporary folder]
    #[arg(long, value_name = "FOLDER")]
    pub files: Option<PathBuf>,
    /// Print what would be done, and do not touch the board
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub boards: BoardsArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MonitorArguments {
    /// The board
    #[arg(value_name = "BOARD")]
    pub board: String,
    /// The firmware that runs on it: it holds the texts of the log
    #[arg(long, value_name = "ELF")]
    pub firmware: PathBuf,
    /// What is connected to the board [default: the board's usual tool; a debug probe for one that takes a file]
    #[arg(long, value_enum)]
    pub tool: Option<Tool>,
    /// Print the command, and do not touch the board
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub boards: BoardsArguments,
}
