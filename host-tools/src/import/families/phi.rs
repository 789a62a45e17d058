//! Phi and StableLM: LayerNorm with a rotary embedding of a part of each head.

use anyhow::Result;
use serde_json::Value as Json;
use sprat_format::{Block, Config, FeedForward, Norm, Pairing, QkNorm, Role};

use super::choices::{RopeDefaults, activation, checked, heads, rope, tie};
use super::list::List;
use super::{Blueprint, Tie};
use crate::import::settings::Settings;

const PREFIXES: &[&str] = &["model."];

/// Phi: both blocks side by side on one norm, biases everywhere, the head's too.
pub(super) fn phi(_: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["hidden_size"], &["num_attention_heads"])?;
    let rope = rope(settings, ignored, RopeDefaults { theta: 10_000.0, part: Some(0.5) })?;
    let qk_norm = settings.optional_flag("qk_layernorm")?.unwrap_or(false);
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("num_hidden_layers")?,
            heads,
            kv_heads: settings.optional_count("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            ffn_size: settings.count("intermediate_size")?,
            max_positions: settings.count("max_position_embeddings")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
            position: rope.position(head_dim, Pairing::Half),
            qk_norm: if qk_norm { QkNorm::SharedByHeads } else { QkNorm::None },
            block: Block::Parallel,
            feed_forward: FeedForward::Plain(activation(settings, "hidden_act", "gelu_new")?),
            ..Config::PLAIN
        },
    )?;
    let tie = tie(settings, Tie::Untied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("embed_tokens.weight", TokenEmbedding);
    list.norm("final_layernorm", FinalNorm, Some(FinalNormBias));
    list.vector("lm_head.bias", HeadBias);
    list.layers("layers", |list| {
        list.norm("input_layernorm", AttentionNorm, Some(AttentionNormBias));
        list.linear("self_attn.q_proj", Query, Some(QueryBias));
        list.linear("self_attn.k_proj", Key, Some(KeyBias));
        list.linear("self_attn.v_proj", Value, Some(ValueBias));
        list.linear("self_attn.dense", AttentionOutput, Some(AttentionOutputBias));
        if qk_norm {
            list.norm("self_attn.q_layernorm", QueryNorm, Some(QueryNormBias));
            list.norm("self_attn.k_layernorm", KeyNorm, Some(KeyNormBias));
        }
        list.linear("mlp.fc1", Up, Some(UpBias));
        list.linear("mlp.fc2", Down, Some(DownBias));
    });
    let wanted = list.finish();
    let computed = vec![rope.frequencies(&config)];
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}

/// StableLM: a Llama with LayerNorm, and with blocks side by side where told so.
pub(super) fn stablelm(_: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["hidden_size"], &["num_attention_heads"])?;
    let rope = rope(settings, ignored, RopeDefaults { theta: 10_000.0, part: Some(0.25) })?;
    let parallel = settings.optional_flag("use_parallel_residual")?.unwrap_or(false);
    // One tensor for each head; only the model of 12B has them.
    settings.only("qk_layernorm", &Json::Bool(false))?;
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("num_hidden_layers")?,
            heads,
            kv_heads: settings.count("num_key_value_heads")?,
            head_dim,
            ffn_size: settings.count("intermediate_size")?,
            max_positions: settings.count("max_position_embeddings")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
            position: rope.position(head_dim, Pairing::Half),
            block: if parallel { Block::Parallel } else { Block::Serial },
            feed_forward: FeedForward::Gated(activation(settings, "hidden_act", "silu")?),
            ..Config::PLAIN
        },
    )?;
    let has_bias = settings.optional_flag("use_qkv_bias")?.unwrap_or(false);
    let tie = tie(settings, Tie::Untied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("embed_tokens.weight", TokenEmbedding);
    list.norm("norm", FinalNorm, Some(FinalNormBias));
    list.layers("layers", |list| {
        let bias = |role| has_bias.then_some(role);
        list.norm("input_layernorm", AttentionNorm, Some(AttentionNormBias));
        if !parallel {
            list.norm("post_attention_layernorm", FeedForwardNorm, Some(FeedForwardNormBias));
        }
        list.linear("self_attn.q_proj", Query, bias(QueryBias));
        list.linear("self_attn.k_proj", Key, bias(KeyBias));
        list.linear("self_attn.v_proj", Value, bias(ValueBias));
        list.linear("self_attn.o_proj", AttentionOutput, None);
        list.linear("mlp.gate_proj", Gate, None);
        list.linear("mlp.up_proj", Up, None);
        list.linear("mlp.down_proj", Down, None);
    });
    let wanted = list.finish();
    let computed = vec![rope.frequencies(&config)];
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}
