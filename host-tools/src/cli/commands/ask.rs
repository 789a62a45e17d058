//! `sprat ask`: the chain of an answer as it comes, then the answer.

use std::io::IsTerminal;

use anyhow::Result;
use sprat_emulator::firmware::Progress;

use super::{print, print_json};
use crate::ask::{AskOptions, Shown, ask, ask_board};
use crate::cli::arguments::AskArguments;
use crate::emulate::{Emulated, Wanted};
use crate::model::Model;
use crate::progress::bar;

/// Colours of what the machine inserts, of the answer, and of everything else.
const INSERTED: &str = "\u{1b}[32m";
const ANSWER: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

pub(super) fn ask_model(arguments: &AskArguments) -> Result<()> {
    let options = AskOptions {
        question: arguments.question.clone(),
        sensors: arguments.sensors.clone(),
        tools: !arguments.no_tools,
        max_tokens: arguments.max_tokens,
        sampler: arguments.sampling.config(),
        seed: arguments.sampling.seed,
        kernels: arguments.kernels.clone(),
        context: arguments.context,
        threads: arguments.team.threads(),
    };
    let has_colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let coloured = |colour: &str, text: &str| match has_colours {
        true => format!("{colour}{text}{PLAIN}"),
        false => text.to_owned(),
    };
    let mut written = Ok(());
    let mut show = |shown: Shown<'_>| {
        if arguments.json || written.is_err() {
            return;
        }
        written = match shown {
            Shown::Written(text) => print(text),
            Shown::Inserted(text) => print(&coloured(INSERTED, text)),
        };
    };
    let report = match &arguments.board {
        Some(board) => {
            eprintln!("building the firmware of {board} around {}", arguments.file.display());
            let progress = if std::io::stderr().is_terminal() { Progress::Shown } else { Progress::Silent };
            let emulated = Emulated::build(&Wanted {
                board,
                model: &arguments.file,
                context: arguments.context,
                kernels: arguments.kernels.as_deref(),
                ask: true,
                progress,
            })?;
            ask_board(&emulated, &options, &mut show)?
        }
        None => {
            let progress = bar("packing");
            let model = Model::open(&arguments.file, &arguments.open.options(), &progress)?;
            progress.finish_and_clear();
            ask(&model, &options, &mut show)?
        }
    };
    written?;
    if arguments.json {
        return print_json(&report);
    }
    print(&format!("\n\n{}\n", coloured(ANSWER, &report.answer)))?;
    eprintln!("{}", report.summary());
    Ok(())
}
