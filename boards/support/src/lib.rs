//! What every board's firmware shares, so that a board's own crate is its memory, its clock and its pins.
//!
//! From the outside in: [`app`] is the one application, which knows no hardware; [`console`] holds the two
//! seams that a board fills in; [`stack`] measures; [`protocol`] is what host and board say to each other;
//! [`memory`] is which boards there are and whether a model fits them, for the host tools too. The rest is
//! glue that a board asks for by feature: `ask` for questions with tools, `build-script` for its build, `semihosting` for boards that an
//! emulator runs, `cortex-m` for that family's faults, `heap` for boards that find their RAM at boot.
#![no_std]
#![deny(unsafe_code)]

pub mod app;
#[cfg(feature = "ask")]
pub mod ask;
pub mod console;
pub mod memory;
pub mod protocol;
// Reads raw memory: the stack's paint is in no Rust object.
#[allow(unsafe_code)]
pub mod stack;

#[cfg(feature = "build-script")]
pub mod build_script;
// Handlers that the hardware enters, and linker symbols.
#[cfg(feature = "cortex-m")]
#[allow(unsafe_code)]
pub mod cortex_m;
// The allocator's contract is unsafe.
#[cfg(feature = "heap")]
#[allow(unsafe_code)]
pub mod heap;
#[cfg(feature = "semihosting")]
pub mod semihosted;
