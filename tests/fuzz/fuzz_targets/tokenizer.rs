//! Any bytes as a tokenizer's section, and any text through what passes: never a panic, always in range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::format::tokenizer::TokenizerTables;
use sprat::tokenizer::scratch_words;
use sprat::{Special, Tokenizer};

fuzz_target!(|input: (Vec<u8>, String)| {
    let (section, text) = input;
    let Ok(tables) = TokenizerTables::parse(&section) else { return };
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
