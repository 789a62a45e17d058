//! The arguments of `sprat pack` that trim the vocabulary.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct TrimArguments {
    /// Keep only the tokens that this text of the model's domain uses (and those without which some text could not be
    /// encoded), and say what is lost
    #[arg(long = "trim-vocab", value_name = "TEXT")]
    pub text: Option<PathBuf>,
    /// Measure the loss on this text [default: on the last tenth of the domain's text, with the tokens of the rest]
    #[arg(long = "trim-report", value_name = "TEXT2", requires = "text")]
    pub held_out: Option<PathBuf>,
    /// Keep at most so many tokens: the most frequent ones
    #[arg(long, value_name = "N", requires = "text")]
    pub keep_tokens: Option<usize>,
}
