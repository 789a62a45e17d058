//! The families of models that a Hugging Face directory may hold: what their settings mean and which tensors
//! they have.
//!
//! A family is read into a [`Blueprint`]: the runtime's configuration, and for each tensor of the checkpoint
//! its name, its shape, and what the packed file takes from it. Everything else (files, prefixes, missing and
//! extra tensors) is the same for all families.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use sprat_format::{Activation, Config, FeedForward, Norm, Pairing, Position, Role};

use super::rotary::{self, Scaling};
use super::settings::Settings;
use super::tensor::View;

/// The `model_type`s that are supported, for messages.
pub(crate) const SUPPORTED: &str = "llama, qwen2, mistral (without a sliding window), gpt2";

/// A tensor of the checkpoint and what is taken from it.
pub(crate) struct Wanted {
    /// Name without the family's prefix.
    pub name: String,
    /// Shape as stored.
    pub shape: Vec<usize>,
    /// Parts of it by role.
    pub parts: Vec<(Role, View)>,
    /// The layer, for tensors inside the layers.
    pub layer: Option<u16>,
}

/// Whether the output head is the token embedding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The configuration says so.
    Tied,
    /// The configuration says that it is not.
    Untied,
    /// The configuration says nothing, and the family's default is to tie: a head that is there is used.
    TiedUnlessPresent,
}

/// All that an importer needs to know of a model.
pub(crate) struct Blueprint {
    pub config: Config,
    /// Prefix that the tensors' names may have.
    pub prefix: &'static str,
    pub wanted: Vec<Wanted>,
    /// Rotary frequencies, empty without rotary embedding.
    pub rotary: Vec<f32>,
    pub tie: Tie,
}

/// Reads the settings of a family.
///
/// # Errors
/// An unknown family, or a setting that is missing, malformed or not supported, by name.
pub(crate) fn blueprint(family: &str, settings: Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let blueprint = match family {
        "llama" | "mistral" | "qwen2" => llama(family, &settings, ignored)?,
        "gpt2" => gpt2(&settings)?,
        _ => bail!("config.json: model_type {family:?} is not supported; supported: {SUPPORTED}"),
    };
    settings.close(ignored)?;
    blueprint.config.validate().map_err(|error| anyhow::anyhow!("config.json ({family}): {error}"))?;
    Ok(blueprint)
}

fn activation(settings: &Settings<'_>, key: &str, default: &str) -> Result<Activation> {
    let name = settings.text(key)?.unwrap_or(default);
    Ok(match name {
        "silu" | "swish" => Activation::Silu,
        "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
        "gelu" => Activation::GeluErf,
        "relu" => Activation::Relu,
        _ => {
            let supported = "silu, gelu, gelu_new, gelu_pytorch_tanh, relu";
            return Err(settings.unsupported(key, &json!(name), supported));
        }
    })
}

fn tie(settings: &Settings<'_>, default: Tie) -> Result<Tie> {
    Ok(match settings.optional_flag("tie_word_embeddings")? {
        Some(true) => Tie::Tied,
        Some(false) => Tie::Untied,
        None => default,
    })
}

/// Theta and scaling of rotary embedding, in both spellings: `rope_theta` beside `rope_scaling`, or both within
/// `rope_parameters`.
fn rope(settings: &Settings<'_>, ignored: &[String]) -> Result<(f64, Scaling)> {
    let outer_theta = settings.optional_number("rope_theta")?;
    settings.only("partial_rotary_factor", &json!(1.0))?;
    settings.only("rope_interleaved", &Value::Bool(false))?;
    let inner = match (settings.object("rope_parameters")?, settings.object("rope_scaling")?) {
        (Some(_), Some(_)) => bail!("config.json has both rope_parameters and rope_scaling: remove one"),
        (inner, None) | (None, inner) => inner,
    };
    let Some(inner) = inner else { return Ok((outer_theta.unwrap_or(10_000.0), Scaling::Default)) };
    let theta = inner.optional_number("rope_theta")?.or(outer_theta).unwrap_or(10_000.0);
    inner.only("partial_rotary_factor", &json!(1.0))?;
    let (new, old) = (inner.text("rope_type")?, inner.text("type")?);
    let scaling = match new.or(old).unwrap_or("default") {
        "default" => Scaling::Default,
        "linear" => Scaling::Linear { factor: inner.number("factor")? },
        "llama3" => Scaling::Llama3 {
            factor: inner.number("factor")?,
            low_freq_factor: inner.number("low_freq_factor")?,
            high_freq_factor: inner.number("high_freq_factor")?,
            original_positions: inner.number("original_max_position_embeddings")?,
        },
        other => {
            return Err(inner.unsupported("rope_type", &json!(other), "default, linear, llama3"));
        }
    };
    inner.close(ignored)?;
    Ok((theta, scaling))
}

/// Refuses attention that does not see the whole context.
fn full_attention(settings: &Settings<'_>, family: &str, max_positions: u32) -> Result<()> {
    let supported = "null, or at least max_position_embeddings (attention sees the whole context)";
    match family {
        "mistral" => match settings.value("sliding_window") {
            Some(window) if window.as_u64().is_none_or(|window| window < max_positions.into()) => {
                return Err(settings.unsupported("sliding_window", window, supported));
            }
            _ => {}
        },
        // Qwen2 names a window that it only uses when told to.
        _ => {
            settings.value("sliding_window");
            settings.only("use_sliding_window", &Value::Bool(false))?;
        }
    }
    if let Some(types) = settings.value("layer_types") {
        let all = types.as_array().is_some_and(|list| list.iter().all(|kind| kind == "full_attention"));
        if !all {
            return Err(settings.unsupported("layer_types", types, "full_attention in every layer"));
        }
    }
    Ok(())
}

/// Llama and its like: RMSNorm, rotary embedding, gated feed-forward, grouped-query attention.
fn llama(family: &str, settings: &Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let hidden_size = settings.count("hidden_size")?;
    let heads = settings.count("num_attention_heads")?;
    // Only Llama's own default is the number of heads; the others' defaults are those of one large model.
    let kv_heads = match settings.optional_count("num_key_value_heads")? {
        None if family == "llama" => heads,
        Some(kv_heads) => kv_heads,
        None => settings.count("num_key_value_heads")?,
    };
    let head_dim = match settings.optional_count("head_dim")? {
        Some(head_dim) => head_dim,
        None => {
            ensure!(
                heads > 0 && hidden_size % heads == 0,
                "config.json ({family}): hidden_size = {hidden_size} is no multiple of \
                 num_attention_heads = {heads}, and head_dim is missing"
            );
            hidden_size / heads
        }
    };
    let max_positions = settings.count("max_position_embeddings")?;
    full_attention(settings, family, max_positions)?;
    let (theta, scaling) = rope(settings, ignored)?;
    let config = Config {
        vocab_size: settings.count("vocab_size")?,
        hidden_size,
        layers: settings.count("num_hidden_layers")?,
        heads,
        kv_heads,
        head_dim,
        ffn_size: settings.count("intermediate_size")?,
        max_positions,
        norm: Norm::RmsNorm,
        norm_eps: settings.optional_number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        position: Position::Rotary { dims: head_dim, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(activation(settings, "hidden_act", "silu")?),
        group: 0,
        ..Config::PLAIN
    };
    let bias = |key| match family {
        "llama" => Ok(settings.optional_flag(key)?.unwrap_or(false)),
        _ => settings.only(key, &Value::Bool(false)).map(|()| false),
    };
    let (attention_bias, mlp_bias) = (bias("attention_bias")?, bias("mlp_bias")?);
    settings.only("use_mrope", &Value::Bool(false))?;
    let tie = tie(settings, Tie::Untied)?;
    config.validate().map_err(|error| anyhow::anyhow!("config.json ({family}): {error}"))?;

    use Role::{
        AttentionNorm, AttentionOutput, AttentionOutputBias, Down, DownBias, FeedForwardNorm, FinalNorm,
        Gate, GateBias, Key, KeyBias, Query, QueryBias, TokenEmbedding, Up, UpBias, Value as V, ValueBias,
    };
    let mut wanted = vec![
        Wanted::matrix("embed_tokens.weight".into(), TokenEmbedding, None, &config),
        Wanted::vector("norm.weight".into(), FinalNorm, None, &config),
    ];
    for layer in 0..config.layers as u16 {
        let at = |name: &str| format!("layers.{layer}.{name}");
        let (qkv_bias, output_bias) = (attention_bias || family == "qwen2", attention_bias);
        let linear = [
            ("self_attn.q_proj", Query, QueryBias, qkv_bias),
            ("self_attn.k_proj", Key, KeyBias, qkv_bias),
            ("self_attn.v_proj", V, ValueBias, qkv_bias),
            ("self_attn.o_proj", AttentionOutput, AttentionOutputBias, output_bias),
            ("mlp.gate_proj", Gate, GateBias, mlp_bias),
            ("mlp.up_proj", Up, UpBias, mlp_bias),
            ("mlp.down_proj", Down, DownBias, mlp_bias),
        ];
        for (name, weight, bias, has_bias) in linear {
            wanted.push(Wanted::matrix(at(&format!("{name}.weight")), weight, Some(layer), &config));
            if has_bias {
                wanted.push(Wanted::vector(at(&format!("{name}.bias")), bias, Some(layer), &config));
            }
        }
        wanted.push(Wanted::vector(at("input_layernorm.weight"), AttentionNorm, Some(layer), &config));
        let name = at("post_attention_layernorm.weight");
        wanted.push(Wanted::vector(name, FeedForwardNorm, Some(layer), &config));
    }
    let rotary = rotary::frequencies(theta, head_dim, scaling);
    Ok(Blueprint { config, prefix: "model.", wanted, rotary, tie })
}

/// GPT-2: LayerNorm, learned positions, biases everywhere; its matrices are stored inputs x outputs.
fn gpt2(settings: &Settings<'_>) -> Result<Blueprint> {
    let (hidden_size, heads) = (settings.count("n_embd")?, settings.count("n_head")?);
    ensure!(
        heads > 0 && hidden_size % heads == 0,
        "config.json (gpt2): n_embd = {hidden_size} is no multiple of n_head = {heads}"
    );
    settings.only("scale_attn_weights", &Value::Bool(true))?;
    settings.only("scale_attn_by_inverse_layer_idx", &Value::Bool(false))?;
    settings.only("reorder_and_upcast_attn", &Value::Bool(false))?;
    settings.only("add_cross_attention", &Value::Bool(false))?;
    let config = Config {
        vocab_size: settings.count("vocab_size")?,
        hidden_size,
        layers: settings.count("n_layer")?,
        heads,
        kv_heads: heads,
        head_dim: hidden_size / heads,
        ffn_size: settings.optional_count("n_inner")?.unwrap_or(hidden_size.saturating_mul(4)),
        max_positions: settings.count("n_positions")?,
        norm: Norm::LayerNorm,
        norm_eps: settings.optional_number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        position: Position::Learned,
        feed_forward: FeedForward::Plain(activation(settings, "activation_function", "gelu_new")?),
        group: 0,
        ..Config::PLAIN
    };
    let tie = tie(settings, Tie::TiedUnlessPresent)?;
    config.validate().map_err(|error| anyhow::anyhow!("config.json (gpt2): {error}"))?;

    use Role::{
        AttentionNorm, AttentionNormBias, AttentionOutput, AttentionOutputBias, Down, DownBias,
        FeedForwardNorm, FeedForwardNormBias, FinalNorm, FinalNormBias, Key, KeyBias, PositionEmbedding,
        Query, QueryBias, TokenEmbedding, Up, UpBias, Value as V, ValueBias,
    };
    let mut wanted = vec![
        Wanted::matrix("wte.weight".into(), TokenEmbedding, None, &config),
        Wanted::matrix("wpe.weight".into(), PositionEmbedding, None, &config),
        Wanted::vector("ln_f.weight".into(), FinalNorm, None, &config),
        Wanted::vector("ln_f.bias".into(), FinalNormBias, None, &config),
    ];
    for layer in 0..config.layers as u16 {
        let at = |name: &str| format!("h.{layer}.{name}");
        let norms =
            [("ln_1", AttentionNorm, AttentionNormBias), ("ln_2", FeedForwardNorm, FeedForwardNormBias)];
        for (name, weight, bias) in norms {
            wanted.push(Wanted::vector(at(&format!("{name}.weight")), weight, Some(layer), &config));
            wanted.push(Wanted::vector(at(&format!("{name}.bias")), bias, Some(layer), &config));
        }
        let linear: [(&str, &[Role], &[Role]); 4] = [
            ("attn.c_attn", &[Query, Key, V], &[QueryBias, KeyBias, ValueBias]),
            ("attn.c_proj", &[AttentionOutput], &[AttentionOutputBias]),
            ("mlp.c_fc", &[Up], &[UpBias]),
            ("mlp.c_proj", &[Down], &[DownBias]),
        ];
        for (name, weights, biases) in linear {
            wanted.push(Wanted::conv1d(at(&format!("{name}.weight")), weights, layer, &config));
            wanted.push(Wanted::fused_bias(at(&format!("{name}.bias")), biases, layer, &config));
        }
    }
    Ok(Blueprint { config, prefix: "transformer.", wanted, rotary: Vec::new(), tie })
}

fn shape(role: Role, config: &Config) -> (usize, usize) {
    let (rows, cols) = role.shape(config);
    (rows as usize, cols as usize)
}

impl Wanted {
    /// A matrix stored as the packed file has it: outputs x inputs.
    pub fn matrix(name: String, role: Role, layer: Option<u16>, config: &Config) -> Self {
        let (rows, cols) = shape(role, config);
        Self { name, shape: vec![rows, cols], parts: vec![(role, View::whole(rows, cols))], layer }
    }

    fn vector(name: String, role: Role, layer: Option<u16>, config: &Config) -> Self {
        let (_, count) = shape(role, config);
        Self { name, shape: vec![count], parts: vec![(role, View::slice(0, count))], layer }
    }

    /// A matrix stored inputs x outputs, the outputs of several roles side by side.
    fn conv1d(name: String, roles: &[Role], layer: u16, config: &Config) -> Self {
        let inputs = shape(roles[0], config).1;
        let stored: usize = roles.iter().map(|&role| shape(role, config).0).sum();
        let mut first = 0;
        let parts = roles.iter().map(|&role| {
            let outputs = shape(role, config).0;
            first += outputs;
            (role, View::transposed(inputs, stored, first - outputs, outputs))
        });
        let parts = parts.collect();
        Self { name, shape: vec![inputs, stored], parts, layer: Some(layer) }
    }

    fn fused_bias(name: String, roles: &[Role], layer: u16, config: &Config) -> Self {
        let mut end = 0;
        let parts = roles.iter().map(|&role| {
            let count = shape(role, config).1;
            end += count;
            (role, View::slice(end - count, count))
        });
        let parts = parts.collect();
        Self { name, shape: vec![end], parts, layer: Some(layer) }
    }
}
