//! The metadata of each architecture as the settings of its family.
//!
//! What llama.cpp fixes in its own code is said where its families' defaults differ.

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};

use super::keys::Keys;

/// Layers of the largest Gemma 2 and 3, whose scores are scaled by the width of a head's share of the stream.
const LARGE_GEMMAS: [(&str, u32); 2] = [("gemma2", 46), ("gemma3", 62)];

/// What Llama and its like have in common.
fn common(keys: &Keys<'_>) -> Result<Json> {
    let heads = keys.count("attention.head_count")?;
    for expert in ["expert_count", "expert_used_count"] {
        let found = keys.optional_count(expert)?.unwrap_or(0);
        ensure!(found == 0, "GGUF: {}.{expert} = {found}: a mixture of experts is not supported", keys.name);
    }
    // A decoder's attention looks back only.
    let causal = keys.flag("attention.causal")?.unwrap_or(true);
    ensure!(causal, "GGUF: {}.attention.causal = false: an encoder is not supported", keys.name);
    Ok(json!({
        "vocab_size": keys.vocab_size()?,
        "hidden_size": keys.count("embedding_length")?,
        "intermediate_size": keys.count("feed_forward_length")?,
        "num_hidden_layers": keys.count("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.optional_count("attention.head_count_kv")?.unwrap_or(heads),
        "max_position_embeddings": keys.count("context_length")?,
        "rope_parameters": keys.rope()?,
        "tie_word_embeddings": keys.tied(),
    }))
}

fn window(keys: &Keys<'_>) -> Result<Option<u32>> {
    // llama.cpp's conversion says that there is none by 0.
    Ok(keys.optional_count("attention.sliding_window")?.filter(|&window| window > 0))
}

/// Llama and its like.
pub(super) fn llama(keys: &Keys<'_>) -> Result<Json> {
    let mut settings = common(keys)?;
    settings["head_dim"] = json!(keys.head_dim()?);
    settings["rms_norm_eps"] = json!(keys.number("attention.layer_norm_rms_epsilon")?);
    settings["hidden_act"] = json!("silu");
    let window = window(keys)?;
    match keys.name {
        "llama" if window.is_some() => {
            settings["model_type"] = json!("mistral");
            settings["sliding_window"] = json!(window);
        }
        "llama" => {
            settings["attention_bias"] = json!(keys.has("blk.0.attn_q.bias"));
            settings["mlp_bias"] = json!(keys.has("blk.0.ffn_gate.bias"));
        }
        "phi3" => settings["sliding_window"] = json!(window),
        _ => ensure!(
            window.is_none(),
            "GGUF: {}.attention.sliding_window = {}: a window is not supported there",
            keys.name,
            window.unwrap_or_default()
        ),
    }
    Ok(settings)
}

pub(super) fn gemma(keys: &Keys<'_>) -> Result<Json> {
    let mut settings = common(keys)?;
    let head_dim = keys.head_dim()?;
    settings["head_dim"] = json!(head_dim);
    settings["rms_norm_eps"] = json!(keys.number("attention.layer_norm_rms_epsilon")?);
    settings["hidden_activation"] = json!("gelu_pytorch_tanh");
    if keys.name == "gemma" {
        return Ok(settings);
    }
    let (layers, heads) = (keys.count("block_count")?, keys.count("attention.head_count")?);
    let scalar = match keys.optional_number("attention.scale")? {
        Some(scale) => scale.powi(-2),
        None if LARGE_GEMMAS.contains(&(keys.name, layers)) => {
            f64::from(keys.count("embedding_length")?) / f64::from(heads.max(1))
        }
        None => f64::from(head_dim),
    };
    settings["query_pre_attn_scalar"] = json!(scalar);
    settings["attn_logit_softcapping"] = json!(keys.optional_number("attn_logit_softcapping")?);
    settings["final_logit_softcapping"] = json!(keys.optional_number("final_logit_softcapping")?);
    settings["sliding_window"] = json!(keys.count("attention.sliding_window")?);
    let pattern = "attention.sliding_window_pattern";
    match keys.flags(pattern)? {
        Some(flags) => {
            let kind = |window: &bool| if *window { "sliding_attention" } else { "full_attention" };
            settings["layer_types"] = flags.iter().map(kind).collect();
        }
        None => settings["sliding_window_pattern"] = json!(keys.optional_count(pattern)?),
    }
    if keys.name == "gemma3" {
        settings["rope_local_base_freq"] =
            json!(keys.optional_number("rope.freq_base_swa")?.unwrap_or(10_000.0));
    }
    Ok(settings)
}

pub(super) fn phi2(keys: &Keys<'_>) -> Result<Json> {
    let mut settings = common(keys)?;
    settings["layer_norm_eps"] = json!(keys.number("attention.layer_norm_epsilon")?);
    settings["hidden_act"] = json!("gelu_new");
    settings["qk_layernorm"] = json!(keys.has("blk.0.attn_q_norm.weight"));
    Ok(settings)
}

pub(super) fn stablelm(keys: &Keys<'_>) -> Result<Json> {
    let mut settings = common(keys)?;
    settings["layer_norm_eps"] = json!(keys.number("attention.layer_norm_epsilon")?);
    settings["hidden_act"] = json!("silu");
    settings["use_qkv_bias"] = json!(keys.has("blk.0.attn_q.bias"));
    // The key is written where nothing is known, too; llama.cpp goes by the norm.
    keys.flag("use_parallel_residual")?;
    settings["use_parallel_residual"] = json!(!keys.has("blk.0.ffn_norm.weight"));
    Ok(settings)
}

pub(super) fn gpt2(keys: &Keys<'_>) -> Result<Json> {
    Ok(json!({
        "vocab_size": keys.vocab_size()?,
        "n_embd": keys.count("embedding_length")?,
        "n_inner": keys.count("feed_forward_length")?,
        "n_layer": keys.count("block_count")?,
        "n_head": keys.count("attention.head_count")?,
        "n_positions": keys.count("context_length")?,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon")?,
        "tie_word_embeddings": keys.tied(),
    }))
}

pub(super) fn gptj(keys: &Keys<'_>) -> Result<Json> {
    let mut settings = gpt2(keys)?;
    settings["rotary_dim"] = json!(keys.count("rope.dimension_count")?);
    Ok(settings)
}

pub(super) fn gpt_neox(keys: &Keys<'_>) -> Result<Json> {
    let heads = keys.count("attention.head_count")?;
    let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
    ensure!(kv_heads == heads, "GGUF: gptneox.attention.head_count_kv = {kv_heads}, expected {heads}");
    Ok(json!({
        "vocab_size": keys.vocab_size()?,
        "hidden_size": keys.count("embedding_length")?,
        "intermediate_size": keys.count("feed_forward_length")?,
        "num_hidden_layers": keys.count("block_count")?,
        "num_attention_heads": heads,
        "max_position_embeddings": keys.count("context_length")?,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon")?,
        "hidden_act": "gelu",
        "attention_bias": keys.has("blk.0.attn_qkv.bias"),
        "use_parallel_residual": keys.flag("use_parallel_residual")?.unwrap_or(true),
        "rope_parameters": keys.rope()?,
        "tie_word_embeddings": keys.tied(),
    }))
}

pub(super) fn bloom(keys: &Keys<'_>) -> Result<Json> {
    let heads = keys.count("attention.head_count")?;
    let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
    ensure!(kv_heads == heads, "GGUF: bloom.attention.head_count_kv = {kv_heads}, expected {heads}");
    Ok(json!({
        "vocab_size": keys.vocab_size()?,
        "hidden_size": keys.count("embedding_length")?,
        "n_inner": keys.count("feed_forward_length")?,
        "n_layer": keys.count("block_count")?,
        "n_head": heads,
        "seq_length": keys.count("context_length")?,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon")?,
        "tie_word_embeddings": keys.tied(),
    }))
}

pub(super) fn mpt(keys: &Keys<'_>) -> Result<Json> {
    let (hidden, heads) = (keys.count("embedding_length")?, keys.count("attention.head_count")?);
    let ffn = keys.count("feed_forward_length")?;
    ensure!(
        hidden > 0 && ffn == 4 * hidden,
        "GGUF: mpt.feed_forward_length = {ffn}, expected 4 times the width {hidden}"
    );
    let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
    ensure!(kv_heads == heads, "GGUF: mpt.attention.head_count_kv = {kv_heads}, expected {heads}");
    let bias_max = keys.optional_number("attention.max_alibi_bias")?.unwrap_or(0.0);
    let clip = keys.optional_number("attention.clamp_kqv")?.filter(|&clip| clip > 0.0);
    Ok(json!({
        "vocab_size": keys.vocab_size()?,
        "d_model": hidden,
        "n_layers": keys.count("block_count")?,
        "n_heads": heads,
        "max_seq_len": keys.count("context_length")?,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon")?,
        "no_bias": !keys.has("blk.0.attn_qkv.bias"),
        "attn_config": { "alibi": bias_max > 0.0, "alibi_bias_max": bias_max, "clip_qkv": clip },
        "tie_word_embeddings": keys.tied(),
    }))
}

pub(super) fn falcon(keys: &Keys<'_>) -> Result<Json> {
    let heads = keys.count("attention.head_count")?;
    let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(1);
    let two_norms = keys.has("blk.0.attn_norm_2.weight");
    let new = two_norms || (kv_heads != 1 && kv_heads != heads);
    let mut settings = json!({
        "vocab_size": keys.vocab_size()?,
        "hidden_size": keys.count("embedding_length")?,
        "ffn_hidden_size": keys.count("feed_forward_length")?,
        "num_hidden_layers": keys.count("block_count")?,
        "num_attention_heads": heads,
        "num_kv_heads": kv_heads,
        "max_position_embeddings": keys.count("context_length")?,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon")?,
        "multi_query": kv_heads == 1,
        "new_decoder_architecture": new,
        "parallel_attn": !keys.has("blk.0.ffn_norm.weight"),
        "bias": keys.has("blk.0.attn_qkv.bias"),
        "rope_parameters": keys.rope()?,
        "tie_word_embeddings": keys.tied(),
    });
    if new {
        settings["num_ln_in_parallel_attn"] = json!(if two_norms { 2 } else { 1 });
    }
    Ok(settings)
}
