//! Gemma 1 to 3: norms that are stored less one, a scaled embedding, and from the second on norms on outputs too.

use anyhow::{Result, bail};
use serde_json::{Value as Json, json};
use sprat_format::{Activation, Config, FeedForward, Norm, NormPlace, Pairing, Position, QkNorm, Role};

use super::choices::{Rope, RopeDefaults, checked, pattern, rope, rope_of, sliding_layers, tie};
use super::list::List;
use super::{Blueprint, Tie};
use crate::import::rotary;
use crate::import::settings::Settings;

/// Every Gemma has the tanh form of GELU: where an early configuration says `gelu`, that form is meant.
fn activation(settings: &Settings<'_>) -> Result<Activation> {
    for key in ["hidden_activation", "hidden_act"] {
        if let Some(name) = settings.text(key)?
            && !["gelu", "gelu_pytorch_tanh", "gelu_new"].contains(&name)
        {
            return Err(settings.unsupported(key, &json!(name), "gelu_pytorch_tanh"));
        }
    }
    Ok(Activation::GeluTanh)
}

/// The layers with a window: as listed, or all but every so many.
fn windows(settings: &Settings<'_>, family: &str, layers: u32) -> Result<Vec<bool>> {
    let types = sliding_layers(settings, layers)?;
    let default = if family == "gemma2" { 2 } else { 6 };
    let own = settings.optional_count("sliding_window_pattern")?;
    let pattern = own.or(settings.optional_count("_sliding_window_pattern")?).unwrap_or(default).max(1);
    Ok(types.unwrap_or_else(|| (1..=layers).map(|layer| layer % pattern != 0).collect()))
}

/// Frequencies of all layers, and of those with a window where these have a theta of their own.
fn frequencies(
    settings: &Settings<'_>,
    family: &str,
    ignored: &[String],
    head_dim: u32,
) -> Result<Vec<(Role, Vec<f32>)>> {
    let mut defaults = RopeDefaults { theta: 10_000.0, part: None };
    if family != "gemma3_text" {
        let rope = rope(settings, ignored, defaults)?;
        return Ok(vec![(Role::RotaryFrequencies, rotary::frequencies(rope.theta, head_dim, rope.scaling))]);
    }
    let local = RopeDefaults {
        theta: settings.optional_number("rope_local_base_freq")?.unwrap_or(10_000.0),
        ..defaults
    };
    defaults.theta = 1e6;
    // Both spellings: one set of parameters for each kind of layer, or those of the layers without a window alone.
    let by_kind = settings.object("rope_parameters")?.filter(|inner| inner.has("full_attention"));
    let (all, window) = match by_kind {
        Some(inner) => {
            let of = |key, defaults| rope_of(inner.object(key)?, ignored, defaults, (None, None));
            let both = (of("full_attention", defaults)?, of("sliding_attention", local)?);
            inner.close(ignored)?;
            settings.only("rope_scaling", &Json::Null)?;
            both
        }
        None => (rope(settings, ignored, defaults)?, rope_of(None, ignored, local, (None, None))?),
    };
    let of = |role, rope: Rope| (role, rotary::frequencies(rope.theta, head_dim, rope.scaling));
    Ok(vec![of(Role::RotaryFrequencies, all), of(Role::WindowFrequencies, window)])
}

pub(super) fn gemma(family: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let first = family == "gemma";
    let hidden_size = settings.count("hidden_size")?;
    let head_dim = settings.count("head_dim")?;
    let max_positions = settings.count("max_position_embeddings")?;
    let layers = settings.count("num_hidden_layers")?;
    let cap = |key| Ok::<_, anyhow::Error>(settings.optional_number(key)?.unwrap_or(0.0) as f32);
    let mut config = Config {
        vocab_size: settings.count("vocab_size")?,
        hidden_size,
        layers,
        heads: settings.count("num_attention_heads")?,
        kv_heads: settings.count("num_key_value_heads")?,
        head_dim,
        ffn_size: settings.count("intermediate_size")?,
        max_positions,
        norm: Norm::RmsNorm,
        norm_eps: settings.optional_number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        embedding_scale: (hidden_size as f32).sqrt(),
        position: Position::Rotary { dims: head_dim, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(activation(settings)?),
        ..Config::PLAIN
    };
    settings.only("attention_bias", &Json::Bool(false))?;
    settings.only("use_bidirectional_attention", &Json::Bool(false))?;
    if !first {
        config.norm_place = NormPlace::BeforeAndOutput;
        let scalar = settings.number("query_pre_attn_scalar")?;
        if scalar <= 0.0 {
            bail!("{}: query_pre_attn_scalar = {scalar}, expected a positive number", settings.place());
        }
        config.attention_scale = scalar.powf(-0.5) as f32;
        config.attention_softcap = cap("attn_logit_softcapping")?;
        config.logit_softcap = cap("final_logit_softcapping")?;
        let members = windows(settings, family, layers)?;
        let size = settings.optional_count("sliding_window")?.unwrap_or(4096);
        // A window that holds the whole context still says which layers have frequencies of their own.
        if members.contains(&true) {
            config.window = size;
            config.window_layers = pattern(settings, "layers with a window", &members)?;
        }
    }
    if family == "gemma3_text" {
        config.qk_norm = QkNorm::SharedByHeads;
    }
    let config = checked(settings, config)?;
    let mut computed = frequencies(settings, family, ignored, head_dim)?;
    computed.retain(|(role, _)| role.is_allowed(&config));
    let tie = tie(settings, Tie::Tied)?;

    use Role::*;
    let mut list = List::new(&config);
    list.matrix("embed_tokens.weight", TokenEmbedding);
    list.vector_plus("norm.weight", FinalNorm, 1.0);
    list.layers("layers", |list| {
        list.linear("self_attn.q_proj", Query, None);
        list.linear("self_attn.k_proj", Key, None);
        list.linear("self_attn.v_proj", Value, None);
        list.linear("self_attn.o_proj", AttentionOutput, None);
        list.linear("mlp.gate_proj", Gate, None);
        list.linear("mlp.up_proj", Up, None);
        list.linear("mlp.down_proj", Down, None);
        if family == "gemma3_text" {
            list.vector_plus("self_attn.q_norm.weight", QueryNorm, 1.0);
            list.vector_plus("self_attn.k_norm.weight", KeyNorm, 1.0);
        }
        list.vector_plus("input_layernorm.weight", AttentionNorm, 1.0);
        if first {
            list.vector_plus("post_attention_layernorm.weight", FeedForwardNorm, 1.0);
        } else {
            list.vector_plus("post_attention_layernorm.weight", AttentionOutputNorm, 1.0);
            list.vector_plus("pre_feedforward_layernorm.weight", FeedForwardNorm, 1.0);
            list.vector_plus("post_feedforward_layernorm.weight", FeedForwardOutputNorm, 1.0);
        }
    });
    let wanted = list.finish();
    Ok(Blueprint { config, prefixes: &["model."], wanted, computed, head: "lm_head.weight", tie })
}
