//! One run of an emulated board, from power-on to its exit code.
//!
//! Two threads read the emulator's streams, this one waits for what they bring or for the time limit. The
//! emulator works in a folder of its own, where the request lies and the report will; file names stay short
//! and without spaces, wherever temporary files live on this machine.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sprat_board_support::protocol::{Exit, REQUEST_OVERHEAD_BYTES, Report, Request};

use crate::{logs, machine};

/// What to boot, and what to ask it.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The firmware; its file name begins with its board's name.
    pub elf: &'a Path,
    /// Files that lie in the board's memory beside it, each with its address: what was flashed by itself.
    pub memory: &'a [(&'a Path, u64)],
    /// What the firmware gets to do.
    pub input: Input<'a>,
    /// When to stop an emulator that has not ended by itself.
    pub time_limit: Duration,
}

/// What a firmware gets to do.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A request to answer and to report on.
    Request(&'a Request<'a>),
    /// Arguments of its own.
    Arguments(&'a [&'a str]),
}

/// What a firmware says while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A piece of the answer.
    Text(&'a str),
    /// A log entry.
    Log(&'a Log),
}

/// A log entry of a firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `ERROR`, `WARN`, `INFO`, ..., or empty.
    pub level: String,
    /// What was logged.
    pub message: String,
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5} {}", self.level, self.message)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The firmware ended in one of its own ways.
    Firmware(Exit),
    /// The emulator ended in a way that no firmware does; its own status.
    Emulator(ExitStatus),
    /// The time limit passed.
    TimeLimit(Duration),
}

impl End {
    /// The number that a runner passes on: the firmware's own, or one of the tools around it.
    pub fn code(self) -> u8 {
        match self {
            Self::Firmware(exit) => exit.code(),
            // As the shell and `timeout` say it.
            Self::Emulator(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(134),
            Self::TimeLimit(_) => 124,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firmware(exit) => write!(f, "{exit} (exit code {})", exit.code()),
            Self::Emulator(status) => write!(f, "the emulator itself failed ({status})"),
            Self::TimeLimit(limit) => write!(f, "stopped after {} s without an end", limit.as_secs()),
        }
    }
}

/// Everything that came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The whole answer, and whatever the emulator itself complained about.
    pub text: String,
    /// Every log entry.
    pub logs: Vec<Log>,
    report: Option<Vec<u8>>,
}

impl Outcome {
    /// The firmware's report of a complete answer.
    ///
    /// # Errors
    /// Any end but success, with what the firmware logged about it.
    pub fn report(&self) -> Result<Report<'_>> {
        if self.end != End::Firmware(Exit::Success) {
            let mut message = self.end.to_string();
            self.logs.iter().for_each(|log| message += &format!("\n  {log}"));
            if matches!(self.end, End::Emulator(_)) {
                message += &format!("\n  {}", self.text.trim_end());
            }
            bail!(message);
        }
        let bytes = self.report.as_deref().context("the firmware succeeded and left no report")?;
        postcard::from_bytes(bytes)
            .context("the firmware's report cannot be decoded; built from another tree?")
    }
}

/// Boots a firmware and waits for its end; `on_event` hears what it says as it says it.
///
/// # Errors
/// What keeps the emulator from starting. A firmware that fails is an [`Outcome`].
pub fn boot(boot: &Boot<'_>, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
    let elf = boot.elf.canonicalize().with_context(|| format!("no firmware {}", boot.elf.display()))?;
    let image = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let table = logs::table(&image)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let names @ [request_name, report_name] = ["request", "report"];
    let arguments = match boot.input {
        Input::Request(request) => {
            let sensors = request.ask.map_or(0, |ask| ask.sensors.len());
            let mut buffer = vec![0; request.prompt.len() + sensors + REQUEST_OVERHEAD_BYTES];
            let bytes = postcard::to_slice(request, &mut buffer).context("cannot encode the request")?;
            fs::write(folder.path().join(request_name), bytes).context("cannot write the request")?;
            &names[..]
        }
        Input::Arguments(arguments) => arguments,
    };
    let mut command = machine::command(machine::board_of(&elf)?, &elf, arguments, machine::NO_SERIAL)?;
    for (file, address) in boot.memory {
        machine::load(&mut command, file, *address)?;
    }
    let mut child = machine::spawn(command.current_dir(folder.path()))?;

    let mut outcome =
        Outcome { end: End::TimeLimit(boot.time_limit), text: String::new(), logs: Vec::new(), report: None };
    let deadline = Instant::now() + boot.time_limit;
    thread::scope(|scope| {
        let (sender, messages) = mpsc::channel();
        if let Some(stream) = child.stderr.take() {
            let sender = sender.clone();
            scope.spawn(move || forward_text(stream, &sender));
        }
        if let Some(stream) = child.stdout.take() {
            let table = table.as_ref();
            // A receiver that is gone has stopped listening; there is nobody to tell.
            scope.spawn(move || logs::decode(stream, table, |log| _ = sender.send(Message::Log(log))));
        }
        loop {
            match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Text(text)) => {
                    on_event(Event::Text(&text));
                    outcome.text += &text;
                }
                Ok(Message::Log(log)) => {
                    on_event(Event::Log(&log));
                    outcome.logs.push(log);
                }
                // Both streams are closed: the emulator has ended.
                Err(RecvTimeoutError::Disconnected) => break outcome.end = ended(&mut child)?,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill().context("cannot stop the emulator")?;
                    child.wait().context("lost the emulator")?;
                    break;
                }
            }
        }
        anyhow::Ok(())
    })?;
    outcome.report = fs::read(folder.path().join(report_name)).ok();
    Ok(outcome)
}

fn ended(child: &mut Child) -> Result<End> {
    let status = child.wait().context("lost the emulator")?;
    Ok(status.code().and_then(Exit::from_code).map_or(End::Emulator(status), End::Firmware))
}

enum Message {
    Text(String),
    Log(Log),
}

/// Sends a stream on as text, in whole characters.
fn forward_text(mut stream: impl Read, sender: &Sender<Message>) {
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..length]);
        let whole = match std::str::from_utf8(&pending) {
            Ok(text) => text.len(),
            // The end of a character may still come; what can never become one is replaced below.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => pending.len(),
        };
        let text = String::from_utf8_lossy(&pending[..whole]).into_owned();
        pending.drain(..whole);
        if !text.is_empty() && sender.send(Message::Text(text)).is_err() {
            return;
        }
    }
    if !pending.is_empty() {
        _ = sender.send(Message::Text(String::from_utf8_lossy(&pending).into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one piece a read, as a pipe does.
    struct Pieces<'a>(&'a [&'a [u8]]);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            self.0 = rest;
            buffer[..first.len()].copy_from_slice(first);
            Ok(first.len())
        }
    }

    fn forwarded(pieces: &[&[u8]]) -> Vec<String> {
        let (sender, messages) = mpsc::channel();
        forward_text(Pieces(pieces), &sender);
        drop(sender);
        let texts = messages.into_iter().map(|message| match message {
            Message::Text(text) => text,
            Message::Log(log) => log.to_string(),
        });
        texts.collect()
    }

    #[test]
    fn text_is_forwarded_in_whole_characters() {
        assert_eq!(forwarded(&[b"a\xe2\x82", b"\xacb"]), ["a", "\u{20ac}b"]);
        assert_eq!(forwarded(&[b"a\xff", b"b"]), ["a\u{fffd}", "b"]);
        assert_eq!(forwarded(&[b"a\xe2"]), ["a", "\u{fffd}"]);
    }
}
