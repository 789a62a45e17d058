//! Conversations with a board over its wire, or with the same code in this process.
//!
//! [`Client`] is a program's end of the wire, [`Wire`] whatever carries the bytes: a serial port, an emulated board's
//! serial line, or a channel to a thread that runs the board's own application. [`Talk`] takes a person's lines, or those
//! of a script, and shows what comes of them.

mod client;
mod local;
mod measured;
mod talk;
mod wires;

pub use client::{Client, Reply, Wire, Wish};
pub use local::{LocalOptions, local};
pub use measured::StageCount;
pub use talk::{Next, Outcome, Show, Talk};
pub use wires::{emulated, serial_port};
