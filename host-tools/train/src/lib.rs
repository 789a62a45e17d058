//! Training small assistants on the laptop: from chats to a checkpoint that `sprat pack` takes.
//!
//! From the outside in: [`job`] goes from files to files; [`trainer`] does one step after another, by its [`schedule`],
//! with the [`optimizer`]; [`model`] records a micro-batch of the [`corpus`] on a [`tape`], out of the operations in `ops`,
//!  which compute over slices with `matrix` and `vector`. [`chats`] and [`tokenizer`] say what the corpus is made
//! of ([`starter`] writes some to begin with), [`mod@evaluate`] how well it is learned; [`checkpoint`] and [`export`] write what came of it.
#![deny(unsafe_code)]

pub mod chats;
pub mod checkpoint;
pub mod corpus;
pub mod evaluate;
pub mod export;
pub mod job;
mod matrix;
pub mod model;
mod ops;
pub mod optimizer;
pub mod schedule;
pub mod shape;
pub mod starter;
pub mod tape;
pub mod tokenizer;
pub mod trainer;
mod vector;
