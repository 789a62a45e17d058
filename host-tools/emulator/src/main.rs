//! The runner that cargo hands firmware to: boots it, shows what it says, ends as it ended.
//!
//! The answer goes to standard output and logs to standard error, as of a program on this machine.

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sprat_emulator::{Boot, End, Event, Input, boot};

/// Seconds, unless the environment variable `SPRAT_TIME_LIMIT` says otherwise.
const TIME_LIMIT: u64 = 600;

fn main() -> ExitCode {
    match run() {
        Ok(end) => {
            if end.code() != 0 {
                eprintln!("{end}");
            }
            ExitCode::from(end.code())
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<End> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (elf, rest) = arguments.split_first().context("usage: sprat-emulator ELF [ARGUMENT...]")?;
    let seconds = match env::var("SPRAT_TIME_LIMIT") {
        Ok(text) => {
            text.parse().with_context(|| format!("SPRAT_TIME_LIMIT is {text:?}, expected seconds"))?
        }
        Err(_) => TIME_LIMIT,
    };
    let what = Boot {
        elf: Path::new(elf),
        memory: &[],
        input: Input::Arguments(rest),
        time_limit: Duration::from_secs(seconds),
    };
    let outcome = boot(&what, &mut |event| match event {
        Event::Text(text) => {
            print!("{text}");
            // A listener that went away does not stop the firmware.
            _ = io::stdout().flush();
        }
        Event::Log(log) => eprintln!("{log}"),
    })?;
    if !outcome.text.is_empty() && !outcome.text.ends_with('\n') {
        println!();
    }
    Ok(outcome.end)
}
