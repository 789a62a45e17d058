//! `sprat chat`: a person at a terminal, or a script on standard input, talks to a model.
//!
//! What the model says goes to standard output, statistics to standard error. A script's lines are those that a person
//! would type.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result, ensure};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use sprat_board_support::memory::BOARDS;
use sprat_emulator::firmware::{Form, Progress};

use super::{Colours, print};
use crate::cli::arguments::ChatArguments;
use crate::console::{Client, LocalOptions, Next, Show, Talk, Wire, Wish, emulated, local, serial_port};
use crate::emulate::{Emulated, Wanted};
use crate::model::Model;
use crate::output::HeldInterrupts;
use crate::progress::bar;

const PROMPT: &str = "> ";

pub(super) fn chat(arguments: &ChatArguments) -> Result<()> {
    let mut talk = Talk::new(Client::new(wire(arguments)?), arguments.how(), &arguments.sensors)?;
    let result = match std::io::stdin().is_terminal() {
        true => converse(&mut talk, arguments.json),
        false => run_script(&mut talk, arguments.json),
    };
    result.and(talk.leave())
}

fn wire(arguments: &ChatArguments) -> Result<Box<dyn Wire>> {
    if let Some(port) = &arguments.port {
        return serial_port(port, arguments.baud);
    }
    let file = arguments.file.as_deref().context("no model")?;
    let Some(board) = &arguments.board else {
        let progress = bar("packing");
        let model = Model::open(file, &arguments.open.options(), &progress)?;
        progress.finish_and_clear();
        let options = LocalOptions { context: arguments.context, threads: arguments.team.threads() };
        return local(model, options);
    };
    let known: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
    ensure!(
        known.contains(&board.as_str()),
        "the board {board:?} cannot be talked to in emulation; those that can: {}",
        known.join(", ")
    );
    eprintln!("building the firmware of {board} around {}", file.display());
    let progress = if std::io::stderr().is_terminal() { Progress::Shown } else { Progress::Silent };
    let wanted =
        Wanted { context: arguments.context, form: Form::Console, progress, ..Wanted::new(board, file) };
    emulated(Emulated::build(&wanted)?)
}

/// A person at a terminal, with a history of lines to come back to.
fn converse(talk: &mut Talk, json: bool) -> Result<()> {
    eprintln!("{}\n/help lists what can be typed beside questions; Ctrl-C ends an answer", talk.who());
    let mut editor = DefaultEditor::new().context("cannot edit lines on this terminal")?;
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // A line that was given up.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error).context("cannot read a line"),
        };
        if line.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(line.as_str()).context("cannot keep the line")?;
        match answer(talk, &line, json) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A person can type something else.
            Err(error) => eprintln!("error: {error:#}"),
        }
    }
}

/// Standard input to its end. The first error ends it.
fn run_script(talk: &mut Talk, json: bool) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read the script")?;
        if line.trim().is_empty() {
            continue;
        }
        if !json {
            print(&format!("{PROMPT}{line}\n"))?;
        }
        if !answer(talk, &line, json)? {
            break;
        }
    }
    Ok(())
}

/// Does what a line says and shows what comes of it; whether there is more to say.
fn answer(talk: &mut Talk, line: &str, json: bool) -> Result<bool> {
    let colours = Colours::of_stdout();
    let interrupts = HeldInterrupts::hold();
    let mut written = Ok(());
    let mut show = |shown: Show<'_>| {
        if json || written.is_err() {
            return;
        }
        written = match shown {
            Show::Written(text) => print(text),
            Show::Inserted(text) => print(&colours.inserted(text)),
            Show::Chain(0) => print("[1] "),
            Show::Chain(chain) => print(&format!("\n[{}] ", chain + 1)),
        };
    };
    let wish = || match interrupts.came() {
        0 => Wish::More,
        1 => Wish::End,
        _ => Wish::Leave,
    };
    let next = talk.line(line, wish, &mut show)?;
    written?;
    match next {
        Next::Quit => return Ok(false),
        Next::Noted(text) if !text.is_empty() => eprintln!("{text}"),
        Next::Noted(_) => {}
        Next::Answered(outcome) if json => print(&(serde_json::to_string(&outcome)? + "\n"))?,
        Next::Answered(outcome) => {
            if !outcome.text.is_empty() {
                print("\n")?;
            }
            let summary = outcome.summary(talk.who());
            if !summary.is_empty() {
                eprintln!("{}", colours.aside(&summary));
            }
        }
    }
    Ok(true)
}
