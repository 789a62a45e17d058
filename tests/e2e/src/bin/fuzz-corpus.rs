//! Writes the corpora that fuzzing begins with, after a format has changed: `cargo run -p sprat-e2e --bin fuzz-corpus`.

use anyhow::{Result, ensure};
use sprat_e2e::{corpus, repository};
use sprat_tools::output::write_whole;

/// Bytes of a seed at most: small files are mutated where it matters.
const MOST_BYTES: usize = 4096;

fn main() -> Result<()> {
    for (parser, name, bytes) in corpus::seeds()? {
        ensure!(bytes.len() <= MOST_BYTES, "{parser}/{name} has {} bytes, at most {MOST_BYTES}", bytes.len());
        let folder = repository().join("tests/fuzz/corpus").join(parser);
        std::fs::create_dir_all(&folder)?;
        write_whole(&folder.join(name), &bytes)?;
        println!("{parser}/{name}: {} bytes", bytes.len());
    }
    Ok(())
}
