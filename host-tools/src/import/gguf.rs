//! GGUF: llama.cpp's file of metadata, tokenizer and tensors, versions 2 and 3, little endian.
//!
//! The specification is `docs/gguf.md` of the ggml project. A file is read without trusting it: every length is held
//! against the bytes that are there before anything is allocated, and what is kept borrows from the file.

mod file;
pub mod metadata;
mod reader;

pub use metadata::{Array, Metadata, Value};
