//! Firmware of real boards as a file: built in the boards' own workspace, and measured by what the linker wrote.
//!
//! Nothing runs it here. That it links is what is known: the linker script is made from the model's plan, so that what
//! does not fit is not built. The table of sizes lies in the repository and is compared with each build.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSymbol as _};
use sprat_board_support::memory::Board;

use crate::firmware::{self, Sizes, executables};

/// The workspace of real boards, relative to the checkout.
const WORKSPACE: &str = "boards/real";
/// The saved table, relative to the checkout.
pub const TABLE: &str = "boards/real/sizes.md";
/// What a size may be off, in per cent: paths of sources, which panics name, differ from machine to machine.
const TOLERANCE: u64 = 2;

const HEAD: &str = "\
# Sizes of the real boards' firmware

Bytes around the default model, by the sections that the linker wrote: `cargo xtask sizes` builds and compares,
`cargo xtask sizes --save` rewrites this table. `cargo check-all` refuses what is more than 2 % off in three of them,
`cargo check-all --boards` in any.

";
const COLUMNS: [&str; 8] =
    ["board", "firmware", "of flash", "model", "of flash", "variables, arena included", "stack", "of RAM"];

/// Builds the firmware of a real board around the default model; returns its path. Cargo's progress is shown.
///
/// # Errors
/// What cargo says: what does not fit the board fails the build.
pub fn build(board: &Board) -> Result<PathBuf> {
    let folder = firmware::workspace()?.join(WORKSPACE).join(board.package());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // In the board's folder, whose settings name target and core. A toolchain or flags of the caller's are for the host.
    cargo.current_dir(&folder).args(["build", "--locked", "--profile", board.profile]);
    cargo.args(["--features", board.feature, "--message-format", "json-render-diagnostics"]);
    for foreign in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "SPRAT_MODEL", "SPRAT_CONTEXT", "SPRAT_ISA"] {
        cargo.env_remove(foreign);
    }
    let output =
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cannot build the firmware of {}: see above", board.name);
    }
    let is_it = |elf: &PathBuf| elf.file_name().is_some_and(|name| name == board.package());
    let elf = executables(&output.stdout).into_iter().find(is_it);
    elf.with_context(|| format!("cargo built no program called {}", board.name))
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The board.
    pub board: String,
    /// Bytes, in the order of the table's columns.
    pub bytes: [u64; 7],
}

/// Measures a firmware.
///
/// # Errors
/// A file that cannot be read, is no ELF, or has no stack or no model where the board has them.
pub fn measure(board: &Board, elf: &Path) -> Result<Line> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let Sizes { firmware_flash, model_flash, statics_ram, .. } = firmware::sizes(board, &bytes)?;
    let file = object::File::parse(&*bytes).context("the firmware is not an ELF")?;
    let symbol = |name: &str| {
        let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
        found.map(|symbol| symbol.address()).with_context(|| format!("the firmware has no symbol {name}"))
    };
    let (end, start) = (symbol("_stack_end")?, symbol("_stack_start")?);
    let memory = board.stack.unwrap_or(board.ram);
    // At the lower end of its memory, or at the upper one where it is what the rest leaves.
    let is_placed = if board.hal_script.is_empty() { end == memory.origin } else { start == memory.end() };
    if !is_placed || start <= end || start > memory.end() {
        bail!("{}: the stack lies at {end:#x} to {start:#x}, expected at an end of its memory", board.name);
    }
    // What lies outside of the chip is written by itself.
    if model_flash == 0 && board.external_ram.is_none() {
        bail!("{}: there is no model at {:#x}", board.name, board.model.origin);
    }
    let ram = board.ram.bytes + board.stack.map_or(0, |own| own.bytes);
    Ok(Line {
        board: board.name.to_owned(),
        bytes: [
            firmware_flash,
            board.firmware.bytes,
            model_flash,
            board.model.bytes,
            statics_ram,
            start - end,
            ram,
        ],
    })
}

/// The whole table as text.
pub fn to_text(lines: &[Line]) -> String {
    let mut text = HEAD.to_owned();
    let row = |text: &mut String, cells: &[String]| _ = writeln!(text, "| {} |", cells.join(" | "));
    row(&mut text, &COLUMNS.map(str::to_owned));
    row(&mut text, &COLUMNS.map(|_| "---".to_owned()));
    for Line { board, bytes } in lines {
        let mut cells = vec![board.clone()];
        cells.extend(bytes.map(grouped));
        row(&mut text, &cells);
    }
    text
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The lines of a table.
///
/// # Errors
/// A line that is not one.
pub fn parse(text: &str) -> Result<Vec<Line>> {
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    let line = |row: &str| -> Option<Line> {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let board = cells.next()?.to_owned();
        let bytes: Vec<_> = cells.map(|cell| cell.replace(',', "").parse().ok()).collect::<Option<_>>()?;
        Some(Line { board, bytes: bytes.try_into().ok()? })
    };
    rows.map(|row| line(row).with_context(|| format!("{TABLE} has the line {row:?}"))).collect()
}

/// What a saved table has wrong about the boards that were measured, a line each.
pub fn compare(saved: &[Line], measured: &[Line]) -> Vec<String> {
    let saved: BTreeMap<_, _> = saved.iter().map(|line| (&line.board, line.bytes)).collect();
    let mut wrong = Vec::new();
    for Line { board, bytes } in measured {
        let Some(old) = saved.get(board) else {
            wrong.push(format!("{board} is not in {TABLE}"));
            continue;
        };
        for ((name, old), new) in COLUMNS[1..].iter().zip(old).zip(bytes) {
            if old.abs_diff(*new) * 100 > old * TOLERANCE {
                wrong.push(format!(
                    "{board}, {name}: {} bytes, {TABLE} has {}",
                    grouped(*new),
                    grouped(*old)
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(board: &str, firmware: u64) -> Line {
        Line {
            board: board.to_owned(),
            bytes: [firmware, 118_784, 928_256, 929_792, 230_000, 15_360, 262_144],
        }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let lines = [line("a", 999), line("b", 1_234_567)];
        let text = to_text(&lines);
        assert!(text.contains("| b | 1,234,567 | 118,784 |"), "{text}");
        assert_eq!(parse(&text).unwrap(), lines);
        assert!(parse(&text.replace("999", "much")).is_err());
    }

    #[test]
    fn other_sizes_and_new_boards_are_wrong() {
        let saved = [line("a", 100_000), line("b", 100_000)];
        assert!(compare(&saved, &[line("a", 102_000)]).is_empty());
        let wrong = compare(&saved, &[line("b", 102_001), line("c", 1)]);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(
            wrong[0].contains("b, firmware: 102,001 bytes") && wrong[1].contains("c is not in"),
            "{wrong:?}"
        );
        assert_eq!(compare(&saved, &[line("a", 97_999)]).len(), 1);
    }
}
