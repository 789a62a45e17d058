//! The arguments of `sprat eval`.

use std::path::PathBuf;

use clap::Args;

use super::{OpenArguments, TeamArguments};
use crate::cli::values::byte_count;

#[derive(Debug, Args)]
pub(in crate::cli) struct EvalArguments {
    /// Packed files
    #[arg(value_name = "F", required = true)]
    pub files: Vec<PathBuf>,
    /// The checkpoint that they were packed from; it runs in f32
    #[arg(long, value_name = "SRC", required_unless_present = "endless")]
    pub against: Option<PathBuf>,
    /// A text
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Bytes of the text to use; K and M mean 1024 and 1024 x 1024
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = byte_count)]
    pub max_bytes: usize,
    /// Also write the result as JSON (the fields are documented at sprat_tools::eval::Evaluation)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write a report as one HTML page: tables, charts, worst tokens, checksums
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
    /// Also draw divergence and perplexity as SVG
    #[arg(long, value_name = "FILE.svg")]
    pub chart: Option<PathBuf>,
    #[command(flatten)]
    pub endless: EndlessArguments,
    #[command(flatten)]
    pub team: TeamArguments,
    #[command(flatten)]
    pub open: OpenArguments,
}

/// A text without end.
#[derive(Debug, Args)]
pub(in crate::cli) struct EndlessArguments {
    /// Read so many tokens of the text as one, and compare what can be done when the context is full
    #[arg(long, value_name = "TOKENS", conflicts_with_all = ["against", "html"])]
    pub endless: Option<usize>,
    /// Tokens of context [default: as packed]
    #[arg(long, value_name = "TOKENS", requires = "endless")]
    pub context: Option<u32>,
    /// Tokens at the beginning that are never dropped
    #[arg(long, value_name = "TOKENS", requires = "endless", default_value_t = 4)]
    pub sinks: usize,
    /// Tokens that are dropped at once
    #[arg(long, value_name = "TOKENS", requires = "endless", default_value_t = 32)]
    pub drop: usize,
}
