//! Emulated boards: firmware built around a packed model, booted in QEMU, heard out, and judged.
//!
//! [`firmware`] builds and measures an ELF, [`machine`] is QEMU's command line for each board, [`mod@boot`] runs
//! one and streams what it says, [`console`] runs one and leads its serial line here; [`real`] builds and measures what
//! only a board on a table runs. `sprat emulate`, the tests and cargo's runner all go through here, so there is one answer
//! to what an exit code means and to when a hanging emulator is stopped.
#![forbid(unsafe_code)]

pub mod boot;
pub mod console;
pub mod firmware;
mod logs;
pub mod machine;
pub mod real;

pub use boot::{Boot, End, Event, Input, Log, Outcome, boot};
