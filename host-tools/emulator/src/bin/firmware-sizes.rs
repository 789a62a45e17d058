//! Builds the firmware of every real board, or of those of a name (`--only PART`, as often as wanted), and compares its
//! sizes with the saved table, or saves them (`--save`).
//!
//! `cargo xtask sizes` and `cargo check-all` call it; it ends with a failure when a firmware does not fit its board or
//! the table is not that of the build.

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use sprat_board_support::memory::{Board, REAL_BOARDS};
use sprat_emulator::firmware::workspace;
use sprat_emulator::real::{self, TABLE};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut parts = Vec::new();
    let mut save = false;
    let mut rest = &arguments[..];
    while let Some((first, others)) = rest.split_first() {
        rest = match (*first, others) {
            ("--save", others) => {
                save = true;
                others
            }
            ("--only", [part, others @ ..]) => {
                parts.push(*part);
                others
            }
            _ => bail!("unknown arguments {arguments:?}; expected nothing, --save or --only PART"),
        };
    }
    ensure!(
        !save || parts.is_empty(),
        "a table without every board is not saved: --save and --only exclude each other"
    );
    for part in &parts {
        ensure!(
            REAL_BOARDS.iter().any(|board| board.name.contains(part)),
            "no real board's name contains {part:?}"
        );
    }
    let is_wanted = |board: &&Board| parts.is_empty() || parts.iter().any(|part| board.name.contains(part));
    let mut measured = Vec::new();
    for board in REAL_BOARDS.iter().filter(is_wanted) {
        measured.push(real::measure(board, &real::build(board)?)?);
    }
    let text = real::to_text(&measured);
    print!("{text}");
    let path = workspace()?.join(TABLE);
    if save {
        // The table appears under its name only when it is whole.
        let what = || format!("cannot write {}", path.display());
        let folder = path.parent().with_context(what)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(what)?;
        file.write_all(text.as_bytes()).with_context(what)?;
        // Temporary files are private; the table is to be as readable as any other.
        #[cfg(unix)]
        fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .with_context(what)?;
        file.persist(&path).map_err(|error| error.error).with_context(what)?;
        return Ok(ExitCode::SUCCESS);
    }
    let saved = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {TABLE}; cargo xtask sizes --save makes it"))?;
    let wrong = real::compare(&real::parse(&saved)?, &measured);
    wrong.iter().for_each(|line| println!("WRONG {line}"));
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
