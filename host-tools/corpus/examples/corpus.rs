//! Writes the corpus of the default assistant: `cargo run --release -p sprat-corpus --example corpus -- -o DIR`.

use anyhow::Result;
use clap::Parser;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    corpus: sprat_corpus::Args,
}

fn main() -> Result<()> {
    let Command { corpus } = Command::parse();
    sprat_corpus::write(corpus.recipe(), &corpus.output)
}
