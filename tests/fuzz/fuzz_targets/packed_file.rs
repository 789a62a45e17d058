//! Any bytes as a packed file, also with its checksums written anew: refused or read whole, never a panic. See `sprat_e2e::parsers`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sprat_e2e::parsers::packed_file(data);
});
