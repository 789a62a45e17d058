//! The arguments of `sprat plan`, and how boards are named anywhere.

use std::path::PathBuf;

use clap::Args;

use crate::boards::Boards;

use super::super::values::Kv;

/// Where boards come from.
#[derive(Debug, Args)]
pub(in crate::cli) struct BoardsArguments {
    /// A file of boards of your own, as boards/README.md describes it; they add to those that are known
    #[arg(long, value_name = "FILE.toml")]
    boards: Option<PathBuf>,
}

impl BoardsArguments {
    /// Every board.
    pub fn load(&self) -> anyhow::Result<Boards> {
        Boards::load(self.boards.as_deref())
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PlanArguments {
    /// A packed file, or a checkpoint as it would be packed
    #[arg(value_name = "F", required_unless_present_any = ["what_fits", "list_boards"])]
    pub file: Option<PathBuf>,
    /// The board
    #[arg(long, value_name = "NAME", required_unless_present_any = ["all_boards", "what_fits", "list_boards"])]
    pub board: Option<String>,
    /// Every board that is known, one line each
    #[arg(long, conflicts_with = "board")]
    pub all_boards: bool,
    /// Shapes of models that fill a board, instead of a file
    #[arg(long, value_name = "BOARD", conflicts_with_all = ["file", "board", "all_boards", "kv", "logits_rows"])]
    pub what_fits: Option<String>,
    /// With --what-fits: also the largest shapes that write so many tokens a second
    #[arg(long, value_name = "RATE", default_value_t = 10.0, requires = "what_fits")]
    pub tokens_per_second: f64,
    /// Every board that is known, with its memories and where the numbers come from
    #[arg(long, conflicts_with_all = ["file", "board", "all_boards", "what_fits", "context", "json"])]
    pub list_boards: bool,
    /// Tokens of context [default: as packed]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    /// Type of the keys and values [default: as packed]
    #[arg(long, value_enum)]
    pub kv: Option<Kv>,
    /// Rows of the output head whose logits are in memory at once; 0 for all [default: as packed]
    #[arg(long, value_name = "ROWS")]
    pub logits_rows: Option<u32>,
    /// Also plan a packed file that is streamed from a source of so many MB/s, as SPI flash or an SD card
    #[arg(long, value_name = "MB/S", requires = "board", value_parser = source_rate)]
    pub stream: Option<f64>,
    /// With --stream: the window, in KiB
    #[arg(long, value_name = "KIB", default_value_t = 32, requires = "stream")]
    pub window: usize,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub boards: BoardsArguments,
}

fn source_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected megabytes a second, as 4.5".to_owned())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("expected more than 0 MB/s".to_owned()) }
}
