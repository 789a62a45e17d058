//! The command line: arguments in, the library's functions, text or JSON out.
//!
//! What a model writes goes to standard output, everything about it to standard error. Errors are one line with
//! their causes; the exit code is 1 for them and 2 for a wrong use of the program.

mod arguments;
mod commands;
mod values;

use std::process::ExitCode;

use clap::Parser;

use crate::output::remove_unfinished_when_interrupted;
use arguments::Arguments;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || {
        remove_unfinished_when_interrupted()?;
        commands::dispatch(arguments.command)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
