//! The program `sprat`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sprat_tools::cli::main()
}
