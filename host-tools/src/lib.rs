//! The laptop side of Sprat.
//!
//! From the outside in: [`import`] opens a checkpoint, [`quantize`] turns its tensors into the packed file's
//! elements, [`pack`] streams them into a file; [`plan`] says what a board needs for it, and [`flash`](mod@flash) brings it
//! there. Everything that runs a model ([`run`], [`ask`], [`console`], [`logits`], [`eval`], [`bench`](mod@bench)) runs the
//! device's own code, the crate `sprat`, so the laptop
//! measures exactly what the device does. The command line is a thin layer over these modules.
#![deny(unsafe_code)]

pub mod ask;
pub mod bench;
pub mod boards;
pub mod calibrate;
pub mod chat;
pub mod cli;
pub mod console;
pub mod emulate;
pub mod eval;
pub mod fixture;
pub mod flash;
pub mod import;
pub mod inspect;
pub mod logits;
pub mod map;
pub mod model;
pub mod output;
pub mod pack;
pub mod plan;
pub mod prefix;
pub mod progress;
pub mod quantize;
pub mod run;
pub mod table;
pub mod trim;

pub use sprat_board_support::threads;
