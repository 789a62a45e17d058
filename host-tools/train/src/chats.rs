//! Chats as they are written: JSON lines in OpenAI's form.
//!
//! One chat a line: `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}`.
//! An answer that calls tools is several messages: what the assistant writes up to the end of the call, what the tool
//! answers, how the assistant goes on. Other fields are ignored, so that a corpus can carry notes of its own; lines that
//! begin with `#` are comments.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Who a message is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions, before everything.
    System,
    /// The one who asks.
    User,
    /// The model: what it learns to write.
    Assistant,
    /// What the machine inserts into an answer.
    Tool,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        })
    }
}

/// A part of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// Whose.
    pub role: Role,
    /// Its text, as it is.
    pub content: String,
}

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Chat {
    /// In order.
    pub messages: Vec<Message>,
}

impl Chat {
    /// Refuses orders that the form of the tokens has no place for.
    fn check(&self) -> Result<()> {
        let mut before = None;
        for Message { role, .. } in &self.messages {
            let fits = match (before, role) {
                (None, Role::System) | (None | Some(Role::System), Role::User) => true,
                (Some(Role::User), Role::Assistant) => true,
                (Some(Role::Assistant | Role::Tool), Role::Assistant | Role::Tool | Role::User) => {
                    before != Some(Role::Tool) || *role != Role::Tool
                }
                _ => false,
            };
            if !fits {
                let place = before.map_or_else(|| "first".to_owned(), |before| format!("after {before}"));
                bail!(
                    "a message of {role} stands {place}; expected a system message or none, then turns of a user \
                     message and its answer: assistant messages with tool messages between them"
                );
            }
            before = Some(*role);
        }
        if !self.messages.iter().any(|message| message.role == Role::Assistant) {
            bail!("no message of the assistant; expected at least one, since that is what is learned");
        }
        Ok(())
    }
}

/// Reads a file chat by chat; empty lines and comments are skipped.
///
/// # Errors
/// The file cannot be read, or a line is no chat: which, and why.
pub fn for_each(path: &Path, mut take: impl FnMut(Chat) -> Result<()>) -> Result<()> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let number = index + 1;
        let line = line.with_context(|| format!("cannot read {shown}, line {number}"))?;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let chat: Chat = serde_json::from_str(&line).with_context(|| {
            format!(
                "{shown}, line {number}: expected {{\"messages\": [{{\"role\": \"user\", \"content\": \"...\"}}, ...]}}"
            )
        })?;
        chat.check().and_then(|()| take(chat)).with_context(|| format!("{shown}, line {number}"))?;
    }
    Ok(())
}

/// Reads the chats of several files.
///
/// # Errors
/// As [`for_each`], or there is none.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<Vec<Chat>> {
    let mut chats = Vec::new();
    for path in paths {
        for_each(path.as_ref(), |chat| {
            chats.push(chat);
            Ok(())
        })?;
    }
    if chats.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
        bail!("no chat in {}", names.join(", "));
    }
    Ok(chats)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<Chat>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(&[file.path()])
    }

    fn roles(names: &str) -> String {
        let message = |name: &str| format!(r#"{{"role":"{name}","content":"x"}}"#);
        let messages: Vec<_> = names.split(' ').map(message).collect();
        format!(r#"{{"skill":"ignored","messages":[{}]}}"#, messages.join(","))
    }

    #[test]
    fn orders_of_messages() {
        for good in ["user assistant", "system user assistant tool assistant user assistant tool"] {
            assert_eq!(read_text(&format!("\n# a comment\n{}\n", roles(good))).unwrap().len(), 1, "{good}");
        }
        for (bad, why) in [
            ("assistant", "assistant stands first"),
            ("user user assistant", "user stands after user"),
            ("user assistant system", "system stands after assistant"),
            ("user tool", "tool stands after user"),
            ("user assistant tool tool", "tool stands after tool"),
            ("system user", "no message of the assistant"),
        ] {
            let error = format!("{:#}", read_text(&roles(bad)).unwrap_err());
            assert!(error.contains(why) && error.contains("line 1"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_no_chat_is_named_by_its_line() {
        let error = format!("{:#}", read_text(&format!("{}\n{{}}", roles("user assistant"))).unwrap_err());
        assert!(error.contains("line 2") && error.contains("messages"), "{error}");
        assert!(format!("{:#}", read_text("\n").unwrap_err()).contains("no chat in"));
    }
}
