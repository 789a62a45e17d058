//! The arguments of `sprat inspect`.

use std::path::PathBuf;

use clap::Args;

use super::OpenArguments;
use crate::inspect::Order;

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArguments {
    /// A packed file or a checkpoint
    #[arg(value_name = "F")]
    pub file: PathBuf,
    /// Another one: show what differs, tensor by tensor, in settings and in numbers
    #[arg(long, value_name = "F2", conflicts_with = "tensors")]
    pub diff: Option<PathBuf>,
    /// Read every tensor, and list them with range, RMS and outliers
    #[arg(long)]
    pub tensors: bool,
    /// Sort the list of tensors, the largest first; of a diff, any order but that of the file sorts by error
    #[arg(long, value_enum, default_value = "file")]
    pub sort: Order,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArguments,
}
