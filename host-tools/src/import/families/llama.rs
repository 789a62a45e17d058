//! Llama and its like: RMSNorm, rotary embedding, gated feed-forward, grouped-query attention.

use anyhow::Result;
use serde_json::{Value as Json, json};
use sprat_format::{Config, FeedForward, Layers, Norm, NormPlace, Pairing, QkNorm, Role};

use super::choices::{
    RopeDefaults, activation, checked, heads_with_dim, pattern, rope, sliding_layers, tie, window,
};
use super::list::{Fused, List};
use super::{Blueprint, Tie};
use crate::import::settings::Settings;

/// Where the families differ beside their settings.
struct Kind {
    theta: f64,
    /// Part of a head that is rotated when nothing is said; `None` where that is no setting.
    rotary_part: Option<f64>,
    /// Whether `attention_bias` and `mlp_bias` are settings, and not always false.
    bias_settings: [bool; 2],
    /// Biases on queries, keys and values, whatever the settings say.
    qkv_bias: bool,
    qk_norm: QkNorm,
    norm_place: NormPlace,
    /// Queries, keys and values in one tensor, gate and up in one.
    fused: bool,
    tie: Tie,
}

fn kind(family: &str) -> Kind {
    let plain = Kind {
        theta: 10_000.0,
        rotary_part: None,
        bias_settings: [false; 2],
        qkv_bias: false,
        qk_norm: QkNorm::None,
        norm_place: NormPlace::Before,
        fused: false,
        tie: Tie::Untied,
    };
    match family {
        "llama" => Kind { bias_settings: [true; 2], ..plain },
        "qwen2" => Kind { qkv_bias: true, ..plain },
        "qwen3" => Kind { qk_norm: QkNorm::SharedByHeads, bias_settings: [true, false], ..plain },
        "smollm3" => Kind { theta: 2e6, bias_settings: [true; 2], tie: Tie::Tied, ..plain },
        "phi3" => Kind { rotary_part: Some(1.0), fused: true, ..plain },
        "olmo2" => Kind {
            norm_place: NormPlace::Output,
            qk_norm: QkNorm::Projection,
            bias_settings: [true, false],
            ..plain
        },
        _ => plain,
    }
}

/// The window and its layers.
fn sliding(settings: &Settings<'_>, family: &str, layers: u32, max_positions: u32) -> Result<(u32, Layers)> {
    let types = sliding_layers(settings, layers)?;
    let size = settings.optional_count("sliding_window")?;
    let all = |members: bool| vec![members; layers as usize];
    let members = match family {
        "mistral" | "phi3" => types.unwrap_or_else(|| all(true)),
        "qwen2" | "qwen3" | "smollm3" => {
            let used = settings.optional_flag("use_sliding_window")?.unwrap_or(false);
            let first = settings.optional_count("max_window_layers")?.unwrap_or(28);
            let late = || (0..layers).map(|layer| layer >= first).collect();
            match types {
                _ if !used => all(false),
                Some(types) => types,
                None if family == "smollm3" => {
                    return Err(settings.unsupported(
                        "use_sliding_window",
                        &json!(true),
                        "false, or true with layer_types",
                    ));
                }
                None => late(),
            }
        }
        _ => {
            settings.only("sliding_window", &Json::Null)?;
            if types.is_some_and(|types| types.contains(&true)) {
                let value = settings.value("layer_types").unwrap_or(&Json::Null);
                return Err(settings.unsupported("layer_types", value, "full_attention in every layer"));
            }
            all(false)
        }
    };
    // A Mistral that says nothing of a window has its family's default one.
    let default = (family == "mistral" && !settings.has("sliding_window")).then_some(4096);
    window(settings, size.or(default), &members, max_positions)
}

/// The layers with rotary embedding.
fn rotary_layers(settings: &Settings<'_>, family: &str, layers: u32) -> Result<Layers> {
    if family != "smollm3" {
        return Ok(Layers::ALL);
    }
    let interval = settings.optional_count("no_rope_layer_interval")?.unwrap_or(4).max(1);
    let members: Vec<bool> = match settings.value("no_rope_layers") {
        None => (1..=layers).map(|layer| layer % interval != 0).collect(),
        Some(value) => {
            let list = value.as_array().filter(|list| list.len() == layers as usize);
            let supported = "1 or 0 for each layer: with or without rotary embedding";
            let refused = || settings.unsupported("no_rope_layers", value, supported);
            let flags = list.ok_or_else(refused)?.iter().map(Json::as_u64);
            flags
                .map(|flag| flag.filter(|&flag| flag < 2).map(|flag| flag == 1).ok_or_else(refused))
                .collect::<Result<_>>()?
        }
    };
    pattern(settings, "layers with rotary embedding", &members)
}

pub(super) fn llama(family: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let kind = kind(family);
    let (hidden_size, heads, head_dim) = heads_with_dim(settings)?;
    // The defaults of Llama, Phi-3 and OLMo 2 are the number of heads; the others' are those of one large model.
    let kv_heads = match settings.optional_count("num_key_value_heads")? {
        Some(kv_heads) => kv_heads,
        None if matches!(family, "llama" | "phi3" | "olmo2") => heads,
        None => settings.count("num_key_value_heads")?,
    };
    let max_positions = settings.count("max_position_embeddings")?;
    let layers = settings.count("num_hidden_layers")?;
    let (window, window_layers) = sliding(settings, family, layers, max_positions)?;
    let rope = rope(settings, ignored, RopeDefaults { theta: kind.theta, part: kind.rotary_part })?;
    if family == "phi3" {
        // Of use to a scaling that is refused.
        settings.optional_count("original_max_position_embeddings")?;
    }
    let default_eps = if matches!(family, "phi3" | "olmo2") { 1e-5 } else { 1e-6 };
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers,
            heads,
            kv_heads,
            head_dim,
            ffn_size: settings.count("intermediate_size")?,
            max_positions,
            norm: Norm::RmsNorm,
            norm_place: kind.norm_place,
            norm_eps: settings.optional_number("rms_norm_eps")?.unwrap_or(default_eps) as f32,
            position: rope.position(head_dim, Pairing::Half),
            rotary_layers: rotary_layers(settings, family, layers)?,
            window,
            window_layers,
            qk_norm: kind.qk_norm,
            feed_forward: FeedForward::Gated(activation(settings, "hidden_act", "silu")?),
            ..Config::PLAIN
        },
    )?;
    let bias = |key, is_setting| match is_setting {
        true => Ok(settings.optional_flag(key)?.unwrap_or(false)),
        false => settings.only(key, &Json::Bool(false)).map(|()| false),
    };
    let attention_bias = bias("attention_bias", kind.bias_settings[0])?;
    let mlp_bias = bias("mlp_bias", kind.bias_settings[1])?;
    settings.only("use_mrope", &Json::Bool(false))?;
    let tie = tie(settings, kind.tie)?;
    let wanted = tensors(&config, &kind, attention_bias, mlp_bias);
    let computed = vec![rope.frequencies(&config)];
    Ok(Blueprint { config, prefixes: &["model."], wanted, computed, head: "lm_head.weight", tie })
}

fn tensors(config: &Config, kind: &Kind, attention_bias: bool, mlp_bias: bool) -> Vec<super::Wanted> {
    use Role::*;
    let mut list = List::new(config);
    list.matrix("embed_tokens.weight", TokenEmbedding);
    list.vector("norm.weight", FinalNorm);
    let qkv_bias = attention_bias || kind.qkv_bias;
    let bias = |has: bool, role| has.then_some(role);
    list.layers("layers", |list| {
        if kind.fused {
            list.fused("self_attn.qkv_proj", &[Query, Key, Value], None, Fused::InTurn);
            list.fused("mlp.gate_up_proj", &[Gate, Up], None, Fused::InTurn);
        } else {
            list.linear("self_attn.q_proj", Query, bias(qkv_bias, QueryBias));
            list.linear("self_attn.k_proj", Key, bias(qkv_bias, KeyBias));
            list.linear("self_attn.v_proj", Value, bias(qkv_bias, ValueBias));
            list.linear("mlp.gate_proj", Gate, bias(mlp_bias, GateBias));
            list.linear("mlp.up_proj", Up, bias(mlp_bias, UpBias));
        }
        list.linear("self_attn.o_proj", AttentionOutput, bias(attention_bias, AttentionOutputBias));
        list.linear("mlp.down_proj", Down, bias(mlp_bias, DownBias));
        if kind.qk_norm != QkNorm::None {
            list.vector("self_attn.q_norm.weight", QueryNorm);
            list.vector("self_attn.k_norm.weight", KeyNorm);
        }
        match kind.norm_place {
            NormPlace::Output => {
                list.vector("post_attention_layernorm.weight", AttentionOutputNorm);
                list.vector("post_feedforward_layernorm.weight", FeedForwardOutputNorm);
            }
            _ => {
                list.vector("input_layernorm.weight", AttentionNorm);
                list.vector("post_attention_layernorm.weight", FeedForwardNorm);
            }
        }
    });
    list.finish()
}
