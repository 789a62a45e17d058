//! Writes what fuzzing of the target `tokenizer` begins with: real tokenizers' sections with a text.
//!
//! Random bytes hardly ever pass the first checks of a section, and a section's tables of Unicode are too large for the
//! committed corpora: `cargo run --example seeds -- ../../models/*/*.sprat` writes into `found`.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use sprat::format::PackedFile;

/// Something of everything that a tokenizer tells apart.
const TEXT: &str = "Once upon a time, 12 caf\u{e9}s weren't 3.5 <|user|>\n\t\u{1f600} \u{4f60}\u{597d}";

fn main() -> Result<(), Box<dyn Error>> {
    for path in env::args().skip(1) {
        let file = fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let packed = PackedFile::parse(&file).map_err(|error| format!("{path}: {error}"))?;
        let section = packed.tokenizer_section();
        let mut seed = u32::try_from(section.len())?.to_le_bytes().to_vec();
        seed.extend(section);
        seed.extend(TEXT.bytes());
        let name = Path::new(&path).file_stem().ok_or("a file without a name")?;
        for (target, bytes) in [("tokenizer", &seed), ("packed_file", &file)] {
            let folder = Path::new("found").join(target);
            fs::create_dir_all(&folder)?;
            let part = folder.join("seed.part");
            fs::write(&part, bytes)?;
            fs::rename(part, folder.join(name))?;
            println!("{}: {} bytes", folder.join(name).display(), bytes.len());
        }
    }
    Ok(())
}
