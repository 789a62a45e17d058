//! The small form while it is being found: the section's texts, owned.

use anyhow::{Result, anyhow};
use sprat::chat::{Chat, Piece};
use sprat_format::chat::{ChatParts, ChatTemplate, Role, Trim};

use super::Message;

/// What a template was found to do; see [`ChatTemplate`] for each part.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    pub name: String,
    /// After nothing and after each role, before each role.
    pub between: [[Option<String>; 4]; 5],
    pub open: [Option<String>; 4],
    pub close: [Option<String>; 4],
    pub stop: Option<String>,
    /// In the same order.
    pub trims: [[Trim; 4]; 5],
    pub empty_system_is_none: bool,
    pub rewrites: bool,
}

/// Row of the texts that follow a role.
pub(super) fn row(after: Option<Role>) -> usize {
    after.map_or(0, |after| after as usize + 1)
}

impl Form {
    /// The roles that can follow.
    pub fn next(&self, after: Option<Role>) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |&role| self.between[row(after)][role as usize].is_some())
    }

    /// Whether a role has a place anywhere.
    pub fn allows(&self, role: Role) -> bool {
        self.between.iter().any(|row| row[role as usize].is_some())
    }

    /// Finds what ends an answer: the first special token behind it, which is returned, or else the text there before
    /// the next message of the user.
    pub fn find_end(&mut self, specials: &[String]) -> Option<String> {
        let assistant = Role::Assistant;
        let next = self.between[row(Some(assistant))][Role::User as usize].as_deref();
        let close = self.close[assistant as usize].as_deref();
        let end = next.into_iter().chain(close).reduce(common_start)?;
        let found = specials.iter().filter_map(|special| Some((end.find(special.as_str())?, special)));
        // The first, and the longest of those.
        if let Some((_, special)) = found.min_by_key(|(at, special)| (*at, std::cmp::Reverse(special.len())))
        {
            return Some(special.clone());
        }
        self.stop = next.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        None
    }

    /// The section.
    pub fn section(&self) -> Result<Vec<u8>> {
        let parts = ChatParts {
            between: self.between.each_ref().map(|row| row.each_ref().map(Option::as_deref)),
            open: self.open.each_ref().map(Option::as_deref),
            close: self.close.each_ref().map(Option::as_deref),
            stop: self.stop.as_deref(),
            name: &self.name,
            trims: self.trims,
            empty_system_is_none: self.empty_system_is_none,
            rewrites: self.rewrites,
        };
        let mut buffer = vec![0; parts.most_bytes()];
        let section = parts.write(&mut buffer).map_err(|error| anyhow!("{error}"))?.to_vec();
        ChatTemplate::parse(&section)
            .map_err(|error| anyhow!("the section made from it is not valid: {error}"))?;
        Ok(section)
    }
}

/// The text of a conversation as the runtime makes it of a section; `None` where it refuses.
pub(super) fn text_of(section: &[u8], messages: &[Message], add_generation_prompt: bool) -> Option<String> {
    let mut chat = Chat::new(ChatTemplate::parse(section).ok()?);
    let mut text = String::new();
    let mut push = |piece| match piece {
        Piece::Template(part) | Piece::Content(part) => text += part,
    };
    for message in messages {
        chat.say(message.role, &message.content).ok()?.for_each(&mut push);
    }
    push(if add_generation_prompt { chat.open_answer().ok()? } else { chat.close().ok()? });
    Some(text)
}

/// The longest common beginning.
pub(super) fn common_start<'t>(a: &'t str, b: &'t str) -> &'t str {
    let common = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y);
    common.map_or(&a[..a.len().min(b.len())], |((at, _), _)| &a[..at])
}
