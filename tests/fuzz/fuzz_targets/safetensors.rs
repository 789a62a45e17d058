//! Any bytes as the weights of a Hugging Face directory: refused or read whole, never a panic. See `sprat_e2e::parsers`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sprat_e2e::parsers::safetensors(data);
});
