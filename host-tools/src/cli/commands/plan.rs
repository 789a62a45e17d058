//! `sprat plan`: a file on a board, on all boards, or what would fit one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sprat_board_support::memory::limits_for_context;
use sprat_format::Limits;

use super::super::arguments::PlanArguments;
use super::{print, print_json};
use crate::boards::{Board, Boards};
use crate::import::{Checkpoint, OpenOptions};
use crate::model::{Model, is_packed};
use crate::pack::{self, PackOptions};
use crate::plan::shapes::what_fits;
use crate::plan::{Report, Subject, plan, streamed, table_of_boards};
use crate::table::{grouped, table};

/// Runs the command.
pub(super) fn plan_file(arguments: &PlanArguments) -> Result<()> {
    let boards = arguments.boards.load()?;
    if arguments.list_boards {
        return print(&list(&boards));
    }
    if let Some(board) = &arguments.what_fits {
        return shapes(arguments, boards.by_name(board)?);
    }
    let file = arguments
        .file
        .as_deref()
        .context("a packed file or a checkpoint is needed: sprat plan F --board NAME")?;
    let board = arguments.board.as_deref().map(|name| boards.by_name(name)).transpose()?;
    let (subject, mut limits) = subject(file)?;
    if let Some(context) = arguments.context {
        limits = limits_for_context(&limits, context);
    }
    if let Some(kv) = arguments.kv {
        limits.kv = kv.into();
    }
    limits.logits_rows = arguments.logits_rows.unwrap_or(limits.logits_rows);
    let plan = |board| plan(&subject, &limits, board).with_context(|| format!("{}", file.display()));
    let Some(board) = board else {
        let reports = boards.iter().map(plan).collect::<Result<Vec<Report>>>()?;
        return match arguments.json {
            true => print_json(&reports),
            false => print(&table_of_boards(&reports)),
        };
    };
    let report = plan(board)?;
    if let Some(rate) = arguments.stream {
        let model = Model::open_packed(file)?;
        let streamed = streamed(&model, &report, arguments.window.saturating_mul(1024), rate * 1e6)
            .with_context(|| format!("{}", file.display()))?;
        match arguments.json {
            true => print_json(&(&report, &streamed))?,
            false => print(&format!("{report}{streamed}"))?,
        }
        ensure!(
            streamed.missing == 0,
            "{}: streamed, the model needs {} bytes of RAM and {} has {}: {} are missing; take a smaller window \
             (--window), a shorter context (--context) or another board",
            file.display(),
            streamed.needed,
            board.name,
            streamed.available,
            streamed.missing
        );
        return Ok(());
    }
    match arguments.json {
        true => print_json(&report)?,
        false => print(&report.to_string())?,
    }
    report.require_fit().with_context(|| format!("{}", file.display()))
}

/// A packed file, or what packing a checkpoint would give.
fn subject(path: &Path) -> Result<(Subject, Limits)> {
    if is_packed(path) {
        let model = Model::open_packed(path)?;
        return Ok((Subject::of(&model)?, *model.image()?.limits()));
    }
    let checkpoint = Checkpoint::open(path, &OpenOptions::default())?;
    let planned = || -> Result<_> {
        let options = PackOptions::default();
        let layout = pack::layout(&checkpoint, &options)?;
        let file_bytes = pack::packed_bytes(&checkpoint, &options, &layout)?;
        let tokenizer_bytes = checkpoint.tokenizer.as_ref().map_or(0, Vec::len) as u64;
        Ok((Subject::of_layout(&layout, file_bytes, tokenizer_bytes), layout.limits))
    };
    let planned = planned().with_context(|| format!("cannot plan {}", path.display()))?;
    eprintln!("note: {} is a checkpoint: this is the plan of what `sprat pack` makes of it", path.display());
    Ok(planned)
}

fn shapes(arguments: &PlanArguments, board: &Board) -> Result<()> {
    let rate = arguments.tokens_per_second;
    ensure!(
        rate.is_finite() && rate > 0.0,
        "--tokens-per-second is {rate}, expected more than 0: a number such as 10"
    );
    let context = arguments.context;
    ensure!(context != Some(0), "--context is 0, expected at least 1: a number such as 256");
    let proposals = what_fits(board, context, rate)?;
    match arguments.json {
        true => print_json(&proposals),
        false => print(&proposals.to_string()),
    }
}

/// The boards with their memories, for a person.
fn list(boards: &Boards) -> String {
    let mut out = String::new();
    for board in boards.iter() {
        let Board { name, title, core, clock_hz, cores, source, note, .. } = board;
        out +=
            &format!("{name}: {title}\n  {cores} x {} at {} MHz; {}\n", core.name, clock_hz / 1e6, core.why);
        let rows = board.memory.iter().map(|memory| {
            let rate = memory.bytes_per_second().map_or("-".to_owned(), |rate| format!("{:.1}", rate / 1e6));
            let model = if memory.holds_model() { "model" } else { "" };
            vec![
                format!("  {}", memory.name),
                grouped(memory.available_bytes()),
                rate,
                model.to_owned(),
                memory.source.clone(),
            ]
        });
        out += &table(&["  memory", "bytes", "MB/s", "holds", "source"], &rows.collect::<Vec<_>>(), &[1, 2]);
        out += &format!("  source: {source}\n");
        if !note.is_empty() {
            out += &format!("  note: {note}\n");
        }
        out += "\n";
    }
    out
}
