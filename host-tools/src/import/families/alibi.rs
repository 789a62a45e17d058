//! BLOOM, MPT and Falcon: attention that fades with distance, or, in most Falcons, rotary embedding.

use anyhow::Result;
use half::bf16;
use serde_json::{Value as Json, json};
use sprat_format::{Activation, Block, Config, FeedForward, Norm, Pairing, Position, Role};

use super::choices::{RopeDefaults, activation, checked, count, heads, rope, tie};
use super::list::{Fused, List};
use super::{Blueprint, Tie};
use crate::import::settings::Settings;

const PREFIXES: &[&str] = &["transformer."];
/// ALiBi knows no last position: what is taken where nothing is said of the training.
const POSITIONS: u32 = 2048;

/// Slopes of BLOOM and Falcon: a geometric sequence from 2^(-8/n) on for n heads, n a power of two; further heads
/// take every other slope of twice as many (Press et al. 2022).
fn slopes(heads: u32) -> Vec<f64> {
    let whole = 1u32 << heads.max(1).ilog2();
    let slope = |index: u32, of: u32| 2f64.powf(-8.0 * f64::from(index) / f64::from(of));
    let further = (0..heads - whole).map(|index| slope(2 * index + 1, 2 * whole));
    (1..=whole).map(|index| slope(index, whole)).chain(further).collect()
}

/// Slopes of MPT: those of the next power of two, first every other one from the second on, then the others.
fn mpt_slopes(heads: u32, bias_max: f64) -> Vec<f64> {
    let whole = heads.next_power_of_two();
    let slope = |index: u32| 2f64.powf(-bias_max * f64::from(index) / f64::from(whole));
    if whole == heads {
        return (1..=heads).map(slope).collect();
    }
    let (even, odd) = ((2..=whole).step_by(2), (1..=whole).step_by(2));
    even.chain(odd).map(slope).take(heads as usize).collect()
}

fn rounded(slopes: impl IntoIterator<Item = f64>) -> Vec<(Role, Vec<f32>)> {
    vec![(Role::AlibiSlopes, slopes.into_iter().map(|slope| slope as f32).collect())]
}

/// BLOOM: an embedding that is normalized, queries, keys and values head by head.
pub(super) fn bloom(_: &str, settings: &Settings<'_>, _: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) =
        heads(settings, &["hidden_size", "n_embed"], &["n_head", "num_attention_heads"])?;
    settings.only("apply_residual_connection_post_layernorm", &Json::Bool(false))?;
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: count(settings, &["n_layer", "num_hidden_layers"])?,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: settings.optional_count("n_inner")?.unwrap_or(hidden_size.saturating_mul(4)),
            max_positions: settings.optional_count("seq_length")?.unwrap_or(POSITIONS),
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            embedding_norm: true,
            position: Position::Alibi,
            feed_forward: FeedForward::Plain(Activation::GeluTanh),
            ..Config::PLAIN
        },
    )?;
    let tie = tie(settings, Tie::Tied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("word_embeddings.weight", TokenEmbedding);
    list.norm("word_embeddings_layernorm", EmbeddingNorm, Some(EmbeddingNormBias));
    list.norm("ln_f", FinalNorm, Some(FinalNormBias));
    list.layers("h", |list| {
        list.norm("input_layernorm", AttentionNorm, Some(AttentionNormBias));
        list.norm("post_attention_layernorm", FeedForwardNorm, Some(FeedForwardNormBias));
        let biases: &[Role] = &[QueryBias, KeyBias, ValueBias];
        let qkv = [Query, Key, Value];
        list.fused("self_attention.query_key_value", &qkv, Some(biases), Fused::ByHead);
        list.linear("self_attention.dense", AttentionOutput, Some(AttentionOutputBias));
        list.linear("mlp.dense_h_to_4h", Up, Some(UpBias));
        list.linear("mlp.dense_4h_to_h", Down, Some(DownBias));
    });
    let (wanted, computed) = (list.finish(), rounded(slopes(heads)));
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}

/// The settings of MPT's attention: the scale of scores, 0 for the usual one, and the slopes.
fn mpt_attention(settings: &Settings<'_>, ignored: &[String], heads: u32) -> Result<(f32, Vec<f64>)> {
    let Some(attention) = settings.object("attn_config")? else { return Ok((0.0, mpt_slopes(heads, 8.0))) };
    attention.only("attn_type", &json!("multihead_attention"))?;
    attention.only("alibi", &Json::Bool(true))?;
    for off in ["qk_ln", "prefix_lm", "attn_uses_sequence_id"] {
        attention.only(off, &Json::Bool(false))?;
    }
    if let Some(clip) = attention.value("clip_qkv") {
        return Err(attention.unsupported("clip_qkv", clip, "null"));
    }
    // Which implementation computes.
    attention.value("attn_impl");
    let scale = attention.optional_number("softmax_scale")?.unwrap_or(0.0) as f32;
    let slopes = mpt_slopes(heads, attention.optional_number("alibi_bias_max")?.unwrap_or(8.0));
    attention.close(ignored)?;
    Ok((scale, slopes))
}

/// MPT: no bias anywhere, queries, keys and values one after the other.
pub(super) fn mpt(_: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) = heads(settings, &["d_model"], &["n_heads"])?;
    let (attention_scale, slopes) = mpt_attention(settings, ignored, heads)?;
    settings.only("no_bias", &Json::Bool(true))?;
    let norm_kinds = ["low_precision_layernorm", "layernorm"];
    if let Some(kind) = settings.text("norm_type")?.filter(|kind| !norm_kinds.contains(kind)) {
        return Err(settings.unsupported("norm_type", &json!(kind), &norm_kinds.join(", ")));
    }
    if let Some(scale) = settings.value("logit_scale") {
        return Err(settings.unsupported("logit_scale", scale, "null"));
    }
    // With ALiBi there are no learned positions; transformers has blocks of four times the width whatever is said; and
    // the others do not concern what is computed.
    for unused in [
        "learned_pos_emb",
        "expansion_ratio",
        "embedding_fraction",
        "init_device",
        "init_config",
        "verbose",
        "use_pad_tok_in_ffn",
    ] {
        settings.value(unused);
    }
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: settings.count("n_layers")?,
            heads,
            kv_heads: heads,
            head_dim,
            ffn_size: hidden_size.saturating_mul(4),
            max_positions: settings.count("max_seq_len")?,
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            position: Position::Alibi,
            attention_scale,
            feed_forward: FeedForward::Plain(Activation::GeluErf),
            ..Config::PLAIN
        },
    )?;
    let tie = tie(settings, Tie::Tied)?;
    use Role::*;
    let mut list = List::new(&config);
    list.matrix("wte.weight", TokenEmbedding);
    list.vector("norm_f.weight", FinalNorm);
    list.layers("blocks", |list| {
        list.vector("norm_1.weight", AttentionNorm);
        list.vector("norm_2.weight", FeedForwardNorm);
        list.fused("attn.Wqkv", &[Query, Key, Value], None, Fused::InTurn);
        list.linear("attn.out_proj", AttentionOutput, None);
        list.linear("ffn.up_proj", Up, None);
        list.linear("ffn.down_proj", Down, None);
    });
    let (wanted, computed) = (list.finish(), rounded(slopes));
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}

/// Falcon: one head of keys and values, or groups of them; blocks side by side, or one after the other.
pub(super) fn falcon(_: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let (hidden_size, heads, head_dim) =
        heads(settings, &["hidden_size"], &["num_attention_heads", "n_head"])?;
    let flag = |key, default| Ok::<_, anyhow::Error>(settings.optional_flag(key)?.unwrap_or(default));
    let new = flag("new_decoder_architecture", false)?;
    let (multi_query, alibi) = (flag("multi_query", true)?, flag("alibi", false)?);
    let (parallel, has_bias) = (flag("parallel_attn", true)?, flag("bias", false)?);
    let groups = settings.optional_count("num_kv_heads")?.or(settings.optional_count("n_head_kv")?);
    let norms = settings.optional_count("num_ln_in_parallel_attn")?;
    let kv_heads = match (new, multi_query) {
        (true, _) => groups.unwrap_or(heads),
        (false, true) => 1,
        (false, false) => heads,
    };
    let block = match (new || parallel, new && norms != Some(1)) {
        (false, _) => Block::Serial,
        (true, false) => Block::Parallel,
        (true, true) => Block::ParallelTwoNorms,
    };
    let rope = rope(settings, ignored, RopeDefaults { theta: 10_000.0, part: None })?;
    let config = checked(
        settings,
        Config {
            vocab_size: settings.count("vocab_size")?,
            hidden_size,
            layers: count(settings, &["num_hidden_layers", "n_layer"])?,
            heads,
            kv_heads,
            head_dim,
            ffn_size: settings.optional_count("ffn_hidden_size")?.unwrap_or(hidden_size.saturating_mul(4)),
            max_positions: settings.optional_count("max_position_embeddings")?.unwrap_or(POSITIONS),
            norm: Norm::LayerNorm,
            norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            position: if alibi { Position::Alibi } else { rope.position(head_dim, Pairing::Half) },
            block,
            feed_forward: FeedForward::Plain(activation(settings, "activation", "gelu")?),
            ..Config::PLAIN
        },
    )?;
    settings.only("apply_residual_connection_post_layernorm", &Json::Bool(false))?;
    let tie = tie(settings, Tie::Tied)?;
    use Role::*;
    let bias = |role| has_bias.then_some(role);
    let mut list = List::new(&config);
    list.matrix("word_embeddings.weight", TokenEmbedding);
    list.norm("ln_f", FinalNorm, Some(FinalNormBias));
    list.layers("h", |list| {
        let two = block == Block::ParallelTwoNorms;
        let first = if two { "ln_attn" } else { "input_layernorm" };
        list.norm(first, AttentionNorm, Some(AttentionNormBias));
        match block {
            Block::ParallelTwoNorms => list.norm("ln_mlp", FeedForwardNorm, Some(FeedForwardNormBias)),
            Block::Serial => {
                list.norm("post_attention_layernorm", FeedForwardNorm, Some(FeedForwardNormBias))
            }
            Block::Parallel => {}
        }
        let biases: &[Role] = &[QueryBias, KeyBias, ValueBias];
        let qkv = [Query, Key, Value];
        list.fused("self_attention.query_key_value", &qkv, has_bias.then_some(biases), Fused::ByHead);
        list.linear("self_attention.dense", AttentionOutput, bias(AttentionOutputBias));
        list.linear("mlp.dense_h_to_4h", Up, bias(UpBias));
        list.linear("mlp.dense_4h_to_h", Down, bias(DownBias));
    });
    let wanted = list.finish();
    let computed = match alibi {
        // The slopes are rounded to bf16, and scaled as the scores are, to which they are added before that.
        true => rounded(
            slopes(heads)
                .into_iter()
                .map(|slope| f64::from(bf16::from_f64(slope)) / f64::from(head_dim).sqrt()),
        ),
        false => vec![rope.frequencies(&config)],
    };
    Ok(Blueprint { config, prefixes: PREFIXES, wanted, computed, head: "lm_head.weight", tie })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As BLOOM's own code has it.
    fn bloom_slopes(heads: u32) -> Vec<f64> {
        let closest = 2f64.powf(f64::from(heads).log2().floor());
        let base = |of: f64| 2f64.powf(-(2f64.powf(-(of.log2() - 3.0))));
        let mut slopes: Vec<f64> =
            (1..=closest as u32).map(|power| base(closest).powi(power as i32)).collect();
        if closest as u32 != heads {
            let count = (closest as u32).min(heads - closest as u32);
            slopes.extend((0..count).map(|index| base(2.0 * closest).powi(1 + 2 * index as i32)));
        }
        slopes
    }

    #[test]
    fn slopes_of_any_number_of_heads_are_those_of_the_models() {
        for heads in 1..=71 {
            let (found, expected) = (slopes(heads), bloom_slopes(heads));
            assert_eq!(found.len(), heads as usize);
            assert!(found.iter().zip(&expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{heads}");
        }
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{found:?}");
        };
        close(slopes(8), &[0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        close(mpt_slopes(4, 8.0), &[0.25, 0.0625, 0.015625, 0.00390625]);
        // Three heads of four slopes: the second and the fourth, then the first.
        close(mpt_slopes(3, 4.0), &[0.25, 0.0625, 0.5]);
    }
}
