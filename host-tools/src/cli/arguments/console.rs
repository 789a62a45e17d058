//! Arguments of `sprat chat`.

use std::path::PathBuf;

use clap::Args;
use sprat_board_support::console::message::{How, MOST_VOTES};

use super::ask::sensor;
use super::{OpenArguments, SamplingArguments, TeamArguments};

/// Whom to talk to, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChatArguments {
    /// A packed file, or a checkpoint, which is then run in f32; a board has a model already
    #[arg(value_name = "MODEL", required_unless_present = "port")]
    pub file: Option<PathBuf>,
    /// Talk to this emulated board instead of to this machine; every board that `sprat emulate` boots without Linux
    #[arg(long, value_name = "BOARD", conflicts_with_all = ["port", "threads"])]
    pub board: Option<String>,
    /// Talk to the board at this serial port, as in /dev/ttyACM0
    #[arg(long, value_name = "PORT", conflicts_with_all = ["file", "threads", "context"])]
    pub port: Option<String>,
    /// Speed of the serial port, in bits a second
    #[arg(long, value_name = "BITS", default_value_t = 115_200, requires = "port")]
    pub baud: u32,
    /// What a scripted sensor reads, for `read(SENSOR,PLACE)` (may be repeated)
    #[arg(long = "sensor", value_name = "SENSOR,PLACE=VALUE", value_parser = sensor)]
    pub sensors: Vec<String>,
    /// Answer no calls
    #[arg(long)]
    no_tools: bool,
    /// Chains that vote on every answer
    #[arg(long, value_name = "K", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_VOTES)))]
    votes: u32,
    /// Let the model read what was said before, too. The default model answers questions best by themselves
    #[arg(long)]
    history: bool,
    /// Tokens of an answer at most
    #[arg(long, value_name = "TOKENS", default_value_t = How::DEFAULT.max_tokens)]
    max_tokens: u32,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Tokens of context [default: as packed]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    #[command(flatten)]
    pub team: TeamArguments,
    /// Print what comes of each line as a line of JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArguments,
}

impl ChatArguments {
    pub fn how(&self) -> How {
        let sampler = self.sampling.config();
        How {
            tools: !self.no_tools,
            max_tokens: self.max_tokens,
            temperature: sampler.temperature,
            top_k: sampler.top_k,
            top_p: sampler.top_p,
            min_p: sampler.min_p,
            repetition_penalty: sampler.repetition_penalty,
            seed: self.sampling.seed,
            votes: self.votes,
            history: self.history,
        }
    }
}
