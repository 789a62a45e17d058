//! Arguments of `sprat ask`.

use std::path::PathBuf;

use clap::Args;

use super::{OpenArguments, SamplingArguments, TeamArguments};

/// What to ask, and what the model may call.
#[derive(Debug, Args)]
pub(in crate::cli) struct AskArguments {
    /// A packed file, or a checkpoint, which is then run in f32
    #[arg(value_name = "F")]
    pub file: PathBuf,
    /// The question
    #[arg(value_name = "QUESTION", required_unless_present = "questions")]
    pub question: Option<String>,
    /// Instead: files of questions with known answers, chats as `sprat train` takes them, to count the right ones
    #[arg(long, value_name = "SET.jsonl", num_args = 1.., conflicts_with_all = ["question", "board", "sensors"])]
    pub questions: Vec<PathBuf>,
    /// Of each file, only the first questions
    #[arg(long, value_name = "N", requires = "questions")]
    pub limit: Option<usize>,
    /// Wrong answers to show of each file
    #[arg(long, value_name = "N", requires = "questions", default_value_t = 0)]
    pub wrong: usize,
    /// Also sample as many chains, at a temperature of 0.7 unless another one is given, and let them vote
    #[arg(long, value_name = "CHAINS", default_value_t = 0, conflicts_with = "board",
        value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub chains: u32,
    /// What a sensor reads, for `read(SENSOR,PLACE)` (may be repeated); others answer `error`
    #[arg(long = "sensor", value_name = "SENSOR,PLACE=VALUE", value_parser = sensor)]
    pub sensors: Vec<String>,
    /// Answer no calls
    #[arg(long)]
    pub no_tools: bool,
    /// Ask on this emulated board instead of on this machine
    #[arg(long, value_name = "BOARD", conflicts_with = "threads")]
    pub board: Option<String>,
    /// Tokens to write at most
    #[arg(long, value_name = "TOKENS", default_value_t = 160)]
    pub max_tokens: u32,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Tokens of context [default: as packed]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    /// Kernels to compute with [default: the best ones]
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    #[command(flatten)]
    pub team: TeamArguments,
    /// Print the answer, the calls and statistics as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArguments,
}

/// `temp,kitchen=23.4`, in one line.
pub(super) fn sensor(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.trim().is_empty() && !text.contains(['\n', '\r']) => Ok(text.to_owned()),
        _ => Err("expected SENSOR=VALUE or SENSOR,PLACE=VALUE, as in temp,kitchen=23.4".to_owned()),
    }
}
