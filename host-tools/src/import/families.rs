//! The families of models that can be imported: what their settings mean and which tensors they have.
//!
//! A family is read into a [`Blueprint`]: the runtime's configuration, and for each tensor of the checkpoint
//! its name, its shape, and what the packed file takes from it. Everything else (files, prefixes, missing and
//! extra tensors) is the same for all families. A family has no code on the device: it is a choice among the parts
//! that a configuration names.
//!
//! | family | norm, its place | position | attention | block | feed-forward | more |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | GPT-2 | LayerNorm, before | learned | full | serial | GELU (tanh) | tied |
//! | GPT-Neo | LayerNorm, before | learned | full and window in turn, unscaled | serial | GELU (tanh) | tied |
//! | GPT-NeoX, Pythia | LayerNorm, before | rotary, partial | full | parallel, two norms | GELU | untied |
//! | GPT-J | LayerNorm, before | rotary, partial, interleaved | full | parallel | GELU (tanh) | head with bias |
//! | OPT, Galactica | LayerNorm, before or on the sum | learned | full | serial | ReLU or GELU | embedding projection |
//! | BLOOM | LayerNorm, before | ALiBi | full | serial | GELU (tanh) | embedding norm |
//! | MPT | LayerNorm without bias, before | ALiBi | full | serial | GELU | tied |
//! | Falcon | LayerNorm, before | rotary or ALiBi | multi-query or grouped | parallel, one norm or two, or serial | GELU | tied |
//! | Llama 1 to 3 | RMSNorm, before | rotary, linear or Llama 3 scaling | grouped | serial | gated SiLU | |
//! | Mistral | RMSNorm, before | rotary | grouped, window | serial | gated SiLU | |
//! | Qwen2 | RMSNorm, before | rotary | grouped, biases, windows | serial | gated SiLU | |
//! | Qwen3 | RMSNorm, before | rotary | grouped, a norm on each head, windows | serial | gated SiLU | |
//! | SmolLM3 | RMSNorm, before | rotary, none on some layers | grouped | serial | gated SiLU | tied |
//! | Phi-3 | RMSNorm, before | rotary, partial | grouped, window | serial | gated SiLU | fused tensors |
//! | OLMo 2 | RMSNorm, on outputs | rotary | grouped, a norm on all heads | serial | gated SiLU | |
//! | Gemma | RMSNorm, before | rotary | grouped | serial | gated GELU (tanh) | embedding scale |
//! | Gemma 2 | RMSNorm, before and on outputs | rotary | soft cap, windows | serial | gated GELU (tanh) | logits' soft cap |
//! | Gemma 3 | RMSNorm, before and on outputs | rotary, two thetas | a norm on each head, windows | serial | gated GELU (tanh) | |
//! | Phi | LayerNorm, before | rotary, partial | grouped, biases, norm on each head | parallel | GELU (tanh) | head with bias |
//! | StableLM | LayerNorm, before | rotary, partial | grouped | serial or parallel | gated SiLU | |
//!
//! # Other formats
//!
//! A blueprint says what Hugging Face's checkpoints hold. An importer of a format with the same models in other words
//! makes settings of its metadata, and changes the blueprint where the format differs: a [`View`] says all that is
//! particular to how Hugging Face arranges a tensor (transposed, fused head by head, behind unused rows, less one), so
//! an importer whose tensors are plain replaces views by [`View::whole`]. `Position::Rotary::pairing` is to be
//! changed where rows of queries and keys are reordered, `computed` where frequencies are scaled.

use anyhow::{Result, bail};
use sprat_format::{Config, Role};

use super::settings::Settings;
use super::tensor::View;

mod alibi;
mod choices;
mod gemma;
mod gpt;
mod list;
mod llama;
mod neox;
mod opt;
mod phi;

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

impl Wanted {
    /// The output head, when it is a matrix of its own.
    pub fn head(name: &str, config: &Config) -> Self {
        let (rows, cols) = Role::Head.shape(config);
        let view = View::whole(rows as usize, cols as usize);
        Self {
            name: name.to_owned(),
            shape: vec![view.rows, view.cols],
            parts: vec![(Role::Head, view)],
            layer: None,
        }
    }
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
    /// Prefixes that the tensors' names may have.
    pub prefixes: &'static [&'static str],
    /// The token embedding first.
    pub wanted: Vec<Wanted>,
    /// Tensors that follow from the settings: frequencies, slopes.
    pub computed: Vec<(Role, Vec<f32>)>,
    /// Name of the output head, which has no prefix.
    pub head: &'static str,
    pub tie: Tie,
}

/// Reads the settings of a family; `ignored` are those that the user has declared harmless.
type Reader = fn(&str, &Settings<'_>, ignored: &[String]) -> Result<Blueprint>;

/// The families by `model_type`.
const FAMILIES: &[(&str, Reader)] = &[
    ("bloom", alibi::bloom),
    ("falcon", alibi::falcon),
    ("gemma", gemma::gemma),
    ("gemma2", gemma::gemma),
    ("gemma3_text", gemma::gemma),
    ("gpt2", gpt::gpt2),
    ("gpt_neo", gpt::gpt_neo),
    ("gpt_neox", neox::gpt_neox),
    ("gptj", gpt::gptj),
    ("llama", llama::llama),
    ("mistral", llama::llama),
    ("mpt", alibi::mpt),
    ("olmo2", llama::llama),
    ("opt", opt::opt),
    ("phi", phi::phi),
    ("phi3", llama::llama),
    ("qwen2", llama::llama),
    ("qwen3", llama::llama),
    ("smollm3", llama::llama),
    ("stablelm", phi::stablelm),
];

/// Families that are known and not supported yet, and what they are.
const LATER: &[(&str, &str)] = &[
    ("bert", "an encoder"),
    ("distilbert", "an encoder"),
    ("roberta", "an encoder"),
    ("xlm-roberta", "an encoder"),
    ("t5", "an encoder with a decoder"),
    ("mamba", "a recurrent model"),
    ("rwkv", "a recurrent model"),
    ("gemma3", "a model that also sees images; its text part alone is gemma3_text"),
    ("mixtral", "a mixture of experts"),
];

/// What a person with another model can do.
const NEXT_STEP: &str = "take a model of one of these families";

/// The `model_type`s that are supported, for messages.
pub(crate) fn supported() -> String {
    FAMILIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Reads the settings of a family.
///
/// # Errors
/// An unknown family, or a setting that is missing, malformed or not supported, by name.
pub(crate) fn blueprint(family: &str, settings: Settings<'_>, ignored: &[String]) -> Result<Blueprint> {
    let Some((_, read)) = FAMILIES.iter().find(|(name, _)| *name == family) else {
        match LATER.iter().find(|(name, _)| *name == family) {
            Some((_, what)) => bail!(
                "config.json: model_type {family:?} is {what}, which is not supported yet; supported: {}: {NEXT_STEP}",
                supported()
            ),
            None => bail!(
                "config.json: model_type {family:?} is not supported; supported: {}: {NEXT_STEP}",
                supported()
            ),
        }
    };
    let blueprint = read(family, &settings, ignored)?;
    settings.close(ignored)?;
    Ok(blueprint)
}
