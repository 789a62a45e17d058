//! The arguments of `sprat bench`.
//!
//! Apart from the others because random models bring the packer's options with them.

use std::path::PathBuf;

use clap::Args;

use super::super::values::{Kv, MatrixLayout, Weights};
use super::OpenArguments;
use crate::bench::Shape;
use crate::model::HOST_PREFILL_CHUNK;
use crate::pack::PackOptions;

#[derive(Debug, Args)]
pub(in super::super) struct BenchArguments {
    /// A packed file, or a checkpoint, which is then run in f32
    #[arg(value_name = "F", conflicts_with = "shape")]
    pub file: Option<PathBuf>,
    /// Random weights instead of a file: stories15m, 42m, 135m, or hidden/layers/feed-forward/vocabulary[/heads[/kv
    /// heads]], after gpt2: for a GPT-2 instead of a Llama
    #[arg(long, value_name = "SHAPE")]
    pub shape: Option<Shape>,
    /// Type of the random weights
    #[arg(long, value_enum, default_value = "q8")]
    weights: Weights,
    /// Inputs that share a scale in q8 random weights
    #[arg(long, default_value_t = PackOptions::default().group)]
    group: u16,
    /// How q8 random weights are arranged
    #[arg(long, value_enum, default_value = "biased")]
    layout: MatrixLayout,
    /// Type of the keys and values of random models
    #[arg(long, value_enum, default_value = "q8")]
    kv: Kv,
    /// Tokens of the prompt
    #[arg(long, value_name = "TOKENS", default_value_t = 64)]
    pub prompt_tokens: usize,
    /// Tokens written
    #[arg(long, value_name = "TOKENS", default_value_t = 64)]
    pub answer_tokens: usize,
    /// Times that everything is measured
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub rounds: usize,
    /// Numbers of threads [default: 1, and the machine's cores, at most 8]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub threads: Vec<usize>,
    /// Kernels to compute with, or all [default: the best ones of this machine]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub kernels: Vec<String>,
    /// Tokens of a prompt that one pass over the weights processes
    #[arg(long, value_name = "TOKENS", default_value_t = HOST_PREFILL_CHUNK)]
    pub prefill_chunk: u32,
    /// Instead of speed: draw how products grow with the length of a text of so many tokens
    #[arg(long, value_name = "OUT.svg")]
    pub growth: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArguments,
}

impl BenchArguments {
    /// How random weights are packed.
    pub fn options(&self) -> PackOptions {
        PackOptions {
            weights: self.weights.into(),
            group: self.group,
            layout: self.layout.into(),
            kv: self.kv.into(),
            ..PackOptions::default()
        }
    }
}
