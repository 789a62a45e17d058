//! The chat template's section (`CHAT`): its layout, its reader, its writer.
//!
//! A checkpoint's template is a program in Jinja, which no microcontroller wants to run. What such programs do is
//! nearly always the same: some text stands before the first message, between a message of one role and the next of
//! another, and where the answer begins. These texts are the section. Which one comes next depends on the last role
//! and the next one and on nothing else, so a conversation grows at its end and what a model has read stays read.
//!
//! # Layout
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | flags: 1 an empty system message is left out, 2 what opens an answer is not how that answer is shown later; others 0 |
//! | 1 | 3 | reserved, zero |
//! | 4 | 20 | [`Trim`] of a message: after nothing, system, user, assistant, tool (rows) of system, user, assistant, tool (columns) |
//! | 24 | 20 x 4 | text between two messages, in the same order |
//! | 104 | 4 x 4 | text that opens the assistant's answer after a message of system, user, assistant, tool |
//! | 120 | 4 x 4 | text behind the last message of a finished conversation, by its role |
//! | 136 | 4 | text that ends an answer, where no token does |
//! | 140 | 4 | name of the template, for people |
//! | 144 | | the texts, in UTF-8, in any order, possibly overlapping |
//!
//! A text is given by two `u16`: its offset behind byte 144 and its length; offset and length `FFFF` mean that there
//! is none: such a message cannot stand there. Unless flag 2 is set, the text that opens an answer is a beginning of
//! the text between the same message and an assistant's.

#[cfg(test)]
mod tests;
mod write;

use crate::bytes::u16_at;
use crate::messages;

pub use write::{ChatParts, ChatWriteError};

/// Bytes before the texts.
pub const HEADER_BYTES: usize = 144;
/// Pairs of a message before, or nothing, and a message.
const PAIRS: usize = 20;
/// Where the table of texts begins.
const TABLE: usize = 24;
const ENTRIES: usize = 30;
const OPEN: usize = PAIRS;
const CLOSE: usize = 24;
const STOP: usize = 28;
const NAME: usize = 29;
const NONE: u16 = u16::MAX;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sets the conversation's frame.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool answered.
    Tool,
}

impl Role {
    /// All of them, in the order of the section's columns.
    pub const ALL: [Self; 4] = [Self::System, Self::User, Self::Assistant, Self::Tool];

    /// The name that templates know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// What is taken off the ends of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trim {
    /// Nothing.
    #[default]
    None,
    /// White space on both ends.
    Both,
    /// White space at the start.
    Start,
    /// White space at the end.
    End,
    /// Line feeds at the start.
    StartLines,
    /// Line feeds on both ends.
    BothLines,
}

impl Trim {
    /// All of them; a trim's place is its number in the section.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Both, Self::Start, Self::End, Self::StartLines, Self::BothLines];

    /// What is left of a text. White space is what Python takes for it, since templates are written for Python:
    /// Unicode's and the four separators of ASCII.
    pub fn of(self, text: &str) -> &str {
        let space = |c: char| c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c);
        match self {
            Self::None => text,
            Self::Both => text.trim_matches(space),
            Self::Start => text.trim_start_matches(space),
            Self::End => text.trim_end_matches(space),
            Self::StartLines => text.trim_start_matches('\n'),
            Self::BothLines => text.trim_matches('\n'),
        }
    }
}

mod flag {
    pub const EMPTY_SYSTEM_IS_NONE: u8 = 1;
    pub const REWRITES: u8 = 2;
    pub const ALL: u8 = 3;
}

/// Why bytes are not a `CHAT` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFormatError {
    /// Fewer bytes than the tables have.
    TooShort {
        /// Bytes needed.
        need: usize,
        /// Bytes present.
        have: usize,
    },
    /// A field has a value that cannot be.
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u32,
    },
    /// A text does not lie within the section, or not between whole characters.
    Text {
        /// Its place in the table.
        index: usize,
    },
    /// The texts are not UTF-8.
    Utf8,
    /// What opens an answer is no beginning of how the answer is shown later, and the flag for that is not set.
    Opening {
        /// Name of the role of the message before.
        after: &'static str,
    },
}

messages!(ChatFormatError {
    Self::TooShort { need, have } => ("{} bytes, expected at least {}", have, need),
    Self::Field { field, found } => ("{} cannot be {}", field, found),
    Self::Text { index } => ("text {} does not lie within the section", index),
    Self::Utf8 => ("the texts are not UTF-8"),
    Self::Opening { after } => ("what opens an answer after {} is not how the answer begins", after),
});

impl core::error::Error for ChatFormatError {}

/// A checked `CHAT` section. Holding one guarantees that every text is whole and that, unless
/// [`rewrites`](Self::rewrites), each text that opens an answer begins the one that stands before an assistant's
/// message.
#[derive(Clone, Copy, Debug)]
pub struct ChatTemplate<'a> {
    flags: u8,
    trims: [Trim; PAIRS],
    entries: &'a [[u8; 4]],
    texts: &'a str,
}

impl<'a> ChatTemplate<'a> {
    /// Checks a section as a whole.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn parse(section: &'a [u8]) -> Result<Self, ChatFormatError> {
        let (header, texts) = section
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ChatFormatError::TooShort { need: HEADER_BYTES, have: section.len() })?;
        let field = |field, found: u8| ChatFormatError::Field { field, found: found.into() };
        let [flags, r0, r1, r2, ..] = *header;
        if flags & !flag::ALL != 0 {
            return Err(field("flags", flags));
        }
        if let Some(found) = [r0, r1, r2].into_iter().find(|&byte| byte != 0) {
            return Err(field("reserved", found));
        }
        let known = |number: u8| Trim::ALL.get(usize::from(number)).copied();
        let mut trims = [Trim::None; PAIRS];
        for (trim, &number) in trims.iter_mut().zip(&header[4..TABLE]) {
            *trim = known(number).ok_or(field("trim", number))?;
        }
        let texts = core::str::from_utf8(texts).map_err(|_| ChatFormatError::Utf8)?;
        let template = Self { flags, trims, entries: header[TABLE..].as_chunks().0, texts };
        if let Some(index) =
            (0..ENTRIES).find(|&index| template.is_present(index) && template.text(index).is_none())
        {
            return Err(ChatFormatError::Text { index });
        }
        if !template.rewrites() {
            for role in Role::ALL {
                let before = template.between(Some(role), Role::Assistant);
                if let Some((before, open)) = before.zip(template.open(role))
                    && !before.starts_with(open)
                {
                    return Err(ChatFormatError::Opening { after: role.name() });
                }
            }
        }
        Ok(template)
    }

    fn entry(&self, index: usize) -> (u16, u16) {
        let entry = self.entries.get(index).unwrap_or(&[u8::MAX; 4]);
        (u16_at::<0, 4>(entry), u16_at::<2, 4>(entry))
    }

    fn is_present(&self, index: usize) -> bool {
        self.entry(index) != (NONE, NONE)
    }

    fn text(&self, index: usize) -> Option<&'a str> {
        let (offset, length) = self.entry(index);
        let from = usize::from(offset);
        self.texts.get(from..from + usize::from(length))
    }

    /// The text between a message of `after` (`None`: at the beginning) and one of `role`; `None` if such a message
    /// cannot stand there.
    pub fn between(&self, after: Option<Role>, role: Role) -> Option<&'a str> {
        self.text(pair(after, role))
    }

    /// The text that opens the assistant's answer to a message of `after`; `None` if it cannot be answered.
    pub fn open(&self, after: Role) -> Option<&'a str> {
        self.text(OPEN + after as usize)
    }

    /// The text behind the last message of a finished conversation; `None` if that is not known.
    pub fn close(&self, last: Role) -> Option<&'a str> {
        self.text(CLOSE + last as usize)
    }

    /// The text that ends an answer, where no token does.
    pub fn stop(&self) -> Option<&'a str> {
        self.text(STOP)
    }

    /// The template's name.
    pub fn name(&self) -> &'a str {
        self.text(NAME).unwrap_or_default()
    }

    /// What is taken off the ends of a message of `role` that follows one of `after`.
    pub fn trim(&self, after: Option<Role>, role: Role) -> Trim {
        self.trims[pair(after, role)]
    }

    /// Whether an empty system message is left out.
    pub fn empty_system_is_none(&self) -> bool {
        self.flags & flag::EMPTY_SYSTEM_IS_NONE != 0
    }

    /// Whether an answer is shown otherwise to later turns than it was opened.
    pub fn rewrites(&self) -> bool {
        self.flags & flag::REWRITES != 0
    }
}

/// Place of a pair in the tables.
const fn pair(after: Option<Role>, role: Role) -> usize {
    let row = match after {
        None => 0,
        Some(after) => after as usize + 1,
    };
    row * Role::ALL.len() + role as usize
}
