//! Any bytes as a llama2.c checkpoint: refused or read whole, never a panic. See `sprat_e2e::parsers`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sprat_e2e::parsers::llama2c(data);
});
