//! What stands beside a tokenizer in a Hugging Face directory: BOS, end tokens, the chat template.
//!
//! `tokenizer_config.json` names tokens by text, `generation_config.json` by id. A BOS that the tokenizer's own
//! post-processor adds counts more than either. The end tokens of all files are ends: a chat model's turn and a
//! base model's text both stop a generation.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::TokenizerImport;

/// Adds what the files in the directory say, where they exist.
pub fn add_companions(import: &mut TokenizerImport, directory: &Path, model_vocab: u32) -> Result<()> {
    let config_file = directory.join("tokenizer_config.json");
    if let Some(config) = json(&config_file)? {
        let token = |name: &str| {
            match named(&config, name) {
            None => Ok(None),
            Some(text) => import.id_of(text).map(Some).with_context(|| {
                let file = config_file.display();
                format!("{file}: {name} is {text:?}, which the tokenizer does not have; expected one of its tokens")
            }),
        }
        };
        let (bos, eos) = (token("bos_token")?, token("eos_token")?);
        if !import.add_bos {
            import.bos = bos.or(import.bos);
            import.add_bos =
                import.bos.is_some() && config.get("add_bos_token").and_then(Value::as_bool) == Some(true);
        }
        import.add_eos(eos);
        import.chat_template = template(&config);
        for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
            if let Some(text) = named(&config, name) {
                import.template_tokens.insert(name.to_owned(), text.to_owned());
            }
        }
    }
    let generation_file = directory.join("generation_config.json");
    if let Some(config) = json(&generation_file)? {
        let ids = |name: &str| ids(&generation_file, &config, name, model_vocab);
        import.bos = import.bos.or(ids("bos_token_id")?.first().copied());
        import.add_eos(ids("eos_token_id")?);
    }
    // A file of its own counts more than the configuration's entry.
    if let Some(Some(text)) =
        json(&directory.join("chat_template.json"))?.map(|config: Value| template(&config))
    {
        import.chat_template = Some(text);
    }
    let template_file = directory.join("chat_template.jinja");
    if template_file.is_file() {
        let text =
            fs::read_to_string(&template_file).with_context(|| format!("{}", template_file.display()))?;
        import.chat_template = Some(text);
    }
    Ok(())
}

/// A JSON file, if it exists.
fn json(file: &Path) -> Result<Option<Value>> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: not JSON", file.display()))
}

/// The text of a token: a string, or an object with its content.
fn named<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    let token = config.get(name)?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// One template, or the one named "default" of several.
fn template(config: &Value) -> Option<String> {
    let found = config.get("chat_template")?;
    let is_default = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
    let default = || found.as_array()?.iter().find(is_default)?.get("template")?.as_str();
    found.as_str().or_else(default).map(str::to_owned)
}

/// One id or a list of ids.
fn ids(file: &Path, config: &Value, name: &str, model_vocab: u32) -> Result<Vec<u32>> {
    let list = match config.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(id) => std::slice::from_ref(id),
    };
    let id = |value: &Value| match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
        Some(id) if id < model_vocab => Ok(id),
        _ => bail!(
            "{}: {name} is {value}; expected an id below the model's vocabulary of {model_vocab}",
            file.display()
        ),
    };
    list.iter().map(id).collect()
}
