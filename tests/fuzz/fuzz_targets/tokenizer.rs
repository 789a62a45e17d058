//! Any bytes as a tokenizer's section, and any text through what passes: never a panic, always in range.
//!
//! The input is the section's length in four bytes, little endian, the section, and the text, so that a real section
//! can be a seed (`examples/seeds.rs`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::format::tokenizer::TokenizerTables;
use sprat::tokenizer::scratch_words;
use sprat::{Special, Tokenizer};

fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_first_chunk() else { return };
    let Some((section, text)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { return };
    let text = String::from_utf8_lossy(text);
    let Ok(tables) = TokenizerTables::parse(section) else { return };
    let tokenizer = Tokenizer::new(tables);
    let mut scratch = vec![0; scratch_words(text.len() + 8)];
    let mut tokens = vec![0; 4 * text.len() + 16];
    for special in [Special::AsText, Special::Parse] {
        let Ok(count) = tokenizer.encode(&text, special, &mut scratch, &mut tokens) else { continue };
        for &token in &tokens[..count] {
            assert!(token < tokenizer.vocab_size());
            let _ = tokenizer.token_bytes(token);
        }
    }
});
