//! llama2.c's checkpoint, version 0: seven numbers and then `f32` weights in a fixed order.
//!
//! The file has no magic; it is recognised by its length, which follows from the seven numbers. A negative
//! vocabulary size says that the output head is a matrix of its own.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use sprat_format::{Activation, Config, FeedForward, Norm, Pairing, Position, Role};

use super::hugging_face::SpecialTokens;
use super::rotary::{self, Scaling};
use super::tensor::{Dtype, Source, Storage, Stored, View};
use super::{Checkpoint, Tensors};
use crate::map::MappedFile;

/// What this format is called.
pub(super) const NAME: &str = "llama2.c";

const HEADER_BYTES: usize = 28;
/// Versions 1 and 2 begin with this number, `ak42`.
const NEWER_MAGIC: u32 = 0x616b_3432;
/// llama2.c's fixed choices.
const NORM_EPS: f32 = 1e-5;
const ROPE_THETA: f64 = 10_000.0;
const BOS: u32 = 1;
const EOS: u32 = 2;

/// The seven numbers of the header, checked.
struct Header {
    config: Config,
    shared_head: bool,
}

/// Whether a file may be meant as a llama2.c checkpoint: asked only when no other format claims it.
pub(super) fn is_newer_version(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|&b| u32::from_le_bytes(b) == NEWER_MAGIC)
}

/// Opens a mapped file.
pub(super) fn open(path: &Path, file: MappedFile) -> Result<Checkpoint> {
    ensure!(
        !is_newer_version(&file),
        "{} is a llama2.c checkpoint of version 1 or 2 (ak42); supported: version 0, exported with \
         `export.py --version 0`",
        path.display()
    );
    let Some(Header { config, shared_head }) = header(&file) else {
        bail!(
            "{} is no checkpoint that is known here: expected a packed file, a llama2.c checkpoint or a \
             Hugging Face directory",
            path.display()
        );
    };
    let mut layout = Layout { tensors: Tensors::new(), offset: HEADER_BYTES, config };
    layout.weights(shared_head);
    ensure!(
        layout.offset == file.len(),
        "{} has {} bytes; a llama2.c checkpoint with its header (dim {}, hidden {}, layers {}, heads {}, kv \
         heads {}, vocabulary {}, positions {}) has {}: it is cut short, or of another format",
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
    let dims = config.rotary_dims();
    let frequencies = rotary::frequencies(ROPE_THETA, dims, Scaling::Default);
    let stored = Stored { name: "rotary frequencies".into(), source: Source::Computed(frequencies) };
    layout.tensors.insert((None, Role::RotaryFrequencies), stored);
    let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
    let mut checkpoint =
        Checkpoint::new(config, name, format!("{NAME} version 0"), vec![file], layout.tensors);
    // llama2.c's generation ends when the model begins a new text.
    checkpoint.take_tokens(SpecialTokens { bos: Some(BOS), end_tokens: vec![BOS, EOS] });
    checkpoint.add_bos = checkpoint.bos.is_some();
    Ok(checkpoint)
}

fn header(bytes: &[u8]) -> Option<Header> {
    let (words, _) = bytes.get(..HEADER_BYTES)?.as_chunks::<4>();
    let word = |index: usize| i32::from_le_bytes(words[index]);
    let count = |index: usize| u32::try_from(word(index)).ok();
    let (hidden_size, heads) = (count(0)?, count(3)?);
    let head_dim = hidden_size.checked_div(heads)?;
    let config = Config {
        vocab_size: word(5).unsigned_abs(),
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
    possible.then_some(Header { config, shared_head: word(5) > 0 })
}

/// The tensors in the order of the file, as far as they have been laid out.
struct Layout {
    tensors: Tensors,
    offset: usize,
    config: Config,
}

impl Layout {
    fn weights(&mut self, shared_head: bool) {
        let layers = self.config.layers as usize;
        self.tensor("tok_embeddings", Role::TokenEmbedding, None);
        let in_layers = [
            ("rms_att_weight", Role::AttentionNorm),
            ("wq", Role::Query),
            ("wk", Role::Key),
            ("wv", Role::Value),
            ("wo", Role::AttentionOutput),
            ("rms_ffn_weight", Role::FeedForwardNorm),
            ("w1", Role::Gate),
            ("w2", Role::Down),
            ("w3", Role::Up),
        ];
        for (name, role) in in_layers {
            for layer in 0..layers {
                self.tensor(&format!("{name}[{layer}]"), role, Some(layer as u16));
            }
        }
        self.tensor("rms_final_weight", Role::FinalNorm, None);
        // Sines and cosines of the rotary embedding; they are computed afresh.
        let table_bytes = self.config.max_positions as usize * (self.config.head_dim as usize / 2) * 4;
        self.offset += 2 * table_bytes;
        if !shared_head {
            self.tensor("wcls", Role::Head, None);
        }
    }

    fn tensor(&mut self, name: &str, role: Role, layer: Option<u16>) {
        let (rows, cols) = role.shape(&self.config);
        let view = View::whole(rows as usize, cols as usize);
        let storage = Storage::Plain(Dtype::F32);
        let bytes = storage.bytes(view.rows * view.cols);
        let source = Source::Mapped { file: 0, offset: self.offset, bytes, storage, view };
        self.tensors.insert((layer, role), Stored { name: name.to_owned(), source });
        self.offset += bytes;
    }
}
