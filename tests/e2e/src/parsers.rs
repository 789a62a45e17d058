//! Every parser of bytes from outside, as one function each: for the fuzz targets and for the test of hostile files.
//!
//! A parser is given any bytes and says whether it accepted them; what it must not do is panic, read out of bounds, or
//! allocate more than the bytes justify. The files around the one in question (a configuration beside weights, weights
//! beside a configuration) are fixed and good, so that what is tested is behind the door.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use sprat::chat::{Chat, Piece};
use sprat::format::chat::{ChatTemplate, Role};
use sprat::format::{HEADER_BYTES, PackedFile, SECTION_BYTES};
use sprat::{Engine, Image, Kernels, Plan};
use sprat_tools::import::{Checkpoint, OpenOptions, tokenizer};
use tempfile::TempDir;

use crate::corpus;

/// A parser and where its inputs lie.
#[derive(Clone, Copy, Debug)]
pub struct Parser {
    /// Name of its folder in `tests/fuzz/corpus`, and of its fuzz target.
    pub name: &'static str,
    /// Parses bytes and uses what came out; whether they were accepted.
    pub parse: fn(&[u8]) -> bool,
}

/// All of them.
pub const PARSERS: [Parser; 8] = [
    Parser { name: "safetensors", parse: safetensors },
    Parser { name: "config_json", parse: config_json },
    Parser { name: "gguf", parse: gguf },
    Parser { name: "llama2c", parse: llama2c },
    Parser { name: "tokenizer_json", parse: tokenizer_json },
    Parser { name: "tokenizer_bin", parse: tokenizer_bin },
    Parser { name: "packed_file", parse: packed_file },
    Parser { name: "chat", parse: chat },
];

/// Tokens of the model that a tokenizer is for.
const VOCABULARY: u32 = 512;
/// Arenas above this are not made: a file may ask for a large context.
const MOST_ARENA: usize = 1 << 20;

/// A directory for the files of this thread.
fn directory() -> PathBuf {
    thread_local!(static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() });
    let make = || tempfile::tempdir().expect("a temporary directory");
    DIRECTORY.with(|directory| directory.get_or_init(make).path().to_owned())
}

/// Opens what a path leads to and reads every number of it.
fn read_all(path: &Path) -> bool {
    let Ok(checkpoint) = Checkpoint::open(path, &OpenOptions::default()) else { return false };
    let tensors: Vec<_> = checkpoint.tensors().map(|tensor| (tensor.role, tensor.layer)).collect();
    // One at a time, as the packer does.
    tensors.into_iter().all(|(role, layer)| checkpoint.read(role, layer).is_ok())
}

/// A file alone in a directory.
fn alone(name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory().join(name);
    fs::write(&path, bytes).expect("a file in a temporary directory");
    path
}

/// A file of a Hugging Face directory whose other files are good.
fn beside(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = directory().join("model");
    if !folder.is_dir() {
        fs::create_dir(&folder).expect("a directory");
    }
    let model = corpus::llama();
    for (other, good) in [("config.json", &model.config), ("model.safetensors", &model.safetensors)] {
        let bytes = if other == name { bytes } else { good };
        fs::write(folder.join(other), bytes).expect("a file in a temporary directory");
    }
    folder
}

/// `model.safetensors` of a small Llama.
pub fn safetensors(bytes: &[u8]) -> bool {
    read_all(&beside("model.safetensors", bytes))
}

/// `config.json` of a small Llama.
pub fn config_json(bytes: &[u8]) -> bool {
    read_all(&beside("config.json", bytes))
}

/// A GGUF file.
pub fn gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GGUF") && read_all(&alone("model.gguf", bytes))
}

/// A llama2.c checkpoint of any version.
pub fn llama2c(bytes: &[u8]) -> bool {
    read_all(&alone("model.bin", bytes))
}

/// `tokenizer.json`.
pub fn tokenizer_json(bytes: &[u8]) -> bool {
    tokenizer::tokenizer_json(&alone("tokenizer.json", bytes), VOCABULARY).is_ok()
}

/// llama2.c's `tokenizer.bin`.
pub fn tokenizer_bin(bytes: &[u8]) -> bool {
    tokenizer::llama2c(&alone("tokenizer.bin", bytes), VOCABULARY).is_ok()
}

/// Section CHAT of a packed file: every order of three messages is said, each answer opened, and the end closed.
pub fn chat(bytes: &[u8]) -> bool {
    let Ok(template) = ChatTemplate::parse(bytes) else { return false };
    assert!(
        template.name().len() <= bytes.len() && template.stop().is_none_or(|stop| stop.len() <= bytes.len())
    );
    let orders = (0..Role::ALL.len().pow(3)).map(|number| [number % 4, number / 4 % 4, number / 16]);
    for (order, opens) in orders.flat_map(|order| [(order, false), (order, true)]) {
        let mut chat = Chat::new(template);
        for role in order {
            let said = chat.say(Role::ALL[role], " a message\n").map(Iterator::count);
            // What may be said is no more than what the template has and the message.
            assert!(said.is_ok_and(|pieces| pieces <= 2) || said.is_err());
            if opens && chat.open_answer().is_ok() {
                chat.answered();
            }
        }
        if let Ok(piece) = chat.close() {
            assert!(matches!(piece, Piece::Template(text) if text.len() <= bytes.len()));
        }
    }
    true
}

/// A packed file, as it is and with its checksums written anew: they would stop nearly every mutation at the door, and
/// what is tested is everything behind them. A file that passes is run for two tokens, and from the text
/// that it says was read before for two more.
pub fn packed_file(bytes: &[u8]) -> bool {
    let mut buffer = vec![0u128; bytes.len().div_ceil(16)];
    let Some(file) = bytemuck::cast_slice_mut(&mut buffer).get_mut(..bytes.len()) else { return false };
    file.copy_from_slice(bytes);
    let as_it_is = PackedFile::parse(file).is_ok();
    // Without a readable section table there is nothing to write anew.
    _ = reseal(file);
    let Ok(packed) = PackedFile::parse(file) else { return as_it_is };
    assert!(packed.tensors().count() > 0);
    let Ok(image) = Image::new(file) else { return as_it_is };
    let Ok(plan) = Plan::new(image.config(), image.limits()) else { return as_it_is };
    if plan.arena_bytes <= MOST_ARENA {
        let mut arena = vec![0u128; plan.arena_bytes.div_ceil(16)];
        let arena = bytemuck::cast_slice_mut(&mut arena);
        let mut engine =
            Engine::new(&image, *image.limits(), arena, Kernels::detect()).expect("the plan was followed");
        // A context of one token has no room for two.
        _ = engine.feed(&[0, 1]);
        if engine.load_prefix().is_ok() {
            _ = engine.feed(&[0, 1]);
        }
    }
    as_it_is
}

/// Writes the checksums of a packed file as its sections are.
pub fn reseal(file: &mut [u8]) -> Option<()> {
    let count = u32::from_le_bytes(*file.get(12..16)?.first_chunk()?) as usize;
    let table = HEADER_BYTES..HEADER_BYTES.checked_add(count.checked_mul(SECTION_BYTES)?)?;
    file.get(table.clone())?;
    for at in table.clone().step_by(SECTION_BYTES) {
        let field =
            |from: usize| file[at + from..].first_chunk().map(|&bytes| u64::from_le_bytes(bytes) as usize);
        let (offset, length) = (field(8)?, field(16)?);
        if let Some(bytes) = file.get(offset..offset.saturating_add(length)) {
            let sum = crc32fast::hash(bytes).to_le_bytes();
            file[at + 4..at + 8].copy_from_slice(&sum);
        }
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&file[..28]);
    sum.update(&file[table]);
    file[28..32].copy_from_slice(&sum.finalize().to_le_bytes());
    Some(())
}
