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
    #[arg(long, value_name = "SRC")]
    pub against: PathBuf,
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
    pub team: TeamArguments,
    #[command(flatten)]
    pub open: OpenArguments,
}
