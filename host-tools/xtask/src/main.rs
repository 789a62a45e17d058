//! The repository's own chores, each one command on a fresh machine.
//!
//! A thin layer: it says what it does, installs what is missing, and calls cargo, `sprat` and the emulator's
//! runner. What they do is theirs.
#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod check;
mod demo;
mod run;
mod setup;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup             install what is missing: Rust targets, rustfmt, clippy, the emulator
  demo [QUESTION]   pack the default model, boot it on an emulated Cortex-M, stream its answer
  check-all         everything that CI runs; with --boards the firmware of all real boards, not of three
  bench [--save]    count what every emulated target executes; compare with the saved table, or save it
  bench --only PART the same for targets whose name contains PART, compared only
  sizes [--save]    build the firmware of real boards; compare its sizes with the saved table, or save it
  sizes --only PART the same for boards whose name contains PART, compared only
  runner ELF [ARG]  boot a firmware in the emulator and end as it ends (cargo's runner)";

fn main() -> ExitCode {
    match chore() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore() -> Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    match command {
        "setup" => setup::everything()?,
        "demo" => demo::demo(rest)?,
        "check-all" => {
            return match rest {
                [] => check::check_all(false),
                [option] if option == "--boards" => check::check_all(true),
                _ => bail!("unknown arguments {rest:?} of check-all; expected nothing or --boards"),
            };
        }
        "bench" => return bench(rest),
        "sizes" => return sizes(rest),
        "runner" => return runner(rest),
        "help" | "--help" | "-h" => println!("{USAGE}"),
        unknown => bail!("unknown command {unknown}\n{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The emulated cores are the tests' affair.
fn bench(arguments: &[String]) -> Result<ExitCode> {
    setup::everything()?;
    let mut cargo = run::cargo(&run::INSTRUCTION_COUNTS);
    Ok(run::status_code(run::status(cargo.arg("--").args(arguments))?))
}

/// Real boards are built by the program that knows how to read an ELF.
fn sizes(arguments: &[String]) -> Result<ExitCode> {
    setup::targets(setup::REAL_BOARD_TARGETS)?;
    let mut cargo = run::cargo(&run::FIRMWARE_SIZES);
    Ok(run::status_code(run::status(cargo.arg("--").args(arguments))?))
}

/// The runner is a program of its own, so that the other chores need not compile its log decoder.
fn runner(arguments: &[String]) -> Result<ExitCode> {
    let mut cargo = run::cargo(&["run", "--quiet", "--release", "--package", "sprat-emulator", "--"]);
    // Cargo calls its runner in the folder of the caller, to which a relative ELF refers.
    cargo.current_dir(env::current_dir()?).args(arguments);
    Ok(run::status_code(run::status(&mut cargo)?))
}
