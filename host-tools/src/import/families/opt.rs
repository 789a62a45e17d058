//! OPT and Galactica: learned positions behind two unused rows, norms before the blocks or on the sums.

use anyhow::Result;
use serde_json::Value as Json;
use sprat_format::{Config, FeedForward, Norm, NormPlace, Position, Role};

use super::choices::{activation, checked, heads, tie};
use super::list::List;
use super::{Blueprint, Tie};
use crate::import::settings::Settings;

/// Rows of the position embedding that no position uses.
const UNUSED_POSITIONS: usize = 2;

pub(super) fn opt(_: &str, settings: &Settings<'_>, _: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["hidden_size"], &["num_attention_heads"])?;
    let before = settings.optional_flag("do_layer_norm_before")?.unwrap_or(true);
    let removed = settings.optional_flag("_remove_final_layer_norm")?.unwrap_or(false);
    settings.only("layer_norm_elementwise_affine", &Json::Bool(true))?;
    let embedding = settings.optional_count("word_embed_proj_dim")?.unwrap_or(hidden_size);
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("num_hidden_layers")?,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: settings.count("ffn_dim")?,
            max_positions: settings.count("max_position_embeddings")?,
            norm: Norm::LayerNorm,
            norm_place: if before { NormPlace::Before } else { NormPlace::Sum },
            norm_eps: 1e-5,
            final_norm: before && !removed,
            embedding_size: if embedding == hidden_size { 0 } else { embedding },
            position: Position::Learned,
            feed_forward: FeedForward::Plain(activation(settings, "activation_function", "relu")?),
            ..Config::PLAIN
        },
    )?;
    let has_bias = settings.optional_flag("enable_bias")?.unwrap_or(true);
    let tie = tie(settings, Tie::Tied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("embed_tokens.weight", TokenEmbedding);
    list.matrix_behind("embed_positions.weight", PositionEmbedding, UNUSED_POSITIONS);
    if config.embedding_size != 0 {
        list.matrix("project_in.weight", EmbeddingProjection);
        list.matrix("project_out.weight", HeadProjection);
    }
    if config.final_norm {
        list.norm("final_layer_norm", FinalNorm, Some(FinalNormBias));
    }
    list.layers("layers", |list| {
        let bias = |role| has_bias.then_some(role);
        list.norm("self_attn_layer_norm", AttentionNorm, Some(AttentionNormBias));
        list.linear("self_attn.q_proj", Query, bias(QueryBias));
        list.linear("self_attn.k_proj", Key, bias(KeyBias));
        list.linear("self_attn.v_proj", Value, bias(ValueBias));
        list.linear("self_attn.out_proj", AttentionOutput, bias(AttentionOutputBias));
        list.norm("final_layer_norm", FeedForwardNorm, Some(FeedForwardNormBias));
        list.linear("fc1", Up, bias(UpBias));
        list.linear("fc2", Down, bias(DownBias));
    });
    let (wanted, computed) = (list.finish(), Vec::new());
    let prefixes = &["model.decoder.", "decoder."];
    Ok(Blueprint { config, prefixes, wanted, computed, head: "lm_head.weight", tie })
}
