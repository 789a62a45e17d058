//! What a session says: events while an answer is written, how it ended, what it took, what went wrong.

use sprat_format::messages;

use crate::chat::ChatError;
use crate::engine::{EngineError, PrefixError};

/// Something that happened while an answer was written. The texts of [`Text`](Self::Text) and of
/// [`Result`](Self::Result)'s `inserted`, one behind the other, are the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'t> {
    /// The model wrote a token.
    Token(u32),
    /// The model wrote text, of calls too; whole characters.
    Text(&'t str),
    /// A call is complete, and its tool is asked now. A calculation has no name.
    Call {
        /// The name of the tool.
        name: &'t str,
        /// What it is called with; text of the model, whatever it looks like.
        arguments: &'t str,
    },
    /// The tool's result was inserted.
    Result {
        /// The result, or `error` and why there is none.
        result: &'t str,
        /// The result as it stands in the conversation, with what is around it.
        inserted: &'t str,
    },
    /// A call was given up; what the model wrote of it stays in the conversation as text.
    Abandoned(Abandoned),
}

/// Why a call was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It was longer than the memory for calls.
    TooLong,
    /// The model has no token to go on with as the call's grammar wants it.
    NoToken,
    /// The tokens or the context did not suffice to complete it.
    NoRoom,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model wrote a token that ends a text.
    EndToken,
    /// One of the texts that end an answer. It is not shown.
    StopText,
    /// As many tokens as the options allow.
    Limit,
    /// No room in the context, and nothing that could be dropped.
    ContextFull,
    /// The caller wanted no more.
    Cancelled,
    /// The grammar of the answer allows nothing more.
    Complete,
    /// The model has no token to go on with as the grammar of the answer wants it.
    NoToken,
}

/// What a session took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Tokens of messages that were read.
    pub read_tokens: u32,
    /// Tokens that the model wrote.
    pub written_tokens: u32,
    /// Tokens of results that were inserted.
    pub inserted_tokens: u32,
    /// Tokens that were read again, after a turn was dropped.
    pub reread_tokens: u32,
    /// Calls that were answered.
    pub calls: u32,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// Turns that were dropped because the context was full.
    pub dropped_turns: u32,
    /// What reading took, in the caller's counter.
    pub reading: u64,
    /// What choosing and feeding the answers' tokens took, in the caller's counter.
    pub writing: u64,
    /// What the tools took, in the caller's counter.
    pub calling: u64,
}

/// Why a session did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SessionError {
    /// The lent memory is smaller than what was asked for.
    Memory {
        /// Bytes needed.
        need: usize,
        /// Bytes that it has.
        have: usize,
    },
    /// More texts that end an answer than can be looked for.
    Stops {
        /// Texts given, the chat template's among them.
        found: usize,
        /// The most.
        most: usize,
    },
    /// What the mark stands for was dropped since.
    Forgotten,
    /// The shortest answer by the grammar may need more tokens than allowed. The answer is open and can be asked for with
    /// more.
    Answer {
        /// Tokens needed.
        need: usize,
        /// Tokens allowed, or of room in the context.
        have: usize,
    },
    /// The conversation.
    Chat(ChatError),
    /// The text that was read when the model was packed.
    Prefix(PrefixError),
    /// The model.
    Engine(EngineError),
}

messages!(SessionError {
    Self::Memory { need, have } => ("the session needs {} bytes of memory, it has {}", need, have),
    Self::Stops { found, most } => ("{} texts that end an answer, at most {} can be looked for", found, most),
    Self::Forgotten => ("what the mark stands for was dropped since, because the context was full"),
    Self::Answer { need, have } => ("the shortest answer by the grammar needs {} tokens, {} are allowed", need, have),
    Self::Chat(error) => ("{}", error),
    Self::Prefix(error) => ("{}", error),
    Self::Engine(error) => ("{}", error),
});

impl core::error::Error for SessionError {}

impl From<PrefixError> for SessionError {
    fn from(error: PrefixError) -> Self {
        Self::Prefix(error)
    }
}

impl From<ChatError> for SessionError {
    fn from(error: ChatError) -> Self {
        Self::Chat(error)
    }
}

impl From<EngineError> for SessionError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}
