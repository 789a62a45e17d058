//! llama.cpp's architectures in Hugging Face's words: settings and names of tensors.
//!
//! A key of the architecture that is not understood is refused by name, as a setting of a `config.json` is: it may
//! change the numbers.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value as Json, json};

use super::file::{Entry, Head};
use super::metadata::{Metadata, Value};

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Architecture {
    /// llama.cpp's name.
    pub name: &'static str,
    /// Hugging Face's `model_type`.
    pub family: &'static str,
    /// Whether rotary embedding turns neighbours, which is by llama.cpp's reordering of rows.
    pub interleaved: bool,
    /// Makes the settings.
    settings: fn(&Keys<'_>) -> Result<Json>,
    /// Names of tensors outside the layers: the blueprint's and llama.cpp's.
    outside: Pairs,
    /// The blueprint's name of what holds the layers.
    layers: &'static str,
    /// Names within a layer.
    inside: Pairs,
}

type Pairs = &'static [(&'static str, &'static str)];

const LLAMA_OUTSIDE: Pairs = &[("embed_tokens", "token_embd"), ("norm", "output_norm")];
const LLAMA_INSIDE: Pairs = &[
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "llama",
        family: "llama",
        interleaved: true,
        settings: llama,
        outside: LLAMA_OUTSIDE,
        layers: "layers",
        inside: LLAMA_INSIDE,
    },
    Architecture {
        name: "qwen2",
        family: "qwen2",
        interleaved: false,
        settings: llama,
        outside: LLAMA_OUTSIDE,
        layers: "layers",
        inside: LLAMA_INSIDE,
    },
    Architecture {
        name: "gpt2",
        family: "gpt2",
        interleaved: false,
        settings: gpt2,
        outside: &[("wte", "token_embd"), ("wpe", "position_embd"), ("ln_f", "output_norm")],
        layers: "h",
        inside: &[
            ("ln_1", "attn_norm"),
            ("attn.c_attn", "attn_qkv"),
            ("attn.c_proj", "attn_output"),
            ("ln_2", "ffn_norm"),
            ("mlp.c_fc", "ffn_up"),
            ("mlp.c_proj", "ffn_down"),
        ],
    },
];

/// Keys of an architecture that change no number.
const HARMLESS: [&str; 1] = ["vocab_size"];

impl Architecture {
    /// The architecture of a file.
    pub fn of(head: &Head<'_>) -> Result<&'static Self> {
        let name = head.metadata.text("general.architecture")?;
        let name = name.context("GGUF: general.architecture is missing: the file holds no model")?;
        let known = ARCHITECTURES.iter().find(|architecture| architecture.name == name);
        known.ok_or_else(|| {
            let all: Vec<_> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
            anyhow!("GGUF: general.architecture = {name:?} is not supported; supported: {}", all.join(", "))
        })
    }

    /// The settings as a `config.json` has them. `ignored` are keys that a person has declared harmless.
    pub fn settings(&'static self, head: &Head<'_>, ignored: &[String]) -> Result<Map<String, Json>> {
        let keys = Keys { architecture: self, head, read: RefCell::default() };
        let settings = (self.settings)(&keys)?;
        keys.close(ignored)?;
        match settings {
            Json::Object(map) => Ok(map),
            _ => bail!("GGUF ({}): no settings", self.name),
        }
    }

    /// llama.cpp's name of the tensor that the blueprint calls `name`; what it has no name for stays as it is, and is
    /// then found missing.
    pub fn tensor(&self, name: &str) -> String {
        let translate = |pairs: Pairs, name: &str| {
            let (stem, end) = name.rsplit_once('.')?;
            pairs.iter().find(|(ours, _)| *ours == stem).map(|(_, theirs)| format!("{theirs}.{end}"))
        };
        let inside = || {
            let (layer, rest) = name.strip_prefix(self.layers)?.strip_prefix('.')?.split_once('.')?;
            Some(format!("blk.{layer}.{}", translate(self.inside, rest)?))
        };
        inside().or_else(|| translate(self.outside, name)).unwrap_or_else(|| name.to_owned())
    }
}

/// The metadata of an architecture, each key of which is used up by reading it.
struct Keys<'h> {
    architecture: &'static Architecture,
    head: &'h Head<'h>,
    read: RefCell<BTreeSet<String>>,
}

impl<'h> Keys<'h> {
    fn metadata(&self) -> &'h Metadata<'h> {
        &self.head.metadata
    }

    fn full(&self, key: &str) -> String {
        self.read.borrow_mut().insert(key.to_owned());
        format!("{}.{key}", self.architecture.name)
    }

    fn missing(&self, key: &str) -> anyhow::Error {
        anyhow!("GGUF: {}.{key} is missing", self.architecture.name)
    }

    /// A count that may be given once for each layer, if it is the same for all.
    fn optional_count(&self, key: &str) -> Result<Option<u32>> {
        let full = self.full(key);
        let Some(Value::Array(array)) = self.metadata().value(&full) else {
            return self.metadata().count(&full);
        };
        let mut values = array.values();
        let first = values.next();
        ensure!(
            values.all(|value| Some(value) == first),
            "GGUF: {full} differs between layers, which is not supported; supported: one value for all"
        );
        match first {
            Some(Value::Integer(value)) if u32::try_from(value).is_ok() => Ok(Some(value as u32)),
            _ => bail!("GGUF: {full} holds no count"),
        }
    }

    fn count(&self, key: &str) -> Result<u32> {
        self.optional_count(key)?.ok_or_else(|| self.missing(key))
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        self.metadata().number(&self.full(key))
    }

    fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    fn tensor(&self, name: &str) -> Option<&'h Entry> {
        self.head.tensors.get(name)
    }

    fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    /// Entries of the vocabulary: the rows of the token embedding.
    fn vocab_size(&self) -> Result<usize> {
        let embedding = self.tensor("token_embd.weight");
        let rows = embedding.filter(|entry| entry.shape.len() == 2).map(|entry| entry.shape[0]);
        rows.context("GGUF: the file has no tensor token_embd.weight of two dimensions")
    }

    /// Refuses keys of the architecture that were not read.
    fn close(self, ignored: &[String]) -> Result<()> {
        let read = self.read.borrow();
        let prefix = format!("{}.", self.architecture.name);
        for key in self.metadata().keys() {
            let Some(own) = key.strip_prefix(&prefix) else { continue };
            if read.contains(own) || HARMLESS.contains(&own) || ignored.iter().any(|ignored| ignored == key) {
                continue;
            }
            let value = self.metadata().value(key).map_or_else(String::new, |value| value.to_string());
            bail!(
                "GGUF: {key} = {value} is a setting that this importer does not know; if it changes no number, say \
                 --ignore-setting {key}"
            );
        }
        Ok(())
    }

    /// Theta and scaling of rotary embedding.
    fn rope(&self) -> Result<Json> {
        let theta = self.optional_number("rope.freq_base")?.unwrap_or(10_000.0);
        let kind = self.metadata().text(&self.full("rope.scaling.type"))?;
        let factor = self.optional_number("rope.scaling.factor")?;
        let old = self.optional_number("rope.scale_linear")?;
        // What a stretched model was trained for: needed by no kind that is supported.
        self.optional_count("rope.scaling.original_context_length")?;
        self.metadata().flag(&self.full("rope.scaling.finetuned"))?;
        Ok(match (kind, factor.or(old)) {
            (None | Some("none"), None | Some(1.0)) | (Some("none"), _) => {
                json!({ "rope_type": "default", "rope_theta": theta })
            }
            (None | Some("linear"), Some(factor)) => {
                json!({ "rope_type": "linear", "factor": factor, "rope_theta": theta })
            }
            (Some(other), _) => bail!(
                "GGUF: {}.rope.scaling.type = {other:?} is not supported; supported: none, linear",
                self.architecture.name
            ),
        })
    }

    /// Components of a head; llama.cpp says keys and values apart.
    fn head_dim(&self) -> Result<u32> {
        let (hidden, heads) = (self.count("embedding_length")?, self.count("attention.head_count")?);
        let keys = self.optional_count("attention.key_length")?;
        let values = self.optional_count("attention.value_length")?;
        let head_dim = keys.or(values).or_else(|| hidden.checked_div(heads)).context("no heads")?;
        ensure!(
            values.is_none_or(|values| values == head_dim),
            "GGUF: {}.attention.value_length = {} differs from the keys' {head_dim}, which is not supported",
            self.architecture.name,
            values.unwrap_or_default()
        );
        Ok(head_dim)
    }
}

/// Llama and its like.
fn llama(keys: &Keys<'_>) -> Result<Json> {
    let heads = keys.count("attention.head_count")?;
    let head_dim = keys.head_dim()?;
    let rotated = keys.optional_count("rope.dimension_count")?.unwrap_or(head_dim);
    for expert in ["expert_count", "expert_used_count"] {
        let found = keys.optional_count(expert)?.unwrap_or(0);
        let name = keys.architecture.name;
        ensure!(found == 0, "GGUF: {name}.{expert} = {found}: a mixture of experts is not supported");
    }
    let mut settings = json!({
        "vocab_size": keys.vocab_size()?,
        "hidden_size": keys.count("embedding_length")?,
        "intermediate_size": keys.count("feed_forward_length")?,
        "num_hidden_layers": keys.count("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.optional_count("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.count("context_length")?,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon")?,
        "hidden_act": "silu",
        "rope_parameters": keys.rope()?,
        "tie_word_embeddings": !keys.has("output.weight"),
    });
    if rotated != head_dim {
        settings["partial_rotary_factor"] = json!(f64::from(rotated) / f64::from(head_dim));
    }
    if keys.architecture.family == "llama" {
        settings["attention_bias"] = json!(keys.has("blk.0.attn_q.bias"));
        settings["mlp_bias"] = json!(keys.has("blk.0.ffn_gate.bias"));
    }
    Ok(settings)
}

fn gpt2(keys: &Keys<'_>) -> Result<Json> {
    Ok(json!({
        "vocab_size": keys.vocab_size()?,
        "n_embd": keys.count("embedding_length")?,
        "n_inner": keys.count("feed_forward_length")?,
        "n_layer": keys.count("block_count")?,
        "n_head": keys.count("attention.head_count")?,
        "n_positions": keys.count("context_length")?,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon")?,
        "tie_word_embeddings": !keys.has("output.weight"),
    }))
}
