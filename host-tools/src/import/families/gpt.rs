//! GPT-2, GPT-Neo and GPT-J: LayerNorm, and blocks named `h`.

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use sprat_format::{Block, Config, FeedForward, Norm, Pairing, Position, Role};

use super::choices::{activation, checked, heads, pattern, tie};
use super::list::{Fused, List};
use super::{Blueprint, Tie};
use crate::import::rotary::{self, Scaling};
use crate::import::settings::Settings;

const PREFIXES: &[&str] = &["transformer."];

/// GPT-2: learned positions, biases everywhere; its matrices are stored inputs x outputs.
pub(super) fn gpt2(_: &str, settings: &Settings<'_>, _: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["n_embd"], &["n_head"])?;
    settings.only("scale_attn_weights", &Json::Bool(true))?;
    settings.only("scale_attn_by_inverse_layer_idx", &Json::Bool(false))?;
    settings.only("reorder_and_upcast_attn", &Json::Bool(false))?;
    settings.only("add_cross_attention", &Json::Bool(false))?;
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("n_layer")?,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: settings.optional_count("n_inner")?.unwrap_or(hidden_size.saturating_mul(4)),
            max_positions: settings.count("n_positions")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            position: Position::Learned,
            feed_forward: FeedForward::Plain(activation(settings, "activation_function", "gelu_new")?),
            ..Config::PLAIN
        },
    )?;
    let tie = tie(settings, Tie::TiedUnlessPresent)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("wte.weight", TokenEmbedding);
    list.matrix("wpe.weight", PositionEmbedding);
    list.norm("ln_f", FinalNorm, Some(FinalNormBias));
    list.layers("h", |list| {
        list.norm("ln_1", AttentionNorm, Some(AttentionNormBias));
        list.norm("ln_2", FeedForwardNorm, Some(FeedForwardNormBias));
        let mut conv1d = |name, weights: &[Role], biases: &[Role]| {
            list.fused(name, weights, Some(biases), Fused::Transposed);
        };
        conv1d("attn.c_attn", &[Query, Key, Value], &[QueryBias, KeyBias, ValueBias]);
        conv1d("attn.c_proj", &[AttentionOutput], &[AttentionOutputBias]);
        conv1d("mlp.c_fc", &[Up], &[UpBias]);
        conv1d("mlp.c_proj", &[Down], &[DownBias]);
    });
    let (wanted, computed) = (list.finish(), Vec::new());
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}

/// The layers of a GPT-Neo whose attention sees a window: as listed, or as patterns and how often each repeats.
fn local_layers(settings: &Settings<'_>, layers: u32) -> Result<Vec<bool>> {
    let mut kinds: Vec<&str> = Vec::new();
    let key = if settings.has("attention_layers") { "attention_layers" } else { "attention_types" };
    for key in ["attention_layers", "attention_types"] {
        settings.value(key);
    }
    let value = settings.value(key).unwrap_or(&Json::Null);
    let refused = || {
        let supported = "\"global\" or \"local\" for each layer, or such patterns and how often each repeats";
        settings.unsupported(key, value, supported)
    };
    let list = value.as_array().ok_or_else(refused)?;
    if key == "attention_layers" {
        kinds.extend(list.iter().filter_map(Json::as_str));
    } else {
        for item in list {
            let pattern = item.get(0).and_then(Json::as_array).ok_or_else(refused)?;
            let times = item.get(1).and_then(Json::as_u64).filter(|&times| times <= u64::from(layers));
            for _ in 0..times.ok_or_else(refused)? {
                kinds.extend(pattern.iter().filter_map(Json::as_str));
            }
        }
    }
    let known = kinds.iter().all(|kind| ["global", "local"].contains(kind));
    ensure!(known && kinds.len() == layers as usize, refused());
    Ok(kinds.into_iter().map(|kind| kind == "local").collect())
}

/// GPT-Neo: GPT-2 with linear layers of its own, scores that are not scaled, and a window on some layers.
pub(super) fn gpt_neo(_: &str, settings: &Settings<'_>, _: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["hidden_size"], &["num_heads"])?;
    let layers = settings.count("num_layers")?;
    let local = local_layers(settings, layers)?;
    let window = settings.optional_count("window_size")?.unwrap_or(256);
    ensure!(window > 0, "{}: window_size is 0, expected at least 1", settings.place());
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: settings.optional_count("intermediate_size")?.unwrap_or(hidden_size.saturating_mul(4)),
            max_positions: settings.count("max_position_embeddings")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            position: Position::Learned,
            window: if local.contains(&true) { window } else { 0 },
            window_layers: pattern(settings, "local layers", &local)?,
            attention_scale: 1.0,
            feed_forward: FeedForward::Plain(activation(settings, "activation_function", "gelu_new")?),
            ..Config::PLAIN
        },
    )?;
    let tie = tie(settings, Tie::TiedUnlessPresent)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("wte.weight", TokenEmbedding);
    list.matrix("wpe.weight", PositionEmbedding);
    list.norm("ln_f", FinalNorm, Some(FinalNormBias));
    list.layers("h", |list| {
        list.norm("ln_1", AttentionNorm, Some(AttentionNormBias));
        list.norm("ln_2", FeedForwardNorm, Some(FeedForwardNormBias));
        list.linear("attn.attention.q_proj", Query, None);
        list.linear("attn.attention.k_proj", Key, None);
        list.linear("attn.attention.v_proj", Value, None);
        list.linear("attn.attention.out_proj", AttentionOutput, Some(AttentionOutputBias));
        list.linear("mlp.c_fc", Up, Some(UpBias));
        list.linear("mlp.c_proj", Down, Some(DownBias));
    });
    let (wanted, computed) = (list.finish(), Vec::new());
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}

/// GPT-J: both blocks side by side on one norm, neighbours rotated, a head with a bias.
pub(super) fn gptj(_: &str, settings: &Settings<'_>, _: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["n_embd"], &["n_head"])?;
    let dims = settings.count("rotary_dim")?;
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("n_layer")?,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: settings.optional_count("n_inner")?.unwrap_or(hidden_size.saturating_mul(4)),
            max_positions: settings.count("n_positions")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            position: Position::Rotary { dims, pairing: Pairing::Interleaved },
            block: Block::Parallel,
            feed_forward: FeedForward::Plain(activation(settings, "activation_function", "gelu_new")?),
            ..Config::PLAIN
        },
    )?;
    settings.only("rotary", &json!(true))?;
    settings.only("scale_attn_weights", &Json::Bool(true))?;
    let tie = tie(settings, Tie::Untied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("wte.weight", TokenEmbedding);
    list.norm("ln_f", FinalNorm, Some(FinalNormBias));
    list.vector("lm_head.bias", HeadBias);
    list.layers("h", |list| {
        list.norm("ln_1", AttentionNorm, Some(AttentionNormBias));
        list.linear("attn.q_proj", Query, None);
        list.linear("attn.k_proj", Key, None);
        list.linear("attn.v_proj", Value, None);
        list.linear("attn.out_proj", AttentionOutput, None);
        list.linear("mlp.fc_in", Up, Some(UpBias));
        list.linear("mlp.fc_out", Down, Some(DownBias));
    });
    let wanted = list.finish();
    let computed =
        vec![(RotaryFrequencies, rotary::frequencies(10_000.0, config.rotary_dims(), Scaling::Default))];
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}
