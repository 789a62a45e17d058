//! llama.cpp's architectures in Hugging Face's words: settings and names of tensors.
//!
//! A key of the architecture that is not understood is refused by name, as a setting of a `config.json` is: it may
//! change the numbers.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value as Json};

use super::file::Head;
use crate::map::MappedFile;

mod keys;
mod settings;

use keys::Keys;

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Architecture {
    /// llama.cpp's name.
    pub name: &'static str,
    /// Hugging Face's `model_type`, unless the settings say another.
    family: &'static str,
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

/// What the head and its bias are called in most families.
const HEAD: (&str, &str) = ("lm_head", "output");
const LLAMA_OUTSIDE: Pairs =
    &[("embed_tokens", "token_embd"), ("norm", "output_norm"), ("final_layernorm", "output_norm"), HEAD];
const LLAMA_INSIDE: Pairs = &[
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.q_layernorm", "attn_q_norm"),
    ("self_attn.k_layernorm", "attn_k_norm"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.dense", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
];
/// With norms on the outputs, a name of Llama means another norm.
const OUTPUT_NORMS: Pairs = &[
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];
const GPT_OUTSIDE: Pairs = &[("wte", "token_embd"), ("wpe", "position_embd"), ("ln_f", "output_norm"), HEAD];
const FALCON_OUTSIDE: Pairs = &[
    ("word_embeddings", "token_embd"),
    ("word_embeddings_layernorm", "token_embd_norm"),
    ("ln_f", "output_norm"),
    HEAD,
];
const FALCON_INSIDE: Pairs = &[
    ("input_layernorm", "attn_norm"),
    // Where there are two norms, llama.cpp calls that of the feed-forward block the first.
    ("ln_mlp", "attn_norm"),
    ("ln_attn", "attn_norm_2"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attention.query_key_value", "attn_qkv"),
    ("self_attention.dense", "attn_output"),
    ("mlp.dense_h_to_4h", "ffn_up"),
    ("mlp.dense_4h_to_h", "ffn_down"),
];

/// What most architectures have in common.
const LLAMA: Architecture = Architecture {
    name: "llama",
    family: "llama",
    interleaved: true,
    settings: settings::llama,
    outside: LLAMA_OUTSIDE,
    layers: "layers",
    inside: LLAMA_INSIDE,
};
/// The same with rotary embedding of halves, as in Hugging Face's own rows.
const NEOX: Architecture = Architecture { interleaved: false, ..LLAMA };

const ARCHITECTURES: &[Architecture] = &[
    LLAMA,
    Architecture { name: "smollm3", family: "smollm3", ..LLAMA },
    Architecture { name: "qwen2", family: "qwen2", ..NEOX },
    Architecture { name: "qwen3", family: "qwen3", ..NEOX },
    Architecture { name: "phi3", family: "phi3", ..NEOX },
    Architecture { name: "olmo2", family: "olmo2", inside: OUTPUT_NORMS, ..NEOX },
    Architecture { name: "gemma", family: "gemma", settings: settings::gemma, ..NEOX },
    Architecture {
        name: "gemma2",
        family: "gemma2",
        settings: settings::gemma,
        inside: OUTPUT_NORMS,
        ..NEOX
    },
    Architecture {
        name: "gemma3",
        family: "gemma3_text",
        settings: settings::gemma,
        inside: OUTPUT_NORMS,
        ..NEOX
    },
    Architecture { name: "phi2", family: "phi", settings: settings::phi2, ..NEOX },
    Architecture { name: "stablelm", family: "stablelm", settings: settings::stablelm, ..NEOX },
    Architecture {
        name: "gpt2",
        family: "gpt2",
        settings: settings::gpt2,
        outside: GPT_OUTSIDE,
        layers: "h",
        inside: &[
            ("ln_1", "attn_norm"),
            ("attn.c_attn", "attn_qkv"),
            ("attn.c_proj", "attn_output"),
            ("ln_2", "ffn_norm"),
            ("mlp.c_fc", "ffn_up"),
            ("mlp.c_proj", "ffn_down"),
        ],
        ..NEOX
    },
    Architecture {
        name: "gptj",
        family: "gptj",
        settings: settings::gptj,
        outside: GPT_OUTSIDE,
        layers: "h",
        inside: &[
            ("ln_1", "attn_norm"),
            ("attn.q_proj", "attn_q"),
            ("attn.k_proj", "attn_k"),
            ("attn.v_proj", "attn_v"),
            ("attn.out_proj", "attn_output"),
            ("mlp.fc_in", "ffn_up"),
            ("mlp.fc_out", "ffn_down"),
        ],
        ..NEOX
    },
    Architecture {
        name: "gptneox",
        family: "gpt_neox",
        settings: settings::gpt_neox,
        outside: &[("embed_in", "token_embd"), ("final_layer_norm", "output_norm"), ("embed_out", "output")],
        inside: &[
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("attention.query_key_value", "attn_qkv"),
            ("attention.dense", "attn_output"),
            ("mlp.dense_h_to_4h", "ffn_up"),
            ("mlp.dense_4h_to_h", "ffn_down"),
        ],
        ..NEOX
    },
    Architecture {
        name: "bloom",
        family: "bloom",
        settings: settings::bloom,
        outside: FALCON_OUTSIDE,
        layers: "h",
        inside: FALCON_INSIDE,
        ..NEOX
    },
    Architecture {
        name: "falcon",
        family: "falcon",
        settings: settings::falcon,
        outside: FALCON_OUTSIDE,
        layers: "h",
        inside: FALCON_INSIDE,
        ..NEOX
    },
    Architecture {
        name: "mpt",
        family: "mpt",
        settings: settings::mpt,
        outside: &[("wte", "token_embd"), ("norm_f", "output_norm"), HEAD],
        layers: "blocks",
        inside: &[
            ("norm_1", "attn_norm"),
            ("attn.Wqkv", "attn_qkv"),
            ("attn.out_proj", "attn_output"),
            ("norm_2", "ffn_norm"),
            ("ffn.up_proj", "ffn_up"),
            ("ffn.down_proj", "ffn_down"),
        ],
        ..NEOX
    },
];

impl Architecture {
    /// The architecture of a file.
    pub fn of(head: &Head<'_>) -> Result<&'static Self> {
        let name = head.metadata.text("general.architecture")?;
        let name = name.context("GGUF: general.architecture is missing: the file holds no model")?;
        let known = ARCHITECTURES.iter().find(|architecture| architecture.name == name);
        known.ok_or_else(|| {
            let all: Vec<_> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
            anyhow!("GGUF: general.architecture = {name:?} is not supported; supported: {}: take a model of one of these", all.join(", "))
        })
    }

    /// Hugging Face's `model_type`, and the settings as a `config.json` has them. `ignored` are keys that a person has
    /// declared harmless.
    pub fn settings(
        &'static self,
        head: &Head<'_>,
        file: &MappedFile,
        ignored: &[String],
    ) -> Result<(String, Map<String, Json>)> {
        let keys = Keys::new(self.name, head, file);
        let settings = (self.settings)(&keys)?;
        keys.close(ignored)?;
        let Json::Object(mut map) = settings else { bail!("GGUF ({}): no settings", self.name) };
        let family = match map.remove("model_type") {
            Some(Json::String(family)) => family,
            _ => self.family.to_owned(),
        };
        Ok((family, map))
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
