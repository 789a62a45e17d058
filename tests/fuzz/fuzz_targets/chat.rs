//! Any bytes as a packed file's section CHAT, and conversations in what passes. See `sprat_e2e::parsers`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sprat_e2e::parsers::chat(data);
});
