//! The post-processor of a `tokenizer.json`: the BOS token that it puts before a text.
//!
//! What else post-processors do is about pairs of texts and offsets, which the runtime does not have.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{describe, flatten, kind};

/// The BOS that a template adds; ByteLevel changes offsets only.
pub fn read(component: &Value) -> Result<Option<u32>> {
    let mut bos = None;
    for step in flatten(component, "processors") {
        match kind(step) {
            "ByteLevel" => {}
            "TemplateProcessing" if bos.is_none() => bos = template(step)?,
            _ => bail!(
                "post_processor {} is not supported; expected ByteLevel, or one TemplateProcessing that adds a \
                 BOS token or nothing",
                describe(step)
            ),
        }
    }
    Ok(bos)
}

fn template(step: &Value) -> Result<Option<u32>> {
    let items = step.get("single").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |item: &Value| item.pointer("/SpecialToken/id").and_then(Value::as_str).map(str::to_owned);
    let is_text = |item: &Value| item.get("Sequence").is_some();
    let bos = match items {
        [text] if is_text(text) => return Ok(None),
        [bos, text] if is_text(text) => name(bos),
        _ => None,
    };
    let Some(bos) = bos else {
        let single = step.get("single").unwrap_or(&Value::Null);
        bail!(
            "post_processor TemplateProcessing {single} is not supported; expected a BOS token, then the text"
        );
    };
    let ids = step.get("special_tokens").and_then(|all| all.get(&bos)).and_then(|token| token.get("ids"));
    match ids.and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
        [id] => Ok(id.as_u64().and_then(|id| u32::try_from(id).ok())),
        other => bail!("post_processor TemplateProcessing: {bos:?} has ids {other:?}; expected one id"),
    }
}
