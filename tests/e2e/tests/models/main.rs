//! Real models and tokenizers on this machine: against references, packed, asked, measured.
//!
//! One program, so that all of its tests share the cores; a module is run by its name, as in
//! `cargo test -p sprat-e2e --test models reference`.

mod chat;
mod context;
mod default_model;
mod quantization;
mod reference;
mod session;
mod tokenizers;
mod trim;
