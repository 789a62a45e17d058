//! llama2.c's checkpoints, versions 0, 1 and 2: seven numbers and then weights in a fixed order.
//!
//! Version 0 has no magic; it is recognised by its length, which follows from the seven numbers, and a negative
//! vocabulary size says that the output head is a matrix of its own. Versions 1 and 2 begin with `ak42` and a header of
//! 256 bytes; their norms come first. Version 2 has signed bytes with an `f32` scale for each group, and its groups go on
//! from row to row. The order of everything is that of llama2.c's `export.py`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sprat_format::{Activation, Config, FeedForward, Norm, Pairing, Position, Role};

use super::hugging_face::SpecialTokens;
use super::rotary::{self, Scaling};
use super::tensor::{Dtype, Source, Storage, Stored, View};
use super::{Checkpoint, Tensors};
use crate::map::MappedFile;

/// What this format is called.
pub(super) const NAME: &str = "llama2.c";
/// Versions 1 and 2 begin with this number, `ak42`.
const MAGIC: [u8; 4] = 0x616b_3432u32.to_le_bytes();

/// Bytes of the seven numbers.
const NUMBERS_BYTES: usize = 28;
/// Bytes of the header of versions 1 and 2.
const HEADER_BYTES: usize = 256;
/// llama2.c's fixed choices.
const NORM_EPS: f32 = 1e-5;
const ROPE_THETA: f64 = 10_000.0;
const BOS: u32 = 1;
const EOS: u32 = 2;

/// The header, checked.
struct Header {
    version: u32,
    config: Config,
    shared_head: bool,
    /// How matrices are stored.
    matrices: Storage,
}

/// Opens a mapped file that no other format claims; `None` when this one does not, either.
pub(super) fn open(path: &Path, file: MappedFile) -> Result<Option<Checkpoint>> {
    let header = if file.starts_with(&MAGIC) {
        newer_header(&file).with_context(|| format!("{} is a llama2.c checkpoint", path.display()))?
    } else {
        match oldest_header(&file) {
            Some(header) => header,
            None => return Ok(None),
        }
    };
    let Header { version, config, shared_head, matrices } = header;
    let offset = if version == 0 { NUMBERS_BYTES } else { HEADER_BYTES };
    let mut layout = Layout { tensors: None, offset, config, matrices };
    let lay_out = |layout: &mut Layout| match version {
        0 => layout.oldest(shared_head),
        _ => layout.newer(shared_head),
    };
    // The length is known before anything is kept: a header may claim a thousand layers.
    lay_out(&mut layout);
    ensure!(
        layout.offset == file.len(),
        "{} has {} bytes; a llama2.c checkpoint of version {version} with its header (dim {}, hidden {}, layers {}, \
         heads {}, kv heads {}, vocabulary {}, positions {}) has {}: it is cut short, or of another format",
        path.display(),
        file.len(),
        config.hidden_size,
        config.ffn_size,
        config.layers,
        config.heads,
        config.kv_heads,
        config.vocab_size,
        config.max_positions,
        layout.offset,
    );
    let mut layout = Layout { tensors: Some(Tensors::new()), offset, config, matrices };
    lay_out(&mut layout);
    let mut tensors = layout.tensors.unwrap_or_default();
    let dims = config.rotary_dims();
    let frequencies = rotary::frequencies(ROPE_THETA, dims, Scaling::Default);
    let stored = Stored { name: "rotary frequencies".into(), source: Source::Computed(frequencies) };
    tensors.insert((None, Role::RotaryFrequencies), stored);
    let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
    let source = format!("{NAME} version {version}");
    let mut checkpoint = Checkpoint::new(config, name, source, vec![file], tensors);
    // llama2.c's generation ends when the model begins a new text.
    checkpoint.take_tokens(SpecialTokens { bos: Some(BOS), end_tokens: vec![BOS, EOS] });
    checkpoint.add_bos = checkpoint.bos.is_some();
    Ok(Some(checkpoint))
}

/// The configuration of seven numbers; `None` when no model has such.
fn config(numbers: &[[u8; 4]]) -> Option<Config> {
    let number = |index: usize| numbers.get(index).map(|&bytes| i32::from_le_bytes(bytes));
    let count = |index: usize| u32::try_from(number(index)?).ok();
    let (hidden_size, heads) = (count(0)?, count(3)?);
    let head_dim = hidden_size.checked_div(heads)?;
    let config = Config {
        vocab_size: number(5)?.unsigned_abs(),
        hidden_size,
        layers: count(2)?,
        heads,
        kv_heads: count(4)?,
        head_dim,
        ffn_size: count(1)?,
        max_positions: count(6)?,
        norm: Norm::RmsNorm,
        norm_eps: NORM_EPS,
        position: Position::Rotary { dims: head_dim, pairing: Pairing::Interleaved },
        feed_forward: FeedForward::Gated(Activation::Silu),
        group: 0,
        ..Config::PLAIN
    };
    let possible = config.validate().is_ok() && head_dim * heads == hidden_size;
    possible.then_some(config)
}

fn oldest_header(bytes: &[u8]) -> Option<Header> {
    let (numbers, _) = bytes.get(..NUMBERS_BYTES)?.as_chunks::<4>();
    let config = config(numbers)?;
    let shared_head = i32::from_le_bytes(numbers[5]) > 0;
    Some(Header { version: 0, config, shared_head, matrices: Storage::Plain(Dtype::F32) })
}

fn newer_header(bytes: &[u8]) -> Result<Header> {
    let Some(header) = bytes.get(..HEADER_BYTES) else {
        bail!("it has {} bytes, its header alone has {HEADER_BYTES}: it is cut short", bytes.len());
    };
    let (words, _) = header.as_chunks::<4>();
    let version = u32::from_le_bytes(words[1]);
    ensure!((1..=2).contains(&version), "its version is {version}; supported: 0, 1 and 2");
    let numbers = &words[2..9];
    let config = config(numbers).filter(|_| i32::from_le_bytes(numbers[5]) > 0);
    let Some(config) = config else {
        let numbers: Vec<_> = numbers.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect();
        bail!(
            "its header (dim, hidden, layers, heads, kv heads, vocabulary, positions) is {numbers:?}, which no model \
             has: it is damaged"
        );
    };
    let shared_head = match header[36] {
        flag @ 0..=1 => flag == 1,
        flag => bail!("its flag for a shared head is {flag}; expected 0 or 1: it is damaged"),
    };
    let group = i32::from_le_bytes([header[37], header[38], header[39], header[40]]);
    let matrices = match version {
        1 => Storage::Plain(Dtype::F32),
        _ => Storage::Groups { group: usize::try_from(group).ok().filter(|&group| group > 0).unwrap_or(0) },
    };
    if let Storage::Groups { group: size } = matrices {
        let sizes =
            [Role::TokenEmbedding, Role::Query, Role::Key, Role::AttentionOutput, Role::Gate, Role::Down];
        let whole = |role: &Role| {
            let (rows, cols) = role.shape(&config);
            (rows as usize * cols as usize).is_multiple_of(size)
        };
        ensure!(
            size > 0 && sizes.iter().all(whole),
            "its group size is {group}; expected a divisor of the sizes of its matrices: it is damaged"
        );
    }
    Ok(Header { version, config, shared_head, matrices })
}

/// The tensors in the order of the file, as far as they have been laid out.
struct Layout {
    /// None where only the length is wanted.
    tensors: Option<Tensors>,
    offset: usize,
    config: Config,
    matrices: Storage,
}

const EMBEDDING: (&str, Role) = ("tok_embeddings", Role::TokenEmbedding);
const ATTENTION_NORM: (&str, Role) = ("rms_att_weight", Role::AttentionNorm);
const ATTENTION: [(&str, Role); 4] =
    [("wq", Role::Query), ("wk", Role::Key), ("wv", Role::Value), ("wo", Role::AttentionOutput)];
const FFN_NORM: (&str, Role) = ("rms_ffn_weight", Role::FeedForwardNorm);
const FFN: [(&str, Role); 3] = [("w1", Role::Gate), ("w2", Role::Down), ("w3", Role::Up)];
const FINAL_NORM: (&str, Role) = ("rms_final_weight", Role::FinalNorm);
const HEAD: (&str, Role) = ("wcls", Role::Head);

impl Layout {
    fn oldest(&mut self, shared_head: bool) {
        self.tensor(EMBEDDING, None);
        self.in_layers(&[ATTENTION_NORM]);
        self.in_layers(&ATTENTION);
        self.in_layers(&[FFN_NORM]);
        self.in_layers(&FFN);
        self.tensor(FINAL_NORM, None);
        // Sines and cosines of the rotary embedding; they are computed afresh.
        let table_bytes = self.config.max_positions as usize * (self.config.head_dim as usize / 2) * 4;
        self.offset += 2 * table_bytes;
        if !shared_head {
            self.tensor(HEAD, None);
        }
    }

    fn newer(&mut self, shared_head: bool) {
        self.in_layers(&[ATTENTION_NORM]);
        self.in_layers(&[FFN_NORM]);
        self.tensor(FINAL_NORM, None);
        self.tensor(EMBEDDING, None);
        self.in_layers(&ATTENTION);
        self.in_layers(&FFN);
        if !shared_head {
            self.tensor(HEAD, None);
        }
    }

    /// Each kind of tensor for all layers, one kind after the other.
    fn in_layers(&mut self, kinds: &[(&str, Role)]) {
        for &(name, role) in kinds {
            for layer in 0..self.config.layers as u16 {
                self.tensor((&format!("{name}[{layer}]"), role), Some(layer));
            }
        }
    }

    fn tensor(&mut self, (name, role): (&str, Role), layer: Option<u16>) {
        let (rows, cols) = role.shape(&self.config);
        let view = View::whole(rows as usize, cols as usize);
        let storage = if role.is_matrix() { self.matrices } else { Storage::Plain(Dtype::F32) };
        let bytes = storage.bytes(view.rows * view.cols);
        let source = Source::Mapped { file: 0, offset: self.offset, bytes, storage, view };
        if let Some(tensors) = &mut self.tensors {
            tensors.insert((layer, role), Stored { name: name.to_owned(), source });
        }
        self.offset += bytes;
    }
}
