//! A conversation in the form that the model was trained on, one message after the other.
//!
//! The packed template says which text stands between two messages ([`ChatTemplate`]). A [`Chat`] walks through it and
//! yields pieces, the template's own and what somebody said, so that only the template's become special tokens. A
//! [`Transcript`] gathers pieces in a lent buffer until the model is to read them
//! ([`Engine::prompt_pieces`](crate::Engine::prompt_pieces)): text of template and content that adjoin is tokenized as
//! one, as it was in training. What the model has read stays valid, so a conversation continues in the key-value cache.
//!
//! ```
//! use sprat::chat::{Chat, ChatError, Role, Transcript};
//!
//! fn first_turn(chat: &mut Chat<'_>, transcript: &mut Transcript<'_>, question: &str) -> Result<(), ChatError> {
//!     for piece in chat.say(Role::User, question)? {
//!         transcript.push(piece)?;
//!     }
//!     transcript.push(chat.open_answer()?)
//!     // Then: engine.prompt_pieces(transcript), generate, transcript.clear(), chat.answered(), and the next turn.
//! }
//! ```

pub(crate) mod stop;
#[cfg(test)]
mod tests;
mod transcript;

use sprat_format::chat::{ChatFormatError, ChatTemplate};
use sprat_format::messages;

pub use self::stop::StopText;
pub use self::transcript::{MOST_CONTENTS, Transcript};
pub use sprat_format::chat::Role;

use crate::image::Image;

/// A part of a conversation's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// The template's: special tokens in it become special tokens.
    Template(&'t str),
    /// Somebody's words: text, whatever it looks like.
    Content(&'t str),
}

/// Why a conversation cannot go on like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatError {
    /// The model was packed without a chat template.
    NoTemplate,
    /// The section.
    Format(ChatFormatError),
    /// The template has no place for such a message.
    Order {
        /// Role of the message before, or `nothing`.
        after: &'static str,
        /// Role of the message.
        role: &'static str,
    },
    /// An answer was opened: what follows is the answer.
    Opened,
    /// The template shows an answer otherwise than it opens it, so a given text cannot follow the opening.
    Rewrites,
    /// How a finished conversation ends is not known.
    NoClose,
    /// The buffer is too small for the pieces.
    Buffer {
        /// Bytes needed.
        need: usize,
        /// Bytes that it has.
        have: usize,
    },
    /// More messages than can be gathered at once.
    Contents {
        /// The most.
        most: usize,
    },
}

messages!(ChatError {
    Self::NoTemplate => ("the model was packed without a chat template: pack it with one"),
    Self::Format(error) => ("section CHAT: {}", error),
    Self::Order { after, role } => ("the chat template has no place for a message of {} after {}", role, after),
    Self::Opened => ("an answer was opened: what follows must be the answer"),
    Self::Rewrites => ("the chat template shows answers otherwise than it opens them: begin anew"),
    Self::NoClose => ("the chat template does not say how a conversation ends"),
    Self::Buffer { need, have } => ("the messages need a buffer of {} bytes, it has {}", need, have),
    Self::Contents { most } => ("more than {} messages at once: let the model read in between", most),
});

impl core::error::Error for ChatError {}

/// A conversation's place in its template.
#[derive(Clone, Copy, Debug)]
pub struct Chat<'m> {
    template: ChatTemplate<'m>,
    last: Option<Role>,
    /// Whether the text that opens an answer was yielded already.
    opened: bool,
}

impl<'m> Chat<'m> {
    /// A conversation that has not begun.
    pub const fn new(template: ChatTemplate<'m>) -> Self {
        Self { template, last: None, opened: false }
    }

    /// A conversation that goes on behind a message that the model has read, as a packed
    /// [prefix](crate::Engine::load_prefix) says whose it was.
    pub const fn after(template: ChatTemplate<'m>, last: Option<Role>) -> Self {
        Self { template, last, opened: false }
    }

    /// A conversation in the template of a model.
    ///
    /// # Errors
    /// The model has no template, or a damaged one.
    pub fn of(image: &Image<'m>) -> Result<Self, ChatError> {
        let section = image.file().chat_section().ok_or(ChatError::NoTemplate)?;
        ChatTemplate::parse(section).map(Self::new).map_err(ChatError::Format)
    }

    /// The template.
    pub const fn template(&self) -> &ChatTemplate<'m> {
        &self.template
    }

    /// A message: what the template puts before it, and its text. Nothing for an empty system message where the
    /// template leaves it out.
    ///
    /// # Errors
    /// No place for such a message after the last one. The conversation is as it was then.
    pub fn say<'t>(
        &mut self,
        role: Role,
        content: &'t str,
    ) -> Result<impl Iterator<Item = Piece<'t>> + use<'t, 'm>, ChatError>
    where
        'm: 't,
    {
        let content = self.template.trim(self.last, role).of(content);
        if role == Role::System && content.is_empty() && self.template.empty_system_is_none() {
            return Ok([Piece::Template(""), Piece::Content("")].into_iter().filter(is_not_empty));
        }
        let after = self.last;
        let order = ChatError::Order { after: after.map_or("nothing", Role::name), role: role.name() };
        let mut before = self.template.between(after, role).ok_or(order)?;
        if self.opened {
            let opening = after.and_then(|after| self.template.open(after)).unwrap_or_default();
            before = match (role, before.strip_prefix(opening)) {
                (Role::Assistant, Some(rest)) => rest,
                (Role::Assistant, None) => return Err(ChatError::Rewrites),
                _ => return Err(ChatError::Opened),
            };
        }
        (self.last, self.opened) = (Some(role), false);
        Ok([Piece::Template(before), Piece::Content(content)].into_iter().filter(is_not_empty))
    }

    /// What makes the model answer the last message.
    ///
    /// # Errors
    /// There is no message, none that can be answered, or an answer was opened already.
    pub fn open_answer(&mut self) -> Result<Piece<'m>, ChatError> {
        if self.opened {
            return Err(ChatError::Opened);
        }
        let after = self.last.map_or("nothing", Role::name);
        let order = ChatError::Order { after, role: Role::Assistant.name() };
        let open = self.last.and_then(|last| self.template.open(last)).ok_or(order)?;
        self.opened = true;
        Ok(Piece::Template(open))
    }

    /// Whether an answer was opened and is to follow.
    pub const fn is_opened(&self) -> bool {
        self.opened
    }

    /// The model has answered, and what it said was read by itself: the next message follows.
    pub fn answered(&mut self) {
        (self.last, self.opened) = (Some(Role::Assistant), false);
    }

    /// What stands behind a finished conversation, as a training text has it.
    ///
    /// # Errors
    /// There is no message, or the template's way to end was not compiled.
    pub fn close(&self) -> Result<Piece<'m>, ChatError> {
        let close = self.last.filter(|_| !self.opened).and_then(|last| self.template.close(last));
        close.map(Piece::Template).ok_or(ChatError::NoClose)
    }
}

fn is_not_empty(piece: &Piece<'_>) -> bool {
    !matches!(piece, Piece::Template("") | Piece::Content(""))
}
