//! What a program and a board say to each other in frames.
//!
//! A program sends [`Message`]s; every one is answered by [`Answer`]s, of which the last is a [`Last`] and no other is.
//! One message is worked on at a time. While that goes on, [`Message::Cancel`] ends it early and any other is refused as
//! [`Refusal::Busy`]. A message whose answer did not arrive may be sent again under its number: it is not done twice, but
//! its last answer comes again. Variants and fields are only ever appended, because their position is their number.

use core::fmt;

use serde::{Deserialize, Serialize};
use sprat::chat::ChatError;
use sprat::session::SessionError;
use sprat::{EngineError, SamplerConfig};

use crate::protocol::Stop;

/// Bytes of a question, or of whatever text a message has, at most.
pub const TEXT_BYTES: usize = 512;
/// Bytes of a piece of an answer's text at most; longer ones are sent in several.
pub const PIECE_BYTES: usize = 64;
/// Chains that may vote at most.
pub const MOST_VOTES: u32 = 8;

/// From a program to a board.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<'a> {
    /// Who is there? Answered with [`Piece::Board`].
    Info,
    /// A question, or the next turn of a conversation.
    Ask {
        /// What is said.
        text: &'a str,
        /// How it is answered.
        how: How,
    },
    /// End the answer that is being written.
    Cancel,
    /// Forget the conversation.
    Reset,
    /// What the conversation took so far. Answered with [`Last::Totals`].
    Totals,
    /// What can be called. Answered with a [`Piece::Tool`] each.
    Tools,
    /// Measure. The conversation is forgotten. Answered with a [`Piece::Stage`] each and [`Last::Bench`].
    Bench,
    /// What scripted sensors read from now on, a line each: `temp,kitchen=23.4`. Refused where sensors are real.
    Sensors {
        /// The lines.
        lines: &'a str,
    },
    /// The program leaves the wire to people.
    Leave,
}

/// How a turn is answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct How {
    /// Whether calls are answered.
    pub tools: bool,
    /// Tokens after which the answer ends at the latest.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time; other values divide the logits before sampling.
    pub temperature: f32,
    /// Sample among this many of the likeliest tokens; 0 for all.
    pub top_k: u32,
    /// Sample among the likeliest tokens that hold this much of the probability; 1 for all.
    pub top_p: f32,
    /// Leave out tokens less likely than this share of the likeliest; 0 for none.
    pub min_p: f32,
    /// Makes tokens that are in the context less likely; 1 for no change.
    pub repetition_penalty: f32,
    /// Start of the random stream; the same everywhere.
    pub seed: u64,
    /// Chains that are sampled and vote, up to [`MOST_VOTES`]; one answer without a vote below 2.
    pub votes: u32,
    /// Whether the model reads what was said before, too. Else it is a question of its own, and what was said before is
    /// forgotten.
    pub history: bool,
}

impl How {
    /// The likeliest tokens, with tools, without votes, each question on its own: small models answer those
    /// best, and mix up what was said long before.
    pub const DEFAULT: Self = Self {
        tools: true,
        max_tokens: 160,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        seed: 0,
        votes: 0,
        history: false,
    };

    /// How tokens are chosen.
    pub const fn sampler(&self) -> SamplerConfig {
        let Self { repetition_penalty, temperature, top_k, top_p, min_p, .. } = *self;
        SamplerConfig { repetition_penalty, temperature, top_k, top_p, min_p }
    }
}

impl Default for How {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// From a board to a program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// More comes.
    #[serde(borrow)]
    Piece(Piece<'a>),
    /// Nothing more comes.
    Last(Last),
}

/// A part of an answer that is not the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Piece<'a> {
    /// The model wrote text, of calls too.
    Text(&'a str),
    /// A call is complete.
    Call {
        /// The tool; empty for a calculation.
        name: &'a str,
        /// What it is called with.
        arguments: &'a str,
    },
    /// Its result.
    Result {
        /// The result.
        result: &'a str,
        /// The same as it was inserted into the answer.
        inserted: &'a str,
    },
    /// A call was given up; what was written of it is text.
    Abandoned,
    /// A chain of those that vote begins.
    Chain(u32),
    /// What the chains agree on. The answer of the first chain that said so stays in the conversation.
    Verdict {
        /// The answer.
        answer: &'a str,
        /// Chains that gave it.
        votes: u32,
        /// All chains.
        chains: u32,
    },
    /// Something that can be called; a calculation is `<<`.
    Tool(&'a str),
    /// The board and the model on it.
    Board(Board<'a>),
    /// The message that came again is being worked on.
    Working,
    /// What a part of a token's work takes. It is measured apart from the whole, to which being told of stages would add.
    Stage {
        /// The part.
        name: &'a str,
        /// Count for it in a token read.
        reading: u64,
        /// Count for it in a token written.
        writing: u64,
    },
}

/// A board and the model on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Board<'a> {
    /// The board.
    pub board: &'a str,
    /// The model.
    pub model: &'a str,
    /// The kernels that compute.
    pub kernel: &'a str,
    /// Tokens of context.
    pub context_tokens: u32,
    /// Bytes of the packed model.
    pub model_bytes: u32,
    /// Counts of the counter in a second; 0 where it counts instructions.
    pub counts_per_second: u64,
}

/// The last part of an answer.
// Its first variant is all zero, as the memory of a wire has to be at first: without the representation, the compiler
// may put the variant's number wherever the others leave room, and count from another one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Last {
    /// It was done, and there is nothing to say about it.
    Ok,
    /// A turn is over.
    Done(Done),
    /// The conversation so far.
    Totals(Totals),
    /// What was measured.
    Bench(Bench),
    /// It was not done.
    Refused(Refusal),
}

/// What a turn took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Why it ended.
    pub stop: Stop,
    /// Tokens read.
    pub read_tokens: u32,
    /// Tokens written, of all chains.
    pub written_tokens: u32,
    /// Tokens of results.
    pub inserted_tokens: u32,
    /// Calls that were answered.
    pub calls: u32,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// Turns that were forgotten to make room.
    pub dropped_turns: u32,
    /// Count for reading.
    pub reading: u64,
    /// Count for writing.
    pub writing: u64,
    /// Count for the tools.
    pub calling: u64,
}

/// What a conversation took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Questions and turns.
    pub turns: u32,
    /// Tokens in the context: of the last question alone, unless conversations have a history.
    pub position: u32,
    /// Tokens that the context holds.
    pub context_tokens: u32,
    /// Tokens read.
    pub read_tokens: u32,
    /// Tokens written.
    pub written_tokens: u32,
    /// Tokens of results.
    pub inserted_tokens: u32,
    /// Calls that were answered.
    pub calls: u32,
    /// Turns that were forgotten to make room.
    pub dropped_turns: u32,
    /// Frames that did not arrive whole, since the board began.
    pub damaged_frames: u32,
    /// Bytes of stack that were used, since the board began; 0 where that is not measured.
    pub stack_used_bytes: u32,
    /// Hash over the bits of all logits that tokens of the conversation were chosen from.
    pub logits_hash: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bench {
    /// Tokens that were read in chunks.
    pub read_tokens: u32,
    /// Count for them.
    pub reading: u64,
    /// Products for them.
    pub read_products: u64,
    /// Tokens that were written one by one.
    pub written_tokens: u32,
    /// Count for them.
    pub writing: u64,
    /// Products for them.
    pub written_products: u64,
    /// Counts in a second; 0 where the counter counts instructions.
    pub counts_per_second: u64,
    /// Bytes of weights that went by for the tokens read: once for each chunk of them.
    pub read_bytes: u64,
    /// Bytes of weights that went by for the tokens written: once for each of them.
    pub written_bytes: u64,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another message is being worked on.
    Busy,
    /// Nothing is being worked on.
    NothingToCancel,
    /// A message, or a command of a person, that this board does not know.
    Unknown,
    /// The text is longer than there is memory for.
    TooLong,
    /// The text has more tokens than the context has room for.
    ContextFull {
        /// Tokens needed.
        need: u32,
        /// Tokens of room.
        have: u32,
    },
    /// The model has no chat template, so that it cannot be asked.
    NoTemplate,
    /// The tokens cannot be chosen like that where logits come in blocks.
    Sampling,
    /// The sensors are real ones.
    NotScripted,
    /// More votes than there is room for.
    Votes {
        /// The most.
        most: u32,
    },
    /// The turn failed, and the conversation began anew.
    Failed,
}

impl Refusal {
    /// The same in words, without its numbers.
    pub const fn text(&self) -> &'static str {
        match self {
            Self::Busy => "another question is being answered",
            Self::NothingToCancel => "nothing is being answered",
            Self::Unknown => "not understood",
            Self::TooLong => "the text is too long",
            Self::ContextFull { .. } => "the context has no room for the text",
            Self::NoTemplate => "the model has no chat template and cannot be asked: pack it with one",
            Self::Sampling => "the logits come in blocks: set a top-k of 1 to 64, or a temperature of 0",
            Self::NotScripted => "the sensors are real ones",
            Self::Votes { .. } => "too many votes",
            Self::Failed => "the turn failed; the conversation begins anew",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        match self {
            Self::ContextFull { need, have } => write!(f, ": {need} tokens, and there is room for {have}"),
            Self::TooLong => write!(f, ": {TEXT_BYTES} bytes at most"),
            Self::Votes { most } => write!(f, ": {most} at most"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Engine(EngineError::ContextFull { need, have }) => {
                Self::ContextFull { need: need as u32, have: have as u32 }
            }
            SessionError::Engine(EngineError::Encode(_)) | SessionError::Chat(ChatError::Buffer { .. }) => {
                Self::TooLong
            }
            SessionError::Engine(EngineError::Candidates { .. }) => Self::Sampling,
            SessionError::Chat(ChatError::NoTemplate) => Self::NoTemplate,
            _ => Self::Failed,
        }
    }
}
