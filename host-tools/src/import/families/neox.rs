//! GPT-NeoX and Pythia: both blocks side by side, each on a norm of its own; queries, keys and values head by head.

use anyhow::Result;
use sprat_format::{Block, Config, FeedForward, Norm, Pairing, Role};

use super::choices::{Rope, RopeDefaults, activation, checked, heads, rope, tie};
use super::list::{Fused, List};
use super::{Blueprint, Tie};
use crate::import::settings::Settings;

pub(super) fn gpt_neox(_: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["hidden_size"], &["num_attention_heads"])?;
    // The spelling before rope_parameters.
    let theta = settings.optional_number("rotary_emb_base")?.unwrap_or(10_000.0);
    let part = settings.optional_number("rotary_pct")?.unwrap_or(0.25);
    let rope: Rope = rope(settings, ignored, RopeDefaults { theta, part: Some(part) })?;
    let parallel = settings.optional_flag("use_parallel_residual")?.unwrap_or(true);
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("num_hidden_layers")?,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: settings.count("intermediate_size")?,
            max_positions: settings.count("max_position_embeddings")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
            position: rope.position(head_dim, Pairing::Half),
            block: if parallel { Block::ParallelTwoNorms } else { Block::Serial },
            feed_forward: FeedForward::Plain(activation(settings, "hidden_act", "gelu")?),
            ..Config::PLAIN
        },
    )?;
    let bias = settings.optional_flag("attention_bias")?.unwrap_or(true);
    let tie = tie(settings, Tie::Untied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("embed_in.weight", TokenEmbedding);
    list.norm("final_layer_norm", FinalNorm, Some(FinalNormBias));
    list.layers("layers", |list| {
        list.norm("input_layernorm", AttentionNorm, Some(AttentionNormBias));
        list.norm("post_attention_layernorm", FeedForwardNorm, Some(FeedForwardNormBias));
        let biases: &[Role] = &[QueryBias, KeyBias, ValueBias];
        let qkv = [Query, Key, Value];
        list.fused("attention.query_key_value", &qkv, bias.then_some(biases), Fused::ByHead);
        list.linear("attention.dense", AttentionOutput, bias.then_some(AttentionOutputBias));
        list.linear("mlp.dense_h_to_4h", Up, Some(UpBias));
        list.linear("mlp.dense_4h_to_h", Down, Some(DownBias));
    });
    let wanted = list.finish();
    let computed = vec![rope.frequencies(&config)];
    Ok(Blueprint { config, prefixes: &["gpt_neox."], wanted, computed, head: "embed_out.weight", tie })
}
