//! What is in a packed file or in a checkpoint.
//!
//! A packed file is shown with its sections and checksums, a checkpoint with the names that its tensors have
//! there; everything else is the same for both.

mod diff;
mod reader;
mod statistics;
mod tensors;

use anyhow::{Result, anyhow};
use serde::Serialize;
use serde_json::{Value, json};
use sprat::Image;
use sprat_format::chat::{self, ChatTemplate};
use sprat_format::prefix::Prefix;
use sprat_format::{Config, Element, Limits, PackedFile, Role};

use crate::import::Checkpoint;
use crate::plan::kv_name;
use crate::table::{grouped, table};

pub use diff::{Difference, Distance, SettingDifference, TensorDifference, diff};
pub use reader::{Opened, Reader};
pub use statistics::{Channel, Statistics};
pub use tensors::{Order, RoleSum, add_statistics};

/// Roles whose tensors come from numbers of the configuration and are no parameters.
const COMPUTED: [&str; 3] =
    [Role::RotaryFrequencies.name(), Role::WindowFrequencies.name(), Role::AlibiSlopes.name()];

/// Characters that are shown of a text.
const SHOWN_CHARACTERS: usize = 60;

/// What a file is found to be.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// `packed file` or the checkpoint's format.
    pub kind: String,
    /// The model's name.
    pub name: String,
    /// Kind of checkpoint that it came from.
    pub source: String,
    /// Program that packed it; empty for a checkpoint.
    pub tool: String,
    /// How the weights were quantized; empty for a checkpoint.
    pub recipe: String,
    /// The blueprint.
    pub config: Config,
    /// Parameters of all tensors, what the packer computes left out.
    pub parameters: u64,
    /// What it was packed for.
    pub limits: Option<Limits>,
    /// Of these, the rows of the output head whose logits are in memory at once; 0 for all.
    pub logits_rows: Option<u32>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// Whether a prompt begins with it.
    pub add_bos: bool,
    /// Tokens that end a generation.
    pub end_tokens: Vec<u32>,
    /// The tokenizer: kind, tokens, bytes.
    pub tokenizer: Option<Value>,
    /// The chat template: its name, its size, whom it gives a place; empty when there is none.
    pub chat_template: String,
    /// The text that was read when the file was packed: its tokens, its size, its beginning; empty when there is none.
    pub prefix: String,
    /// Bytes of the packed file, or of all tensors of a checkpoint.
    pub file_bytes: u64,
    /// What the tensors of each role take of them, the largest first.
    pub roles: Vec<RoleSum>,
    /// Sections of a packed file.
    pub sections: Vec<SectionInfo>,
    /// Tensors.
    pub tensors: Vec<TensorRow>,
    /// What was noticed while importing.
    pub notes: Vec<String>,
}

/// A section of a packed file.
#[derive(Clone, Debug, Serialize)]
pub struct SectionInfo {
    /// Four characters.
    pub kind: String,
    /// Offset in the file.
    pub offset: u64,
    /// Length.
    pub bytes: u64,
    /// Recorded CRC-32, which was found to be right.
    pub crc32: String,
}

/// A tensor.
#[derive(Clone, Debug, Serialize)]
pub struct TensorRow {
    /// What it is for.
    pub role: &'static str,
    /// The layer.
    pub layer: Option<u16>,
    /// Name in a checkpoint; empty in a packed file.
    pub name: String,
    /// Outputs.
    pub rows: u64,
    /// Inputs.
    pub cols: u64,
    /// Type of its elements.
    pub element: String,
    /// Bytes of values and scales.
    pub bytes: u64,
    /// What its numbers are like, if they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

impl TensorRow {
    /// Role and layer.
    fn title(&self) -> String {
        self.layer.map_or_else(|| self.role.to_owned(), |layer| format!("{} {layer}", self.role))
    }
}

/// Name of an element type.
pub fn element_name(element: Element) -> String {
    match element {
        Element::F32 => "f32".into(),
        Element::F16 => "f16".into(),
        Element::Q8 { group } => format!("q8/{group}"),
    }
}

fn sections_of(file: &PackedFile<'_>) -> Vec<SectionInfo> {
    let section = |section: sprat_format::Section<'_>| SectionInfo {
        kind: String::from_utf8_lossy(&section.kind).into_owned(),
        offset: section.offset,
        bytes: section.bytes.len() as u64,
        crc32: format!("{:08x}", section.checksum),
    };
    file.sections().map(section).collect()
}

fn sections_text(bytes: &[u8]) -> String {
    let Ok(sections) = PackedFile::sections_of(bytes) else {
        return format!("the file has {} bytes and no readable header", bytes.len());
    };
    let known: Vec<_> = sections
        .map_while(Result::ok)
        .map(|section| format!("{} ({} bytes)", String::from_utf8_lossy(&section.kind), section.bytes.len()))
        .collect();
    format!("the file has the sections {}", known.join(", "))
}

/// What a packed file holds.
pub fn inspect_image(image: &Image<'_>) -> Inspection {
    let (file, meta) = (image.file(), image.meta());
    let tensors: Vec<_> = file
        .tensors()
        .map(|(role, layer, tensor)| TensorRow {
            role: role.name(),
            layer: layer.map(|layer| layer as u16),
            name: String::new(),
            rows: tensor.rows.into(),
            cols: tensor.cols.into(),
            element: element_name(tensor.element),
            bytes: (tensor.values.len() + tensor.scales.len()) as u64,
            statistics: None,
        })
        .collect();
    let sections = sections_of(file);
    let file_bytes = sections.iter().map(|section| section.offset + section.bytes).max().unwrap_or(0);
    Inspection {
        kind: "packed file".into(),
        name: meta.name.into(),
        source: meta.source.into(),
        tool: meta.tool.into(),
        recipe: meta.recipe.into(),
        config: meta.config,
        parameters: parameters(&tensors),
        limits: Some(meta.limits),
        logits_rows: Some(meta.limits.logits_rows),
        bos: meta.bos,
        add_bos: meta.add_bos,
        end_tokens: meta.end_tokens.to_vec(),
        tokenizer: tokenizer_info(file.tokenizer_section()),
        chat_template: template_of(file),
        prefix: prefix_of(image),
        file_bytes,
        roles: tensors::role_sums(&tensors, file.tokenizer_section().len() as u64, file_bytes),
        sections,
        tensors,
        notes: Vec::new(),
    }
}

fn inspect_checkpoint(checkpoint: &Checkpoint) -> Inspection {
    let tensors: Vec<_> = checkpoint
        .tensors()
        .map(|tensor| TensorRow {
            role: tensor.role.name(),
            layer: tensor.layer,
            name: tensor.name.to_owned(),
            rows: tensor.rows as u64,
            cols: tensor.cols as u64,
            element: tensor.storage.name(),
            bytes: tensor.storage.bytes(tensor.rows * tensor.cols) as u64,
            statistics: None,
        })
        .collect();
    let file_bytes = tensors.iter().map(|tensor| tensor.bytes).sum();
    Inspection {
        kind: "checkpoint".into(),
        name: checkpoint.name.clone(),
        source: checkpoint.source.clone(),
        tool: String::new(),
        recipe: checkpoint.recipe.clone(),
        config: checkpoint.config,
        parameters: parameters(&tensors),
        limits: None,
        logits_rows: None,
        bos: checkpoint.bos,
        add_bos: checkpoint.add_bos,
        end_tokens: checkpoint.end_tokens.clone(),
        tokenizer: checkpoint.tokenizer.as_deref().and_then(tokenizer_info),
        chat_template: match checkpoint.chat_template.len() {
            0 => String::new(),
            length => format!("Jinja, {length} bytes"),
        },
        prefix: String::new(),
        file_bytes,
        roles: tensors::role_sums(&tensors, 0, file_bytes),
        sections: Vec::new(),
        tensors,
        notes: checkpoint.notes.clone(),
    }
}

fn parameters(tensors: &[TensorRow]) -> u64 {
    tensors.iter().filter(|row| !COMPUTED.contains(&row.role)).map(|row| row.rows * row.cols).sum()
}

/// The compiled template of a packed file.
fn template_of(file: &PackedFile<'_>) -> String {
    let Some(section) = file.chat_section() else { return String::new() };
    let template = match ChatTemplate::parse(section) {
        Ok(template) => template,
        Err(error) => return format!("damaged: {error}"),
    };
    let befores = [None].into_iter().chain(chat::Role::ALL.map(Some));
    let roles = chat::Role::ALL
        .into_iter()
        .filter(|&role| befores.clone().any(|after| template.between(after, role).is_some()))
        .map(chat::Role::name);
    let stop = template.stop().map_or_else(String::new, |stop| format!(", answers end at {stop:?}"));
    let roles = roles.collect::<Vec<_>>().join(", ");
    format!("{} ({} bytes) for {roles}{stop}", template.name(), section.len())
}

/// The text that was read when the file was packed.
fn prefix_of(image: &Image<'_>) -> String {
    let Some(section) = image.file().prefix_section() else { return String::new() };
    let prefix = match Prefix::parse(section, image.config()) {
        Ok(prefix) => prefix,
        Err(error) => return format!("damaged: {error}"),
    };
    let ids = prefix.tokens.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id));
    let bytes = |tokenizer: &sprat::Tokenizer<'_>| -> Vec<u8> {
        ids.flat_map(|id| tokenizer.token_bytes(id).iter().copied()).collect()
    };
    let text = image.tokenizer().map(bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let more = if shown.len() < text.len() { " ..." } else { "" };
    let after = prefix.shape.after.map_or("a text", |role| match role {
        chat::Role::System => "a system message",
        _ => "messages",
    });
    format!(
        "{after} of {} tokens, kv {}, {} bytes: {shown:?}{more}",
        prefix.shape.tokens,
        kv_name(prefix.shape.kv),
        grouped(section.len() as u64)
    )
}

fn tokenizer_info(section: &[u8]) -> Option<Value> {
    if section.is_empty() {
        return None;
    }
    let tables = sprat_format::tokenizer::TokenizerTables::parse(section);
    Some(match tables {
        Ok(tables) => {
            let settings = tables.settings();
            json!({
                "kind": format!("{:?}", settings.kind),
                "stages": tables.stages().len(),
                "stage_bytes": tables.stage_bytes(),
                "prefix": format!("{:?}", settings.prefix),
                "normalizes": tables.normalization().is_some(),
                "tokens": tables.vocab_size(),
                "bytes": section.len(),
                "crc32": format!("{:08x}", crc32fast::hash(section)),
            })
        }
        Err(error) => json!({ "error": error.to_string(), "bytes": section.len() }),
    })
}

impl Inspection {
    /// The same as one JSON value.
    ///
    /// # Errors
    /// Never in practice: all keys are strings.
    pub fn to_json(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| anyhow!(error))
    }

    /// The same as text; `tensors` also lists every tensor.
    pub fn to_text(&self, tensors: bool) -> String {
        let mut rows: Vec<[String; 2]> = Vec::new();
        let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
        let config = &self.config;
        row("model", format!("{} ({} from {})", self.name, self.kind, self.source));
        if !self.tool.is_empty() {
            row("packed by", self.tool.clone());
        }
        if !self.recipe.is_empty() {
            row("quantization", self.recipe.clone());
        }
        row("parameters", grouped(self.parameters));
        row("vocabulary", grouped(config.vocab_size.into()));
        row("layers x width", format!("{} x {}", config.layers, config.hidden_size));
        let heads =
            format!("{} of {}, {} for keys and values", config.heads, config.head_dim, config.kv_heads);
        row("heads", heads);
        row("feed-forward", format!("{}, {:?}", config.ffn_size, config.feed_forward));
        row("norm", format!("{:?}, eps {:e}", config.norm, config.norm_eps));
        row("positions", format!("{}, {:?}", config.max_positions, config.position));
        if let Some(limits) = &self.limits {
            let Limits { context, prefill_chunk, prompt_bytes, kv, logits_rows } = *limits;
            let logits = match logits_rows {
                0 => "all logits at once".to_owned(),
                rows => format!("logits in blocks of {rows}"),
            };
            row(
                "packed for",
                format!(
                    "context {context}, prefill chunk {prefill_chunk}, prompt of {prompt_bytes} bytes, kv {}, {logits}",
                    kv_name(kv)
                ),
            );
        }
        let added = if self.add_bos { "added to prompts" } else { "not added to prompts" };
        row("beginning token", self.bos.map_or_else(|| "none".into(), |id| format!("{id}, {added}")));
        row("end tokens", format!("{:?}", self.end_tokens));
        row("tokenizer", self.tokenizer_text());
        let template = if self.chat_template.is_empty() { "none" } else { &self.chat_template };
        row("chat template", template.to_owned());
        if !self.prefix.is_empty() {
            row("read before", self.prefix.clone());
        }
        let widest = rows.iter().map(|[name, _]| name.len()).max().unwrap_or(0);
        let mut out: String =
            rows.iter().map(|[name, value]| format!("{name:<widest$}  {value}\n")).collect();
        for note in &self.notes {
            out += &format!("note: {note}\n");
        }
        if !self.sections.is_empty() {
            let rows: Vec<_> = self.sections.iter().map(SectionInfo::cells).collect();
            out += "\n";
            out += &table(&["section", "offset", "bytes", "crc32"], &rows, &[1, 2]);
        }
        out += "\n";
        out += &self.role_table();
        if tensors {
            out += "\n";
            out += &self.tensor_table();
        }
        out
    }

    fn tokenizer_text(&self) -> String {
        let Some(tokenizer) = &self.tokenizer else { return "none".into() };
        match tokenizer.get("error") {
            Some(error) => format!("damaged: {error}"),
            None => format!(
                "{}, cut in {} stages, {} tokens, {} bytes",
                tokenizer["kind"].as_str().unwrap_or_default(),
                tokenizer["stages"],
                tokenizer["tokens"],
                grouped(tokenizer["bytes"].as_u64().unwrap_or(0))
            ),
        }
    }
}

impl SectionInfo {
    fn cells(&self) -> Vec<String> {
        vec![self.kind.clone(), grouped(self.offset), grouped(self.bytes), self.crc32.clone()]
    }
}
