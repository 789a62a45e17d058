//! Chat templates: a checkpoint's Jinja becomes the small form that a device executes.
//!
//! A template is a program, and what it does is found out by running it: conversations of marked contents show which
//! text stands between them (`probe`). Whether that is all that the template does, many random conversations must
//! show: both forms have to give the same text for every one (`verify`). What does not come out equal is refused, with
//! the conversation that showed it, rather than packed almost right.

mod builtin;
mod form;
mod probe;
mod render;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;

use anyhow::{Context, Result, bail};
use sprat_format::chat::Role;
use sprat_format::tokenizer::{TokenFlags, TokenizerTables};

pub use builtin::BUILTIN;
use probe::Policy;
pub use render::{Message, Renderer, TemplateTokens};

/// Which template a model is packed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ChatSource {
    /// The checkpoint's; one that cannot be compiled is an error.
    #[default]
    Checkpoint,
    /// The checkpoint's, if it can be compiled.
    IfPossible,
    /// A built-in one by name, or else a file of Jinja.
    Given(String),
    /// None.
    Without,
}

/// How a template is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatOptions {
    /// Which one.
    pub source: ChatSource,
    /// The date that a template with a date gets, as `YYYY-MM-DD`; by default the template's own, or a fixed one.
    pub date: Option<String>,
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The `CHAT` section.
    pub section: Vec<u8>,
    /// The special token that ends an answer, if one does.
    pub end_token: Option<String>,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// The template of a model, compiled; `None` for a model without one.
///
/// `jinja` and `tokens` are the checkpoint's, `tokenizer` is its section.
///
/// # Errors
/// A template that is no Jinja or cannot be said in the small form, with the conversation that showed it and what to do.
pub fn compile_for(
    options: &ChatOptions,
    jinja: &str,
    tokens: &TemplateTokens,
    tokenizer: Option<&[u8]>,
) -> Result<Option<Compiled>> {
    let specials = tokenizer.map(special_texts).transpose()?.unwrap_or_default();
    let date = options.date.as_deref();
    let compile = |name: &str, jinja: &str| compile(name, jinja, tokens, &specials, date);
    match &options.source {
        ChatSource::Without => Ok(None),
        ChatSource::Checkpoint | ChatSource::IfPossible if jinja.is_empty() || tokenizer.is_none() => Ok(None),
        ChatSource::IfPossible => Ok(compile("checkpoint", jinja).ok()),
        ChatSource::Checkpoint => compile("checkpoint", jinja).map(Some).with_context(|| {
            let names: Vec<_> = BUILTIN.iter().map(|(name, _)| *name).collect();
            format!(
                "the checkpoint's chat template cannot be compiled: give another (--chat-template FILE, or one of {}) \
                 or pack without one (--no-chat-template)",
                names.join(", ")
            )
        }),
        ChatSource::Given(given) => {
            if tokenizer.is_none() {
                bail!("a chat template ({given}) needs a tokenizer, and the checkpoint has none");
            }
            if let Some((name, jinja)) = BUILTIN.iter().find(|(name, _)| name == given) {
                return compile(name, jinja).map(Some).with_context(|| format!("chat template {name}"));
            }
            let path = Path::new(given);
            let names = || BUILTIN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let jinja = std::fs::read_to_string(path)
                .with_context(|| format!("chat template {given}: neither a readable file nor one of {}", names()))?;
            let name = path.file_stem().map_or_else(|| given.clone(), |stem| stem.to_string_lossy().into_owned());
            compile(&name, &jinja).map(Some).with_context(|| format!("chat template {given} cannot be compiled"))
        }
    }
}

/// Compiles one template. `specials` are the texts of the tokenizer's special tokens.
///
/// # Errors
/// As [`compile_for`].
pub fn compile(
    name: &str,
    jinja: &str,
    tokens: &TemplateTokens,
    specials: &[String],
    date: Option<&str>,
) -> Result<Compiled> {
    let renderer = Renderer::new(jinja, tokens, date)?;
    let mut notes: Vec<_> = renderer.notes().map(str::to_owned).collect();
    let mut first_refusal = None;
    for policy in Policy::ALL {
        let mut form = match probe::probe(&renderer, policy) {
            Ok(form) => form,
            Err(error) => {
                first_refusal.get_or_insert(error);
                continue;
            }
        };
        form.name = name.to_owned();
        let mut blank = true;
        if let Err(mismatch) = verify::verify(&renderer, &form, true, true)? {
            first_refusal.get_or_insert(anyhow::anyhow!("{mismatch}"));
            if verify::verify(&renderer, &form, true, false)?.is_err() {
                continue;
            }
            blank = false;
        }
        if let Some(error) = first_refusal {
            let limit = if blank { "" } else { ", for messages that are not blank" };
            notes.push(format!("{}{limit}: {error:#}", policy.note()));
        }
        if let Err(mismatch) = verify::verify(&renderer, &form, false, blank)? {
            form.close = Default::default();
            notes.push(format!(
                "the chat template is compiled for answering only, not for its ends: {mismatch}"
            ));
        }
        let end_token = form.find_end(specials);
        if form.rewrites {
            notes.push(
                "the chat template shows an answer to later turns otherwise than it opens it".to_owned(),
            );
        }
        if !form.allows(Role::System) {
            notes.push("the chat template takes no system message".to_owned());
        }
        let section = form.section()?;
        if verify::drops_thoughts(&renderer, &section) {
            notes.push(
                "the chat template drops thoughts from earlier answers; the compiled one keeps them"
                    .to_owned(),
            );
        }
        return Ok(Compiled { section, end_token, notes });
    }
    Err(first_refusal.unwrap_or_else(|| anyhow::anyhow!("it shows no message")))
}

/// The texts of a tokenizer's special tokens.
fn special_texts(section: &[u8]) -> Result<Vec<String>> {
    let tables = TokenizerTables::parse(section).context("the tokenizer's section")?;
    let special = |id: &u32| tables.flags(*id).any(TokenFlags::SPECIAL);
    let text =
        |id| Some(String::from_utf8_lossy(tables.token(id)?).into_owned()).filter(|text| !text.is_empty());
    Ok((0..tables.vocab_size()).filter(special).filter_map(text).collect())
}
