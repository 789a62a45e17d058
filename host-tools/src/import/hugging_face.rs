//! A Hugging Face directory: `config.json`, safetensors in one file or in shards, and the tokenizer's files.
//!
//! The family's blueprint says which tensors there must be; this file finds them, in whatever file and with or
//! without the family's prefix, and refuses what is missing, extra or of another shape by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::SafeTensors;
use serde_json::{Map, Value};

use super::families::{Blueprint, Tie, Wanted, blueprint, supported};
use super::settings::{Settings, parse_object, token_ids};
use super::tensor::{Dtype, Source, Storage, Stored};
use super::{Checkpoint, OpenOptions, Tensors, recognize};
use crate::map::MappedFile;

/// Endings of buffers that older checkpoints hold beside their weights: masks and recomputable tables.
const BUFFERS: [&str; 5] =
    [".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"];

/// A tensor as the files have it.
pub(super) struct Present {
    pub file: usize,
    pub offset: usize,
    pub bytes: usize,
    /// How it is stored, or by what name that is known, where it is not supported.
    pub storage: std::result::Result<Storage, String>,
    /// The outermost dimension first.
    pub shape: Vec<usize>,
}

/// What the tensors of a family are called in a format.
pub(super) struct Names<'n> {
    /// The name of a tensor that the blueprint calls thus, without its prefix.
    pub of: &'n dyn Fn(&str) -> String,
    /// The name of the output head.
    pub head: &'n str,
}

/// Opens the directory.
pub(super) fn open(directory: &Path, options: &OpenOptions) -> Result<Checkpoint> {
    let config_path = directory.join("config.json");
    ensure!(
        config_path.is_file(),
        "{} has no config.json: expected a Hugging Face directory (config.json, model.safetensors, \
         tokenizer.json); give the directory that holds them, or download the repository whole",
        directory.display()
    );
    let config_map = read_object(&config_path)?;
    let family = match config_map.get("model_type") {
        Some(Value::String(family)) => family.as_str(),
        Some(other) => {
            bail!("config.json: model_type = {other}, expected a string; supported: {}", supported())
        }
        None => bail!("config.json: model_type is missing; supported: {}", supported()),
    };
    let settings = Settings::new(format!("config.json ({family})"), &config_map);
    let blueprint = blueprint(family, settings, &options.ignored_settings)?;

    let (files, present) = find_tensors(directory)?;
    let occurs = |prefix: &&&str| present.keys().any(|name| name.starts_with(**prefix));
    let prefix = blueprint.prefixes.iter().find(occurs).copied().unwrap_or_default();
    let config = blueprint.config;
    let of_head = |name: &str| name.starts_with("lm_head.");
    let of = |name: &str| if of_head(name) { name.to_owned() } else { format!("{prefix}{name}") };
    let names = Names { of: &of, head: blueprint.head };
    let tensors = assign(blueprint, &present, &names, &files)?;
    let mut checkpoint =
        Checkpoint::new(config, name_of(directory), format!("Hugging Face {family}"), files, tensors);
    checkpoint.take_tokens(special_tokens(directory, &config_map)?);
    Ok(checkpoint)
}

fn name_of(directory: &Path) -> String {
    let absolute = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    absolute.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_object(&path.display().to_string(), &bytes)
}

/// What the files say of the tokens that begin and end a text.
pub(super) struct SpecialTokens {
    pub bos: Option<u32>,
    pub end_tokens: Vec<u32>,
}

/// `generation_config.json` overrides `config.json`.
fn special_tokens(directory: &Path, config: &Map<String, Value>) -> Result<SpecialTokens> {
    let path = directory.join("generation_config.json");
    let generation = if path.is_file() { read_object(&path)? } else { Map::new() };
    let find = |key| {
        let overriding = token_ids("generation_config.json", &generation, key)?;
        let own = token_ids("config.json", config, key)?;
        Ok::<_, anyhow::Error>(overriding.or(own).unwrap_or_default())
    };
    Ok(SpecialTokens { bos: find("bos_token_id")?.first().copied(), end_tokens: find("eos_token_id")? })
}

/// The safetensors files of a directory: one, or the shards that the index names.
fn tensor_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let index_path = directory.join("model.safetensors.index.json");
    if index_path.is_file() {
        let index = read_object(&index_path)?;
        let map = index.get("weight_map").and_then(Value::as_object);
        let map = map.ok_or_else(|| anyhow!("{}: weight_map is missing", index_path.display()))?;
        let shards: Option<BTreeSet<&str>> = map.values().map(Value::as_str).collect();
        let shards = shards.ok_or_else(|| anyhow!("{}: weight_map is malformed", index_path.display()))?;
        return Ok(shards.into_iter().map(|name| directory.join(name)).collect());
    }
    let single = directory.join("model.safetensors");
    ensure!(
        single.is_file(),
        "{} has neither model.safetensors nor model.safetensors.index.json{}",
        directory.display(),
        if directory.join("pytorch_model.bin").is_file() {
            ": pytorch_model.bin is not supported, save the model with safe_serialization=True"
        } else {
            ""
        }
    );
    Ok(vec![single])
}

/// Whether a file has the shape of safetensors: the length of a header that fits into it, and JSON.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{') && header_bytes(bytes).is_some_and(|header| header < bytes.len() as u64)
}

/// Bytes that a safetensors file says its header has.
fn header_bytes(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|&length| u64::from_le_bytes(length))
}

fn find_tensors(directory: &Path) -> Result<(Vec<MappedFile>, BTreeMap<String, Present>)> {
    let (mut files, mut present) = (Vec::new(), BTreeMap::new());
    for path in tensor_files(directory)? {
        let map = MappedFile::open(&path)?;
        if let Some(what) = recognize::foreign(&map) {
            bail!("{} is {what}", path.display());
        }
        let header = header_bytes(&map).unwrap_or(u64::MAX);
        ensure!(
            header <= (map.len() as u64).saturating_sub(8),
            "{} ({} bytes) is not a whole safetensors file: its header alone would have {header} bytes, download it \
             again",
            path.display(),
            map.len()
        );
        let (header, metadata) = SafeTensors::read_metadata(&map).with_context(|| {
            format!(
                "{} ({} bytes) is not a whole safetensors file: damaged or cut short, download it again",
                path.display(),
                map.len()
            )
        })?;
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let tensor = Present {
                file: files.len(),
                // The header is a length of 8 bytes and that many bytes of JSON.
                offset: 8 + header + from,
                bytes: to - from,
                storage: storage(info.dtype),
                shape: info.shape.clone(),
            };
            if present.insert(name.clone(), tensor).is_some() {
                bail!("tensor {name} is in more than one file of {}", directory.display());
            }
        }
        files.push(map);
    }
    Ok((files, present))
}

fn storage(dtype: safetensors::Dtype) -> std::result::Result<Storage, String> {
    Ok(Storage::Plain(match dtype {
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        other => return Err(format!("{other:?}")),
    }))
}

/// Gives each role its tensor and refuses what does not match.
pub(super) fn assign(
    blueprint: Blueprint,
    present: &BTreeMap<String, Present>,
    names: &Names<'_>,
    files: &[MappedFile],
) -> Result<Tensors> {
    let Blueprint { config, mut wanted, computed, tie, .. } = blueprint;
    for want in &mut wanted {
        want.name = (names.of)(&want.name);
    }
    let embedding = wanted[0].name.clone();
    let head = Wanted::head(names.head, &config);
    let is_embedding =
        |stored: &Present| present.get(&embedding).is_some_and(|other| same_bytes(other, stored, files));
    // A tied head may be stored once more; what it holds must then be the embedding.
    match (tie, present.get(&head.name)) {
        (Tie::Tied, Some(stored)) => ensure!(
            is_embedding(stored),
            "config.json: tie_word_embeddings = true, but {} differs from {embedding}: set it to false if the head \
             is meant to be a matrix of its own",
            names.head
        ),
        (Tie::TiedUnlessPresent, Some(stored)) if is_embedding(stored) => {}
        (Tie::Tied | Tie::TiedUnlessPresent, None) => {}
        (Tie::Untied, _) | (Tie::TiedUnlessPresent, Some(_)) => wanted.push(head),
    }

    let missing: Vec<&str> =
        wanted.iter().map(|want| &*want.name).filter(|&name| !present.contains_key(name)).collect();
    ensure!(
        missing.is_empty(),
        "the checkpoint lacks {}, which its configuration asks for: download it whole, or take the config.json that \
         belongs to it",
        listed(&missing)
    );
    let known: BTreeSet<&str> = wanted.iter().map(|want| &*want.name).chain([names.head]).collect();
    let known = |name: &str| known.contains(name) || BUFFERS.iter().any(|end| name.ends_with(end));
    let extra: Vec<&str> = present.keys().map(|name| &**name).filter(|name| !known(name)).collect();
    ensure!(
        extra.is_empty(),
        "the checkpoint has {}, which such a model has no use for: its configuration or its family is another \
         one",
        listed(&extra)
    );

    let mut tensors = Tensors::new();
    for want in wanted {
        let stored = &present[&want.name];
        ensure!(
            stored.shape == want.shape,
            "tensor {} has the shape {:?}, the configuration asks for {:?}: take the config.json and the weights of one \
             model",
            want.name,
            stored.shape,
            want.shape
        );
        let storage = match &stored.storage {
            Ok(storage) => *storage,
            Err(other) => bail!("tensor {} is stored as {other}; supported: F32, F16, BF16", want.name),
        };
        for (role, view) in want.parts {
            let Present { file, offset, bytes, .. } = *stored;
            let source = Source::Mapped { file, offset, bytes, storage, view };
            tensors.insert((want.layer, role), Stored { name: want.name.clone(), source });
        }
    }
    for (role, values) in computed {
        let name = role.name().replace('_', " ");
        tensors.insert((None, role), Stored { name, source: Source::Computed(values) });
    }
    Ok(tensors)
}

fn same_bytes(one: &Present, other: &Present, files: &[MappedFile]) -> bool {
    let [one, other] =
        [one, other].map(|tensor| (&files[tensor.file], tensor.offset..tensor.offset + tensor.bytes));
    MappedFile::equal(one, other)
}

/// The first few names, and how many more there are.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    let what = if names.len() == 1 { "tensor" } else { "tensors" };
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} {what}: {shown} and {more} more", names.len()),
        _ => format!("{what} {shown}"),
    }
}
