//! Measures every emulated target, or those of a name (`--only PART`), and compares with the saved table, or saves it
//! (`--save`).
//!
//! `cargo xtask bench` and `cargo check-all` call it; it ends with a failure when something got worse.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use sprat_e2e::counts::{self, TABLE};

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
    let (save, only) = match arguments[..] {
        [] => (false, ""),
        ["--save"] => (true, ""),
        ["--only", part] => (false, part),
        _ => bail!("unknown arguments {arguments:?}; expected nothing, --save or --only PART"),
    };
    let mut skipped = false;
    let measured = counts::measure(only, |note| {
        if note.starts_with("SKIP") {
            skipped = true;
            println!("{note}");
        } else {
            eprintln!("{note}");
        }
    })?;
    let text = counts::to_text(&measured);
    print!("{text}");
    if save {
        ensure!(
            !skipped,
            "a table without every target is not saved; cargo xtask setup installs what is missing"
        );
        return save_table(&text).map(|()| ExitCode::SUCCESS);
    }
    let saved = std::fs::read_to_string(counts::path())
        .with_context(|| format!("cannot read {TABLE}; cargo xtask bench --save makes it"))?;
    let comparison = counts::compare(&counts::parse(&saved)?, &measured);
    comparison.better.iter().for_each(|line| println!("NOTE {line}"));
    comparison.wrong.iter().for_each(|line| println!("WRONG {line}"));
    Ok(if comparison.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table appears under its name only when it is whole.
fn save_table(text: &str) -> Result<()> {
    let path = counts::path();
    let what = || format!("cannot write {}", path.display());
    let folder = path.parent().with_context(what)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(what)?;
    file.write_all(text.as_bytes()).with_context(what)?;
    // Temporary files are private; the table is to be as readable as any other.
    #[cfg(unix)]
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .with_context(what)?;
    file.persist(&path).map_err(|error| error.error).with_context(what)?;
    Ok(())
}
