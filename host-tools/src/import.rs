//! Checkpoints and tokenizers of other projects, read into Sprat's terms.

pub mod tokenizer;
