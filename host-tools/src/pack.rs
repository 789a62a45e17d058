//! Packing: a checkpoint becomes the file that a device runs.
//!
//! Tensors pass through one at a time and in bands of rows, so memory is that of the largest one at most. The bytes depend on the
//! checkpoint and the options alone (no time, no path, no machine), so a packed file can be reproduced and
//! compared. A file appears under its name only when it is whole.

use std::io::{BufWriter, Cursor, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use sprat_board_support::memory::PROMPT_BYTES_A_TOKEN;
use sprat_format::tokenizer::TokenizerTables;
use sprat_format::{
    Config, Element, InsertError, KvType, Layout as RowLayout, Limits, Meta, Role, TensorSpec, Writer,
    insert_section,
};

use crate::chat::{self, ChatOptions, ChatSource, Compiled};
use crate::import::{Checkpoint, MAX_END_TOKENS};
use crate::map::PageBuffer;
use crate::output::Unfinished;

mod stream;

pub(crate) use stream::Tensors;
use stream::{SeekSink, failed};

/// The context that a model is packed for when nothing is said, or less if it has fewer positions.
const DEFAULT_CONTEXT: u32 = 2048;
/// Inputs that share a scale when nothing is said. Measured on stories260K and the default model, 64 against 32
/// saves 3 % of the file and half of the kernels' work between groups; the divergence from the checkpoint is
/// 7 to 25 % larger and the perplexity within a few tenths of a per cent either way.
const DEFAULT_GROUP: u16 = 64;
/// What the cores with the DSP extension (M4, M7, M33) need for their fastest product; the laptop's kernels take
/// either interleaved form, Helium (M55) too, at a third more instructions.
const DEFAULT_LAYOUT: RowLayout = RowLayout::InterleavedBiased;
/// Who writes the files.
pub(crate) const TOOL: &str = concat!("sprat ", env!("CARGO_PKG_VERSION"));
/// What the metadata need beside their texts, generously.
const META_BYTES: usize = 1024;

/// Type of the matrices' elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// Signed bytes with a scale for each group.
    Q8,
    /// Half precision.
    F16,
    /// Single precision.
    F32,
}

/// How to pack.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// Type of the matrices.
    pub weights: WeightType,
    /// Type of single matrices that differ from it.
    pub exceptions: Vec<(Role, WeightType)>,
    /// Inputs that share a scale in `q8`: 4 to 256, a multiple of 4.
    pub group: u16,
    /// How the bytes of `q8` matrices are arranged. The numbers are the same in every layout.
    pub layout: RowLayout,
    /// How the device keeps keys and values.
    pub kv: KvType,
    /// Tokens of context; by default what the model was trained for, at most 2048.
    pub context: Option<u32>,
    /// Tokens that one pass over the weights processes while reading a prompt.
    pub prefill_chunk: u32,
    /// Bytes of text that can be tokenized at once; by default 4 for each token of the context.
    pub prompt_bytes: Option<u32>,
    /// Rows of the output head whose logits the device has in memory at once, a multiple of 4; 0 for all.
    pub logits_rows: u32,
    /// Name of the model; by default that of the checkpoint.
    pub name: Option<String>,
    /// The chat template.
    pub chat: ChatOptions,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            weights: WeightType::Q8,
            exceptions: Vec::new(),
            group: DEFAULT_GROUP,
            layout: DEFAULT_LAYOUT,
            kv: KvType::Q8,
            context: None,
            prefill_chunk: 8,
            prompt_bytes: None,
            logits_rows: 0,
            name: None,
            chat: ChatOptions::default(),
        }
    }
}

impl PackOptions {
    /// Nothing is rounded: what a checkpoint is measured by.
    pub fn exact() -> Self {
        let chat = ChatOptions { source: ChatSource::IfPossible, ..ChatOptions::default() };
        Self { weights: WeightType::F32, kv: KvType::F32, chat, ..Self::default() }
    }

    pub(crate) fn element(&self, role: Role) -> Element {
        let exception = self.exceptions.iter().find(|(exception, _)| *exception == role);
        match exception.map_or(self.weights, |&(_, weights)| weights) {
            _ if !role.is_matrix() => Element::F32,
            WeightType::F32 => Element::F32,
            WeightType::F16 => Element::F16,
            WeightType::Q8 => Element::Q8 { group: self.group },
        }
    }

    /// The limits that a model of this configuration is packed for.
    ///
    /// # Errors
    /// A context beyond the model's positions.
    pub fn limits(&self, config: &Config) -> Result<Limits> {
        let most = config.max_positions;
        let context = self.context.unwrap_or(most.min(DEFAULT_CONTEXT));
        ensure!(
            (1..=most).contains(&context),
            "a context of {context} tokens was asked for; the model was trained for 1 to {most}: ask for no more"
        );
        let prompt_bytes = self.prompt_bytes.unwrap_or(context.saturating_mul(PROMPT_BYTES_A_TOKEN));
        let Self { prefill_chunk, kv, logits_rows, .. } = *self;
        Ok(Limits { context, prefill_chunk, prompt_bytes, kv, logits_rows })
    }
}

/// What a model will be packed as.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The blueprint with the quantization's group.
    pub config: Config,
    /// The packed limits.
    pub limits: Limits,
    /// The tensors in the order of the file.
    pub specs: Vec<TensorSpec>,
}

/// Decides types and limits.
///
/// # Errors
/// Options that are impossible for this model.
pub fn layout(checkpoint: &Checkpoint, options: &PackOptions) -> Result<Layout> {
    let limits = options.limits(&checkpoint.config)?;
    for (role, _) in &options.exceptions {
        let present = checkpoint.tensors().any(|tensor| tensor.role == *role);
        ensure!(present && role.is_matrix(), "the model has no matrix {}", role.name());
    }
    let spec = |tensor: crate::import::TensorInfo<'_>| {
        let (rows, cols) = tensor.role.shape(&checkpoint.config);
        let element = options.element(tensor.role);
        let quantized = matches!(element, Element::Q8 { .. });
        let layout = if quantized { options.layout } else { RowLayout::Rows };
        TensorSpec { role: tensor.role, layer: tensor.layer, element, layout, rows, cols }
    };
    let specs: Vec<_> = checkpoint.tensors().map(spec).collect();
    let quantized = specs.iter().any(|spec| matches!(spec.element, Element::Q8 { .. }));
    let config = Config { group: if quantized { options.group.into() } else { 0 }, ..checkpoint.config };
    ensure!(
        !quantized || (4..=256).contains(&config.group) && config.group.is_multiple_of(4),
        "a group of {} inputs was asked for; expected 4 to 256, a multiple of 4",
        config.group
    );
    sprat::Plan::new(&config, &limits).map_err(|error| anyhow!("the model cannot be planned: {error}"))?;
    Ok(Layout { config, limits, specs })
}

/// The chat template that the file gets.
///
/// # Errors
/// One that cannot be compiled, with what to do.
pub fn compile_chat(checkpoint: &Checkpoint, options: &PackOptions) -> Result<Option<Compiled>> {
    let Checkpoint { chat_template, template_tokens, tokenizer, .. } = checkpoint;
    chat::compile_for(&options.chat, chat_template, template_tokens, tokenizer.as_deref())
}

/// The tokens that end a generation: the checkpoint's, and the one that ends an answer in the template. It goes first,
/// so that it is in any case among those that fit.
fn end_tokens(checkpoint: &Checkpoint, chat: Option<&Compiled>) -> Vec<u32> {
    let text = chat.and_then(|chat| chat.end_token.as_deref());
    let id =
        |text: &str| TokenizerTables::parse(checkpoint.tokenizer.as_deref()?).ok()?.id_of(text.as_bytes());
    let of_chat = text.and_then(id);
    let mut ids: Vec<_> = of_chat
        .into_iter()
        .chain(checkpoint.end_tokens.iter().copied().filter(|&id| Some(id) != of_chat))
        .collect();
    ids.truncate(MAX_END_TOKENS);
    ids.sort_unstable();
    ids
}

/// Writes the packed file to `out` and returns its length.
///
/// # Errors
/// A weight that cannot be stored, by tensor and place; a failed write.
pub fn write(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    out: impl Write + Seek,
    progress: &ProgressBar,
) -> Result<u64> {
    let layout = layout(checkpoint, options)?;
    let numbers = |spec: &TensorSpec| u64::from(spec.rows) * u64::from(spec.cols);
    progress.set_length(layout.specs.iter().map(numbers).sum());
    write_layout(checkpoint, options, &layout, out, |tensors, spec| {
        let name = checkpoint.tensor_name(spec);
        progress.set_message(name.to_owned());
        let read = |rows| checkpoint.read_rows(spec.role, spec.layer, rows);
        tensors.rows(spec, name, read, |count| progress.inc(count))?;
        checkpoint.release(spec.role, spec.layer);
        Ok(())
    })
}

/// Bytes of the packed file of a layout, without reading a weight.
///
/// # Errors
/// A chat template that cannot be compiled.
pub fn packed_bytes(checkpoint: &Checkpoint, options: &PackOptions, layout: &Layout) -> Result<u64> {
    write_layout(checkpoint, options, layout, std::io::empty(), |tensors, spec| {
        let zeros = |rows: std::ops::Range<usize>| Ok(vec![0.0; rows.len() * spec.cols as usize]);
        tensors.rows(spec, checkpoint.tensor_name(spec), zeros, |_| {})
    })
}

/// [`write_tensors`] with everything else that the checkpoint brings.
fn write_layout<W: Write + Seek>(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    layout: &Layout,
    out: W,
    write: impl FnMut(&mut Tensors<'_, '_, W>, &TensorSpec) -> Result<()>,
) -> Result<u64> {
    let chat = compile_chat(checkpoint, options)?;
    let Layout { config, limits, specs } = layout;
    let meta = metadata(checkpoint, options, *config, *limits, &checkpoint.recipe, chat.as_ref());
    let tokenizer = checkpoint.tokenizer.as_deref().unwrap_or_default();
    let chat = chat.map(|chat| chat.section).unwrap_or_default();
    write_tensors(&meta, tokenizer, &chat, specs, out, write)
}

/// What the packed file says of the model, with the recipe of its quantization.
pub(crate) fn metadata<'a>(
    checkpoint: &'a Checkpoint,
    options: &'a PackOptions,
    config: Config,
    limits: Limits,
    recipe: &'a str,
    chat: Option<&Compiled>,
) -> Meta<'a> {
    Meta {
        config,
        limits,
        name: options.name.as_deref().unwrap_or(&checkpoint.name),
        source: &checkpoint.source,
        tool: TOOL,
        recipe,
        bos: checkpoint.bos,
        add_bos: checkpoint.add_bos,
        end_tokens: end_tokens(checkpoint, chat).into_iter().collect(),
    }
}

/// Writes a packed file of the tensors of `specs`, each of which `write` gives to the file when it is its turn, and
/// returns its length.
///
/// # Errors
/// What `write` says; a failed write.
pub(crate) fn write_tensors<W: Write + Seek>(
    meta: &Meta<'_>,
    tokenizer: &[u8],
    chat: &[u8],
    specs: &[TensorSpec],
    out: W,
    mut write: impl FnMut(&mut Tensors<'_, '_, W>, &TensorSpec) -> Result<()>,
) -> Result<u64> {
    let texts = [meta.name, meta.source, meta.recipe].map(str::len).iter().sum::<usize>();
    let mut buffer = vec![0; META_BYTES + texts];
    let meta = meta.encode(&mut buffer).context("the metadata are too large")?;
    let mut writer = Writer::begin(SeekSink::new(out), meta, tokenizer, chat, specs).map_err(failed)?;
    for spec in specs {
        write(&mut Tensors { writer: &mut writer }, spec)?;
    }
    let (sink, length) = writer.finish().map_err(failed)?;
    sink.into_inner().flush()?;
    Ok(length)
}

/// Writes a packed file with one more section, or with this one instead of one of its kind, and returns its length.
///
/// # Errors
/// It is no packed file; a failed write.
pub(crate) fn with_section(
    packed: &[u8],
    kind: [u8; 4],
    content: &[u8],
    out: impl Write + Seek,
) -> Result<u64> {
    let (sink, length) =
        insert_section(packed, kind, content, SeekSink::new(out)).map_err(|error| match error {
            InsertError::Write(error) => failed(error),
            other => anyhow!("{other}"),
        })?;
    sink.into_inner().flush()?;
    Ok(length)
}

/// Packs into a file, which appears only when it is whole: until then it has another name beside it. `check` sees
/// the length before that.
///
/// # Errors
/// As [`write()`], and whatever `check` refuses.
pub fn to_file(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    path: &Path,
    progress: &ProgressBar,
    check: impl FnOnce(u64) -> Result<()>,
) -> Result<u64> {
    let file = Unfinished::beside(path)?;
    // A tensor's bands are large; what is buffered are the tables.
    let length = write(checkpoint, options, BufWriter::new(file.as_file()), progress)?;
    check(length)?;
    file.finish()?;
    Ok(length)
}

/// Packs into memory, aligned for running.
///
/// # Errors
/// As [`write()`].
pub fn to_memory(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    progress: &ProgressBar,
) -> Result<PageBuffer> {
    let mut bytes = Vec::new();
    write(checkpoint, options, Cursor::new(&mut bytes), progress)?;
    PageBuffer::copy_of(&bytes)
}

#[cfg(test)]
mod tests {
    use sprat_format::{FormatError, PackedFile};

    use super::*;
    use crate::fixture::{self, HuggingFace};
    use crate::import::{Dtype, OpenOptions};
    use crate::quantize;

    fn open(path: &Path) -> Checkpoint {
        Checkpoint::open(path, &OpenOptions::default()).unwrap()
    }

    fn packed(checkpoint: &Checkpoint, options: &PackOptions) -> Result<PageBuffer> {
        to_memory(checkpoint, options, &ProgressBar::hidden())
    }

    fn options(weights: WeightType) -> PackOptions {
        PackOptions { weights, ..PackOptions::default() }
    }

    #[test]
    fn every_tensor_comes_back_as_what_was_packed() {
        let directory = tempfile::tempdir().unwrap();
        let models = [
            HuggingFace::llama(1).write(directory.path(), "llama", Dtype::F32).unwrap(),
            HuggingFace::qwen2(2).write(directory.path(), "qwen2", Dtype::Bf16).unwrap(),
            HuggingFace::gpt2(3).write(directory.path(), "gpt2", Dtype::F16).unwrap(),
            fixture::write_llama2c(directory.path(), 4, false).unwrap(),
        ];
        for path in models {
            let checkpoint = open(&path);
            for weights in [WeightType::F32, WeightType::F16, WeightType::Q8] {
                let bytes = packed(&checkpoint, &options(weights)).unwrap();
                let file = PackedFile::parse(&bytes).unwrap();
                assert_eq!(file.tensors().count(), checkpoint.tensors().count());
                for (role, layer, tensor) in file.tensors() {
                    let expected = checkpoint.read(role, layer.map(|layer| layer as u16)).unwrap();
                    let found = quantize::decode(&tensor);
                    let tolerance = match tensor.element {
                        Element::F32 => 0.0,
                        Element::F16 => 2e-4,
                        Element::Q8 { .. } => 0.3 / 127.0 / 2.0 * 1.001,
                    };
                    let close = expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= tolerance);
                    assert!(close && expected.len() == found.len(), "{} of {}", role.name(), path.display());
                }
            }
        }
    }

    #[test]
    fn packing_twice_gives_the_same_bytes_and_leaves_no_other_file() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = open(&HuggingFace::llama(5).write(directory.path(), "m", Dtype::F32).unwrap());
        let outputs = tempfile::tempdir().unwrap();
        let path = outputs.path().join("model.sprat");
        let length =
            to_file(&checkpoint, &options(WeightType::Q8), &path, &ProgressBar::hidden(), |_| Ok(()))
                .unwrap();
        let first = std::fs::read(&path).unwrap();
        assert_eq!(first.len() as u64, length);
        assert_eq!(first, packed(&checkpoint, &options(WeightType::Q8)).unwrap()[..first.len()]);
        let refused = to_file(&checkpoint, &options(WeightType::F32), &path, &ProgressBar::hidden(), |_| {
            Err(anyhow!("too large"))
        });
        assert!(refused.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), first, "a refused file must not replace a good one");
        assert_eq!(std::fs::read_dir(outputs.path()).unwrap().count(), 1);
    }

    #[test]
    fn single_matrices_can_differ() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = open(&HuggingFace::gpt2(6).write(directory.path(), "m", Dtype::F32).unwrap());
        let exceptions = vec![(Role::PositionEmbedding, WeightType::F16)];
        let bytes = packed(&checkpoint, &PackOptions { exceptions, ..PackOptions::default() }).unwrap();
        let file = PackedFile::parse(&bytes).unwrap();
        assert_eq!(file.tensor(Role::PositionEmbedding, 0).unwrap().element, Element::F16);
        assert_eq!(file.tensor(Role::Up, 1).unwrap().element, Element::Q8 { group: 64 });
        let exceptions = vec![(Role::Gate, WeightType::F16)];
        let error = packed(&checkpoint, &PackOptions { exceptions, ..PackOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("no matrix gate"), "{error:#}");
    }

    #[test]
    fn impossible_options_and_weights_are_refused_with_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let mut model = HuggingFace::llama(7);
        let checkpoint = open(&model.write(directory.path(), "m", Dtype::F32).unwrap());
        let message = |options: PackOptions| format!("{:#}", packed(&checkpoint, &options).unwrap_err());
        let context = |context| PackOptions { context: Some(context), ..PackOptions::default() };
        assert!(message(context(33)).contains("33 tokens was asked for; the model was trained for 1 to 32"));
        assert!(message(context(0)).contains("0 tokens was asked for"));
        let group = PackOptions { group: 6, ..PackOptions::default() };
        assert!(message(group).contains("group of 6 inputs"));
        let rows = PackOptions { logits_rows: 9, ..PackOptions::default() };
        assert!(message(rows).contains("logits_rows modulo 4 is 1, expected 0"));
        let chunk = PackOptions { prefill_chunk: 0, ..PackOptions::default() };
        assert!(message(chunk).contains("prefill_chunk is 0, expected 1 to 256"));

        model.tensors.get_mut("model.layers.0.mlp.up_proj.weight").unwrap().1[3] = 1e9;
        let checkpoint = open(&model.write(directory.path(), "large", Dtype::F32).unwrap());
        for (weights, expected) in [(WeightType::F16, "element 3"), (WeightType::Q8, "element 0")] {
            let message = format!("{:#}", packed(&checkpoint, &options(weights)).unwrap_err());
            let parts = ["tensor model.layers.0.mlp.up_proj.weight", expected, "beyond half precision"];
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        packed(&checkpoint, &options(WeightType::F32)).unwrap();
    }

    #[test]
    fn a_packed_file_cut_short_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = open(&fixture::write_llama2c(directory.path(), 8, true).unwrap());
        let bytes = packed(&checkpoint, &PackOptions::default()).unwrap();
        let length = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) as usize;
        let cut = PackedFile::parse(&bytes[..length - 64]);
        assert!(matches!(cut, Err(FormatError::TooShort { .. })), "{cut:?}");
    }
}
