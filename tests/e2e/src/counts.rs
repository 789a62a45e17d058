//! The table of what every emulated target executes, and how large its firmware is.
//!
//! Emulated instructions repeat exactly, so a change of the table is a change of the code, and a slower kernel is
//! found when it is made. The table lies in the repository, as text that a person reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use indicatif::ProgressBar;
use sprat_board_support::memory::{BOARDS, Board, DEFAULT_MODEL};
use sprat_board_support::protocol::Request;
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::pack::{self, PackOptions};

use crate::cores::{CORES, Core, Job, Question};
use crate::{boards, repository};

/// The saved table, relative to the repository.
pub const TABLE: &str = "tests/instruction-counts.md";

/// What a line may be off, in per cent.
const TOLERANCE: u64 = 2;

const HEAD: &str = "\
# What the emulated targets execute

Instructions of one call of a kernel, of the tokens of the default model, and bytes of firmware, as QEMU counts
them: exactly repeatable, but no cycles. `cargo xtask bench` compares with this table and `cargo xtask bench --save`
rewrites it; `cargo check-all` refuses what is more than 2 % worse.

| target | work | units | total | each |
| --- | --- | --- | --- | --- |
";

/// What the default model is asked.
const QUESTION: &str = "<|user|>What is the capital of France?<|assistant|>";
/// Tokens that it may write; it needs a few more.
const TOKENS: u32 = 8;

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The core or board.
    pub target: String,
    /// The kernel and its shape, or what else was measured.
    pub work: String,
    /// Units of work.
    pub units: u64,
    /// Instructions, or bytes.
    pub total: u64,
}

impl Line {
    fn key(&self) -> (&str, &str) {
        (&self.target, &self.work)
    }
}

/// Measures every target that can be emulated here and whose name contains `only`; `note` hears of each one before, and
/// of those that cannot.
///
/// # Errors
/// A program that does not build or fails.
pub fn measure(only: &str, mut note: impl FnMut(&str)) -> Result<Vec<Line>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut lines = Vec::new();
    for core in CORES.into_iter().filter(|core| core.name.contains(only)) {
        if let Some(missing) = core.missing() {
            note(&format!("SKIP instruction counts of {}: {missing}", core.name));
            continue;
        }
        note(core.name);
        lines.extend(kernels_of(core)?);
        lines.extend(model_on(core, folder.path())?);
    }
    // The other forms of a board execute the same.
    let boards = BOARDS.iter().filter(|board| board.feature.is_empty());
    for board in boards.filter(|board| board.name.contains(only)) {
        if let Some(missing) = boards::missing(board) {
            note(&format!("SKIP instruction counts of {}: {missing}", board.name));
            continue;
        }
        note(board.name);
        lines.extend(firmware_of(board, folder.path())?);
    }
    Ok(lines)
}

fn kernels_of(core: &Core) -> Result<Vec<Line>> {
    let output = core.run(Job::Count)?;
    ensure!(output.kernels == core.kernels, "{} chose the kernels {}", core.name, output.kernels);
    let line = |count: crate::cores::Count| Line {
        target: core.name.to_owned(),
        work: count.workload,
        units: count.units,
        total: count.instructions,
    };
    Ok(output.counts.into_iter().map(line).collect())
}

/// The default model, read and written, in the layout that the core's kernels are made for.
fn model_on(core: &Core, folder: &Path) -> Result<[Line; 2]> {
    let directory = repository().join(DEFAULT_MODEL).parent().map(Path::to_path_buf).unwrap_or_default();
    let options = PackOptions { layout: core.layout(), ..PackOptions::default() };
    let model = folder.join("model.sprat");
    let checkpoint = Checkpoint::open(&directory, &OpenOptions::default())?;
    let limits = options.limits(&checkpoint.config)?;
    pack::to_file(&checkpoint, &options, &model, &ProgressBar::hidden(), |_| Ok(()))?;
    let request = Request { prompt: QUESTION, special: true, max_tokens: TOKENS, ..Request::default() };
    let question = Question { model: &model, context: limits.context, request, cores: 1, counted: true };
    let answer = core.run(Job::Model(&question))?.answer.context("no answer")?;
    let line = |what: &str, units, total| Line {
        target: core.name.to_owned(),
        work: format!("default model, {what}"),
        units,
        total,
    };
    Ok([
        line("tokens read", answer.prompt_tokens, answer.prefill),
        line("tokens written", answer.tokens, answer.decode),
    ])
}

/// A board's firmware around the default model: what it executes from the first request to the report, and its size.
fn firmware_of(board: &Board, folder: &Path) -> Result<[Line; 4]> {
    let model = folder.join("model.sprat");
    boards::pack_default_for(board, &model)?;
    let emulated = Emulated::build(&Wanted::new(board.name, &model))?;
    let request = Request { prompt: QUESTION, special: true, max_tokens: TOKENS, ..Request::default() };
    let report = emulated.ask(&request, |_| {})?;
    let kernels = boards::kernels(board);
    ensure!(report.kernels == kernels, "{} chose the kernels {}", board.name, report.kernels);
    let line = |work: &str, units: u32, total| Line {
        target: board.name.to_owned(),
        work: work.to_owned(),
        units: units.into(),
        total,
    };
    Ok([
        line("default model, check", 1, report.load_instructions),
        line("default model, tokens read", report.prompt_tokens, report.prefill_instructions),
        line("default model, tokens written", report.answer_tokens, report.decode_instructions),
        line("firmware without model, bytes", 1, report.flash.firmware),
    ])
}

/// Where the saved table lies.
pub fn path() -> PathBuf {
    repository().join(TABLE)
}

/// The table as text.
pub fn to_text(lines: &[Line]) -> String {
    let mut text = HEAD.to_owned();
    for Line { target, work, units, total } in lines {
        let each = *total as f64 / (*units).max(1) as f64;
        let digits = if each < 100.0 { 4 } else { 0 };
        // Writing to a string cannot fail.
        _ = writeln!(text, "| {target} | {work} | {units} | {total} | {each:.digits$} |");
    }
    text
}

/// The lines of a saved table.
///
/// # Errors
/// A line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<Line>> {
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    let line = |row: &str| -> Option<Line> {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [target, work, units, total, _] = cells[..] else { return None };
        let (units, total) = (units.parse().ok()?, total.parse().ok()?);
        Some(Line { target: target.to_owned(), work: work.to_owned(), units, total })
    };
    rows.map(|row| line(row).with_context(|| format!("{TABLE} has the line {row:?}"))).collect()
}

/// How new lines compare with saved ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What must not be: worse lines, new ones, missing ones.
    pub wrong: Vec<String>,
    /// Lines that got better and should be saved.
    pub better: Vec<String>,
}

/// Compares. Saved lines of targets that are not among the new ones were not measured here and do not count.
pub fn compare(saved: &[Line], measured: &[Line]) -> Comparison {
    let mut comparison = Comparison::default();
    let mut old: BTreeMap<_, _> = saved.iter().map(|line| (line.key(), line)).collect();
    for new in measured {
        let name = format!("{}: {}", new.target, new.work);
        let Some(old) = old.remove(&new.key()) else {
            comparison.wrong.push(format!("{name}: not in {TABLE}; run cargo xtask bench --save"));
            continue;
        };
        let change = (new.total as f64 / (old.total as f64).max(1.0) - 1.0) * 100.0;
        let change = format!("{name}: {} before, {} now ({change:+.1} %)", old.total, new.total);
        if new.units != old.units {
            comparison.wrong.push(format!("{name}: {} units before, {} now", old.units, new.units));
        } else if new.total * 100 > old.total * (100 + TOLERANCE) {
            comparison.wrong.push(change);
        } else if new.total * 100 < old.total * (100 - TOLERANCE) {
            comparison.better.push(format!("{change}; run cargo xtask bench --save"));
        }
    }
    let was_measured = |line: &&&Line| measured.iter().any(|new| new.target == line.target);
    for line in old.values().filter(was_measured) {
        comparison
            .wrong
            .push(format!("{}: {}: in {TABLE} but not measured any more", line.target, line.work));
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &str, work: &str, total: u64) -> Line {
        Line { target: target.into(), work: work.into(), units: 64, total }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let lines = [line("M4", "MatmulQ8 rows 64, cols 256", 17000), line("M4", "Softmax positions 128", 3)];
        assert_eq!(parse(&to_text(&lines)).unwrap(), lines);
        assert!(parse(&(to_text(&lines) + "| M4 | x | many | 3 | |\n")).is_err());
    }

    #[test]
    fn what_is_worse_new_or_missing_is_named_and_what_is_better_is_told() {
        let saved = [line("M4", "a", 1000), line("M4", "b", 1000), line("A53", "a", 1000)];
        let compared = |measured: &[Line]| compare(&saved, measured);
        assert_eq!(compared(&[line("M4", "a", 1020), line("M4", "b", 980)]), Comparison::default());
        let worse = compared(&[line("M4", "a", 1021), line("M4", "b", 1000)]);
        assert_eq!(worse.wrong, ["M4: a: 1000 before, 1021 now (+2.1 %)"]);
        let better = compared(&[line("M4", "a", 979), line("M4", "b", 1000)]);
        assert!(better.wrong.is_empty() && better.better[0].starts_with("M4: a: 1000 before, 979 now"));
        let changed = compared(&[line("M4", "a", 1000), line("M4", "c", 1000)]);
        assert_eq!(changed.wrong.len(), 2, "{changed:?}");
        assert!(changed.wrong[0].contains("M4: c: not in") && changed.wrong[1].contains("M4: b: in"));
    }
}
