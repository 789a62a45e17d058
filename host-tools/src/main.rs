//! The program `sprat`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Training makes and drops tensors of megabytes thousands of times a second. The system's allocator gives their pages
/// back each time; this one keeps them.
#[cfg(all(feature = "train", not(target_env = "musl")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sprat_tools::cli::main()
}
