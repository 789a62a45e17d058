//! A Raspberry Pi under Linux: an assistant that a program asks, and a server in the OpenAI chat form.
//!
//! From the outside in: `server` (feature `server`, on by default) speaks HTTP; a [`Chat`] is a conversation; an
//! [`Assistant`] is a model at work in a thread of its own, which any number of threads may ask and which answers one
//! [`Question`] after the other; what its model calls in the middle of an answer is a [`Device`]: the [`Pi`] itself, or
//! one that [`reads what it was told`](Told). The numbers are those of every other board, bit for bit.
//!
//! ```no_run
//! use raspberry_pi_linux::{Assistant, Options, Pi};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let assistant = Assistant::open("assistant-q8.sprat", Options::default(), Pi::found())?;
//!     println!("{}", assistant.ask("What is 17 times 23?")?.text);
//!     Ok(())
//! }
//! ```
#![deny(unsafe_code)]

mod answering;
mod assistant;
mod chat;
mod cores;
mod device;
mod error;
mod map;
mod question;
#[cfg(feature = "server")]
pub mod server;
mod work;

pub use answering::Answering;
pub use assistant::{About, Assistant, Options};
pub use chat::Chat;
pub use device::{Pi, Told};
pub use error::{AskError, OpenError};
pub use question::{Answer, Event, Message, Piece, Question};
pub use sprat::SamplerConfig;
pub use sprat::chat::Role;
pub use sprat::session::End;
pub use sprat::tools::Device;
