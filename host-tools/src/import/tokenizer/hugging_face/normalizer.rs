//! The normalizer of a `tokenizer.json`: Unicode forms, and the spaces of SentencePiece.
//!
//! Forms become tables of the section; `Prepend` and `Replace` are what the runtime does with spaces by itself.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{describe, flatten, kind};
use crate::import::tokenizer::normalization::Kind;

/// What a normalizer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Normalizer {
    /// A Unicode form, before all else.
    pub form: Option<Kind>,
    /// A mark is put before each part of a text.
    pub prepends: bool,
    /// Spaces become marks.
    pub marks_spaces: bool,
}

impl Normalizer {
    /// A text as the normalizer leaves it.
    pub fn apply(&self, text: &str) -> String {
        let text = self.form.map_or_else(|| text.to_owned(), |form| form.apply(text));
        let text = if self.prepends { format!("\u{2581}{text}") } else { text };
        if self.marks_spaces { text.replace(' ', "\u{2581}") } else { text }
    }
}

pub fn read(component: &Value) -> Result<Normalizer> {
    let mut normalizer = Normalizer::default();
    let text = |step: &Value, name: &str| step.pointer(name).and_then(Value::as_str).map(str::to_owned);
    for step in flatten(component, "normalizers") {
        let is_first = normalizer == Normalizer::default();
        let known = match kind(step) {
            "NFC" => {
                normalizer.form = Some(Kind::Nfc);
                is_first
            }
            "NFKC" => {
                normalizer.form = Some(Kind::Nfkc);
                is_first
            }
            "Prepend" => {
                let before = normalizer.prepends || normalizer.marks_spaces;
                normalizer.prepends = true;
                !before && text(step, "/prepend").as_deref() == Some("\u{2581}")
            }
            "Replace" => {
                normalizer.marks_spaces = true;
                let (from, to) = (text(step, "/pattern/String"), text(step, "/content"));
                from.as_deref() == Some(" ") && to.as_deref() == Some("\u{2581}")
            }
            "Precompiled" => text(step, "/precompiled_charsmap").is_none_or(|map| map.is_empty()),
            _ => false,
        };
        if !known {
            bail!(
                "normalizer {} is not supported; expected NFC or NFKC, Prepend of U+2581 and Replace of a space by \
                 U+2581, in this order, or none",
                describe(step)
            );
        }
    }
    if normalizer.prepends && !normalizer.marks_spaces {
        bail!("normalizer Prepend without Replace of a space by U+2581 is not supported");
    }
    Ok(normalizer)
}
