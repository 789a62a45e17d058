//! A model while it is being quantized: every weight in single precision, and the bytes of those that are rounded.
//!
//! It is packed in memory as often as something is measured, so that every measurement is the runtime's own. All
//! weights are in memory: calibration needs four bytes a parameter, unlike plain packing.

use std::collections::BTreeMap;
use std::io::Cursor;

use anyhow::{Context, Result};
use sprat_format::{Config, Element, KvType, Layout as RowLayout, Limits, Role, TensorSpec};

use crate::chat::Compiled;
use crate::import::Checkpoint;
use crate::map::PageBuffer;
use crate::pack::{self, PackOptions, metadata, write_tensors};
use crate::quantize::{self, Encoded};

/// Which tensor.
pub(super) type Key = (Option<u16>, Role);

/// The model.
pub(super) struct Draft<'c> {
    checkpoint: &'c Checkpoint,
    options: &'c PackOptions,
    /// The blueprint with the quantization's group.
    pub config: Config,
    limits: Limits,
    chat: Option<Compiled>,
    /// The tensors in the order of the file, with the types that the options say.
    pub specs: Vec<TensorSpec>,
    /// All tensors, changed by whatever keeps the model's function.
    pub weights: BTreeMap<Key, Vec<f32>>,
    /// The bytes, in row order, of matrices that were rounded with care.
    pub rounded: BTreeMap<Key, Encoded>,
}

/// The key of a tensor.
pub(super) fn key(spec: &TensorSpec) -> Key {
    (spec.layer, spec.role)
}

/// Whether a tensor is q8.
pub(super) fn is_q8(spec: &TensorSpec) -> bool {
    matches!(spec.element, Element::Q8 { .. })
}

impl<'c> Draft<'c> {
    pub fn new(checkpoint: &'c Checkpoint, options: &'c PackOptions) -> Result<Self> {
        let pack::Layout { config, limits, specs } = pack::layout(checkpoint, options)?;
        let chat = pack::compile_chat(checkpoint, options)?;
        let read = |spec: &TensorSpec| Ok((key(spec), checkpoint.read(spec.role, spec.layer)?));
        let weights = specs.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { checkpoint, options, config, limits, chat, specs, weights, rounded: BTreeMap::new() })
    }

    /// The tensors of which none is rounded.
    pub fn exact(&self) -> Vec<TensorSpec> {
        self.specs.iter().map(|spec| with_element(spec, Element::F32, self.options.layout)).collect()
    }

    /// A tensor's specification with another element type.
    pub fn retyped(&self, spec: &TensorSpec, element: Element) -> TensorSpec {
        with_element(spec, element, self.options.layout)
    }

    /// How the device keeps keys and values.
    pub fn kv(&self) -> KvType {
        self.limits.kv
    }

    /// Bytes of the packed file's tokenizer and the like do not depend on the types: a file's length is that of another
    /// plus the difference of their tensors.
    pub fn tokenizer(&self) -> &[u8] {
        self.checkpoint.tokenizer.as_deref().unwrap_or_default()
    }

    /// Packs the model with the types of `specs`.
    pub fn pack(&self, specs: &[TensorSpec], kv: KvType, recipe: &str) -> Result<Vec<u8>> {
        let group = if specs.iter().any(is_q8) { self.config.group } else { 0 };
        let config = Config { group, ..self.config };
        let limits = Limits { kv, ..self.limits };
        let recipe = self.checkpoint.recipe_with(recipe);
        let meta = metadata(self.checkpoint, self.options, config, limits, &recipe, self.chat.as_ref());
        let chat = self.chat.as_ref().map_or(&[][..], |chat| &chat.section);
        let mut bytes = Vec::new();
        write_tensors(&meta, self.tokenizer(), chat, specs, Cursor::new(&mut bytes), |tensors, spec| {
            match self.rounded.get(&key(spec)).filter(|_| is_q8(spec)) {
                Some(encoded) => tensors.encoded(spec, encoded.clone()),
                None => {
                    let name = self.checkpoint.tensor_name(spec);
                    let weights = self.weights.get(&key(spec)).context("a tensor is missing")?;
                    let cols = spec.cols as usize;
                    let read = |rows: std::ops::Range<usize>| {
                        Ok(weights[rows.start * cols..rows.end * cols].to_vec())
                    };
                    tensors.rows(spec, name, read, |_| {})
                }
            }
        })?;
        Ok(bytes)
    }

    /// The same, aligned for running.
    pub fn image(&self, specs: &[TensorSpec], kv: KvType) -> Result<PageBuffer> {
        PageBuffer::copy_of(&self.pack(specs, kv, "")?)
    }

    /// What a tensor is called in the checkpoint.
    pub fn name(&self, spec: &TensorSpec) -> &str {
        self.checkpoint.tensor_name(spec)
    }

    /// Rounds a matrix to nearest.
    pub fn nearest(&self, spec: &TensorSpec) -> Result<Encoded> {
        let weights = self.weights.get(&key(spec)).context("a tensor is missing")?;
        quantize::encode(spec.element, spec.cols as usize, weights)
            .with_context(|| format!("tensor {}", self.name(spec)))
    }
}

fn with_element(spec: &TensorSpec, element: Element, layout: RowLayout) -> TensorSpec {
    let element = if spec.role.is_matrix() { element } else { Element::F32 };
    let layout = if matches!(element, Element::Q8 { .. }) { layout } else { RowLayout::Rows };
    TensorSpec { element, layout, ..*spec }
}
