//! What an assistant is asked, and what it says.

use sprat::SamplerConfig;
use sprat::chat::Role;
use sprat::session::End;

use crate::error::AskError;

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }
}

/// A whole conversation up to its last message, which is to be answered, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// Tokens that the model writes at most; what tools insert does not count.
    pub max_tokens: usize,
    /// Texts that end the answer, 7 at most. They are not part of it.
    pub stops: Vec<String>,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Start of the random stream: the same one gives the same answer.
    pub seed: u64,
}

impl Question {
    /// At most 256 tokens, always the most likely one.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, max_tokens: 256, stops: Vec::new(), sampler: SamplerConfig::greedy(), seed: 0 }
    }
}

impl From<&str> for Question {
    /// A single message of a user.
    fn from(text: &str) -> Self {
        Self::new(vec![Message::new(Role::User, text)])
    }
}

impl From<String> for Question {
    fn from(text: String) -> Self {
        Self::new(vec![Message::new(Role::User, text)])
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text, of the model or inserted by a tool, whole characters. All of it, one behind the other, is the answer.
    Text(String),
    /// A tool was called. What it inserts follows as text.
    Call {
        /// The tool's name; empty for the calculator.
        name: String,
        /// What it was called with.
        arguments: String,
        /// What it said.
        result: String,
    },
}

/// An answer, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// All of it.
    pub text: String,
    /// Why it ended.
    pub end: End,
    /// Tokens of the conversation that were read.
    pub read_tokens: u32,
    /// Tokens that the model wrote.
    pub written_tokens: u32,
    /// Tokens that tools inserted.
    pub inserted_tokens: u32,
    /// Calls that were answered.
    pub calls: u32,
}

/// What happens to a question, for whoever is [called back](crate::Assistant::submit).
#[derive(Debug)]
pub enum Event {
    /// It is this question's turn.
    Begun,
    /// The model wrote a token.
    Token,
    /// A piece of the answer is complete.
    Piece(Piece),
    /// The answer is over, or there is none. Nothing follows.
    End(Result<Answer, AskError>),
}
