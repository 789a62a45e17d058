//! Why there is no assistant, or no answer.

use std::path::PathBuf;
use std::{fmt, io};

use sprat::chat::ChatError;
use sprat::session::SessionError;
use sprat::{EngineError, ImageError, PlanError};
use sprat_board_support::threads::ThreadsError;

/// Why a model cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be read.
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is no packed model, or a damaged one.
    Model {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        error: ImageError,
    },
    /// The model does not answer questions.
    NoChat {
        /// Its path.
        path: PathBuf,
        /// What it lacks.
        error: ChatError,
    },
    /// The model has no such context.
    Plan(PlanError),
    /// The model's arena.
    Engine(EngineError),
    /// The team.
    Threads(ThreadsError),
    /// The system has no memory for the arena, or no thread for the assistant.
    System {
        /// What was wanted.
        wanted: String,
        /// What the system says.
        error: io::Error,
    },
    /// The assistant's thread panicked.
    Panicked,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => {
                write!(f, "cannot read {}: {error}; a packed model is expected there", path.display())
            }
            Self::Model { path, error } => {
                let path = path.display();
                write!(f, "{path} cannot be used: {error}; copy it again, or pack it (sprat pack)")
            }
            Self::NoChat { path, error } => write!(f, "{} cannot be asked: {error}", path.display()),
            Self::Plan(error) => write!(f, "the model cannot be used with such a context: {error}"),
            Self::Engine(error) => write!(f, "{error}"),
            Self::Threads(error) => write!(f, "{error}"),
            Self::System { wanted, error } => write!(f, "the system has no {wanted}: {error}"),
            Self::Panicked => f.write_str("the assistant's thread panicked while it began"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why there is no answer. The assistant is as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AskError {
    /// As many questions wait as may.
    Full {
        /// How many.
        waiting: usize,
    },
    /// The assistant's thread has ended, as a tool of a program's own may have panicked.
    Stopped,
    /// The conversation is longer than the context.
    TooLong {
        /// Tokens needed, for the messages so far at least.
        need: usize,
        /// Tokens of the context.
        have: usize,
    },
    /// A message is longer than what the context could hold at all.
    TooManyBytes {
        /// Bytes needed.
        need: usize,
        /// Bytes that it may have.
        have: usize,
    },
    /// The messages are not in an order that the model knows, or something else that it cannot do.
    Refused(SessionError),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { waiting } => write!(f, "{waiting} questions wait already: ask again later"),
            Self::Stopped => f.write_str("the assistant has stopped: start it again"),
            Self::TooLong { need, have } => write!(
                f,
                "the messages need at least {need} tokens and the context has {have}: shorten them, leave old ones \
                 out, or use a longer context if the model has one"
            ),
            Self::TooManyBytes { need, have } => {
                write!(f, "a message needs {need} bytes with its template and may have {have}: shorten it")
            }
            Self::Refused(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AskError {}
