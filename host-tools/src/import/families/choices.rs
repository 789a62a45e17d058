//! Settings that many families have, each in its spellings.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use sprat_format::{Activation, Config, Layers, Pairing, Position, Role};

use super::Tie;
use crate::import::rotary::{self, Scaling};
use crate::import::settings::Settings;

/// The non-linearity that a setting names.
pub(super) fn activation(settings: &Settings<'_>, key: &str, default: &str) -> Result<Activation> {
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

/// Whether head and embedding are one.
pub(super) fn tie(settings: &Settings<'_>, default: Tie) -> Result<Tie> {
    Ok(match settings.optional_flag("tie_word_embeddings")? {
        Some(true) => Tie::Tied,
        Some(false) => Tie::Untied,
        None => default,
    })
}

/// A count under the first of several keys that is there.
pub(super) fn count(settings: &Settings<'_>, keys: &[&str]) -> Result<u32> {
    let mut found = None;
    for key in keys {
        found = found.or(settings.optional_count(key)?);
    }
    found.map_or_else(|| settings.count(keys[0]), Ok)
}

/// Width, heads and components of a head, of families in which heads fill the width.
pub(super) fn heads(settings: &Settings<'_>, width: &[&str], heads: &[&str]) -> Result<(u32, u32, u32)> {
    let (hidden_size, heads_key) = (count(settings, width)?, heads);
    let heads = count(settings, heads_key)?;
    ensure!(
        heads > 0 && hidden_size.is_multiple_of(heads),
        "{}: {} = {hidden_size} is no multiple of {} = {heads}",
        settings.place(),
        width[0],
        heads_key[0]
    );
    Ok((hidden_size, heads, hidden_size / heads))
}

/// The same, unless the components are said.
pub(super) fn heads_with_dim(settings: &Settings<'_>) -> Result<(u32, u32, u32)> {
    match settings.optional_count("head_dim")? {
        Some(head_dim) => {
            Ok((settings.count("hidden_size")?, settings.count("num_attention_heads")?, head_dim))
        }
        None => heads(settings, &["hidden_size"], &["num_attention_heads"]),
    }
}

/// Rotary embedding as settings describe it.
#[derive(Clone, Copy)]
pub(super) struct Rope {
    pub theta: f64,
    pub scaling: Scaling,
    /// Part of a head's components that is rotated.
    pub part: f64,
}

impl Rope {
    /// The position of a model whose heads have so many components.
    pub fn position(&self, head_dim: u32, pairing: Pairing) -> Position {
        Position::Rotary { dims: (f64::from(head_dim) * self.part) as u32, pairing }
    }

    /// The frequencies for that position.
    pub fn frequencies(&self, config: &Config) -> (Role, Vec<f32>) {
        (Role::RotaryFrequencies, rotary::frequencies(self.theta, config.rotary_dims(), self.scaling))
    }
}

/// What a family takes for rotary embedding when nothing is said, and whether it knows to rotate a part of a head.
#[derive(Clone, Copy)]
pub(super) struct RopeDefaults {
    pub theta: f64,
    /// `None` where all components are rotated.
    pub part: Option<f64>,
}

/// Theta, scaling and part, in both spellings: beside `rope_scaling`, or all within `rope_parameters`.
pub(super) fn rope(settings: &Settings<'_>, ignored: &[String], defaults: RopeDefaults) -> Result<Rope> {
    let (new, old) = (settings.object("rope_parameters")?, settings.object("rope_scaling")?);
    settings.only("rope_interleaved", &Value::Bool(false))?;
    let outer = (settings.optional_number("rope_theta")?, part(settings, defaults)?);
    if new.is_some() && old.is_some() {
        bail!("{} has both rope_parameters and rope_scaling: remove one", settings.place());
    }
    rope_of(new.or(old), ignored, defaults, outer)
}

/// The same out of the object that holds it, with what stands beside it.
pub(super) fn rope_of(
    inner: Option<Settings<'_>>,
    ignored: &[String],
    defaults: RopeDefaults,
    outer: (Option<f64>, Option<f64>),
) -> Result<Rope> {
    let part_default = defaults.part.unwrap_or(1.0);
    let Some(inner) = inner else {
        let (theta, part) = (outer.0.unwrap_or(defaults.theta), outer.1.unwrap_or(part_default));
        return Ok(Rope { theta, scaling: Scaling::Default, part });
    };
    let theta = inner.optional_number("rope_theta")?.or(outer.0).unwrap_or(defaults.theta);
    let part = part(&inner, defaults)?.or(outer.1).unwrap_or(part_default);
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
    Ok(Rope { theta, scaling, part })
}

fn part(settings: &Settings<'_>, defaults: RopeDefaults) -> Result<Option<f64>> {
    const KEY: &str = "partial_rotary_factor";
    match defaults.part {
        Some(_) => settings.optional_number(KEY),
        None => settings.only(KEY, &json!(1.0)).map(|()| None),
    }
}

/// The layers of which `layer_types` says that they have a window; `None` where it says nothing.
pub(super) fn sliding_layers(settings: &Settings<'_>, layers: u32) -> Result<Option<Vec<bool>>> {
    let Some(types) = settings.value("layer_types") else { return Ok(None) };
    let supported = "sliding_attention or full_attention for each layer";
    let refused = || settings.unsupported("layer_types", types, supported);
    let list = types.as_array().filter(|list| list.len() == layers as usize).ok_or_else(refused)?;
    let members = list.iter().map(|kind| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(refused()),
    });
    members.collect::<Result<_>>().map(Some)
}

/// A window on some layers, as the configuration says it: none where it holds the whole context.
pub(super) fn window(
    settings: &Settings<'_>,
    window: Option<u32>,
    members: &[bool],
    max_positions: u32,
) -> Result<(u32, Layers)> {
    match window {
        Some(window) if window < max_positions && members.contains(&true) => {
            ensure!(window > 0, "{}: the attention window is 0, expected at least 1", settings.place());
            Ok((window, pattern(settings, "layers with a window", members)?))
        }
        _ => Ok((0, Layers::ALL)),
    }
}

/// A set of layers as the packed file can say it.
pub(super) fn pattern(settings: &Settings<'_>, what: &str, members: &[bool]) -> Result<Layers> {
    Layers::of(members).ok_or_else(|| {
        anyhow::anyhow!(
            "{}: the {what} follow no pattern that repeats after at most 64 layers, which is not supported",
            settings.place()
        )
    })
}

/// Checks a configuration before sizes are computed from it.
pub(super) fn checked(settings: &Settings<'_>, config: Config) -> Result<Config> {
    config.validate().map_err(|error| anyhow::anyhow!("{}: {error}", settings.place()))?;
    Ok(config)
}
