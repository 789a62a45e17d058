//! The pre-tokenizer of a `tokenizer.json`: each step that cuts text becomes a stage.
//!
//! Steps that are no regular expression in the file (`Digits`, `Punctuation`, `Metaspace`) are written as one here,
//! with what they do to the pieces between matches in the expression too.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sprat_format::tokenizer::{Prefix, StageFlags};

use super::normalizer::Normalizer;
use super::{describe, flag, flatten, kind};
use crate::import::tokenizer::split::{GPT2, Split};

/// What a pre-tokenizer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreTokenizer {
    pub splits: Vec<Split>,
    pub prefix: Prefix,
    /// Tokens are written in GPT-2's alphabet.
    pub is_byte_level: bool,
    /// Spaces become marks.
    pub marks_spaces: bool,
}

/// Every punctuation character of ASCII and of Unicode's categories P.
const PUNCTUATION: &str = r"[!-/:-@\[-`{-~\p{P}]";

pub fn read(component: &Value, normalizer: &Normalizer) -> Result<PreTokenizer> {
    let mut found =
        PreTokenizer { splits: Vec::new(), prefix: Prefix::None, is_byte_level: false, marks_spaces: false };
    for step in flatten(component, "pretokenizers") {
        let stages = found.splits.len();
        let name = kind(step);
        let is_last_of_text = found.is_byte_level || found.marks_spaces;
        match name {
            "Split" if normalizer.marks_spaces && pattern(step) == Some(Pattern::Text(" ")) => {
                // There are no spaces any more.
            }
            "Split" if normalizer.marks_spaces || found.marks_spaces => {
                bail!("pre_tokenizer {} after spaces became U+2581 is not supported", describe(step))
            }
            "Split" => found.splits.push(split(step)?),
            "Digits" => {
                let repeated = if flag(step, "individual_digits", false) { "" } else { "+" };
                found.splits.push(Split::isolated(format!(r"\p{{N}}{repeated}")));
            }
            "Punctuation" => {
                let behavior = step.get("behavior").and_then(Value::as_str).unwrap_or("Isolated");
                found.splits.push(with_behavior(PUNCTUATION, true, behavior).with_context(|| refused(step))?);
            }
            "WhitespaceSplit" => found.splits.push(with_behavior(r"\s", true, "Removed")?),
            "ByteLevel" if !is_last_of_text => {
                found.is_byte_level = true;
                if flag(step, "use_regex", true) {
                    found.splits.push(Split::isolated(GPT2));
                } else if stages > 0 && flag(step, "add_prefix_space", true) {
                    bail!("pre_tokenizer Split before ByteLevel with add_prefix_space is not supported");
                }
                if flag(step, "add_prefix_space", true) {
                    found.prefix = Prefix::Pieces;
                }
                continue;
            }
            "Metaspace" if !is_last_of_text => {
                metaspace(step, &mut found)?;
                continue;
            }
            _ => bail!("{}", refused(step)),
        }
        if !is_last_of_text {
            continue;
        }
        // What follows ByteLevel sees the alphabet of bytes.
        if found.marks_spaces || found.prefix != Prefix::None {
            bail!("pre_tokenizer {} after one that adds a space is not supported", describe(step));
        }
        for split in found.splits.iter_mut().skip(stages) {
            split.flags = split.flags.with(StageFlags::BYTES);
        }
    }
    Ok(found)
}

fn refused(step: &Value) -> String {
    format!(
        "pre_tokenizer {} is not supported; expected Split, Digits, Punctuation, WhitespaceSplit, ByteLevel and \
         Metaspace",
        describe(step)
    )
}

fn metaspace(step: &Value, found: &mut PreTokenizer) -> Result<()> {
    let text = |name: &str| step.get(name).and_then(Value::as_str);
    if text("replacement").is_some_and(|mark| mark != "\u{2581}") {
        bail!("pre_tokenizer {} is not supported; expected U+2581 as the replacement", describe(step));
    }
    found.marks_spaces = true;
    found.prefix = match text("prepend_scheme").unwrap_or("always") {
        _ if !flag(step, "add_prefix_space", true) => Prefix::None,
        "always" => Prefix::Pieces,
        "first" => Prefix::FirstPiece,
        "never" => Prefix::None,
        _ => bail!("{}", refused(step)),
    };
    if found.prefix == Prefix::FirstPiece && !found.splits.is_empty() {
        bail!("pre_tokenizer {} after another is not supported", describe(step));
    }
    match (flag(step, "split", true), found.splits.is_empty(), found.prefix) {
        (true, ..) => found.splits.push(with_behavior(" ", true, "MergedWithNext")?),
        (false, false, Prefix::Pieces) => {
            bail!("pre_tokenizer {} after another is not supported", describe(step))
        }
        (false, ..) => {}
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pattern<'a> {
    Text(&'a str),
    Expression(&'a str),
}

fn pattern(step: &Value) -> Option<Pattern<'_>> {
    let text = step.pointer("/pattern/String").and_then(Value::as_str).map(Pattern::Text);
    text.or_else(|| step.pointer("/pattern/Regex").and_then(Value::as_str).map(Pattern::Expression))
}

fn split(step: &Value) -> Result<Split> {
    let behavior = step.get("behavior").and_then(Value::as_str).unwrap_or_default();
    let (expression, is_character) = match pattern(step).with_context(|| refused(step))? {
        Pattern::Text(text) => (regex_syntax::escape(text), text.chars().count() == 1),
        Pattern::Expression(expression) => {
            (expression.to_owned(), crate::import::tokenizer::classes::class(expression).is_ok())
        }
    };
    match (behavior, flag(step, "invert", false)) {
        (_, false) => with_behavior(&expression, is_character, behavior).with_context(|| refused(step)),
        // What is between the matches is dropped, or is a piece as well.
        ("Removed", true) => Ok(Split { only_matches: true, ..Split::isolated(expression) }),
        ("Isolated", true) => Ok(Split::isolated(expression)),
        _ => bail!("{}", refused(step)),
    }
}

/// An expression whose pieces are those that a behavior makes of the matches of another.
fn with_behavior(expression: &str, is_character: bool, behavior: &str) -> Result<Split> {
    // The complement of a class that has brackets of its own or none.
    let others = format!("[^{expression}]");
    Ok(match behavior {
        "Isolated" => Split::isolated(expression),
        "Removed" => Split { flags: StageFlags::REMOVE, ..Split::isolated(expression) },
        "Contiguous" => Split::isolated(format!("(?:{expression})+")),
        "MergedWithPrevious" if is_character => Split::isolated(format!("{others}*{expression}|{others}+")),
        "MergedWithNext" if is_character => Split::isolated(format!("{expression}{others}*|{others}+")),
        _ => bail!("the behavior {behavior:?} with this pattern"),
    })
}
