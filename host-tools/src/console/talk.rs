//! The lines of a person or of a script, and what comes of them: questions, and commands that begin with a slash.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use sprat_board_support::console::message::{Board, Done, How, Last, MOST_VOTES, Message, Piece, Totals};

use super::measured::{self, StageCount};
use super::{Client, Reply, Wish};
use crate::ask::CallReport;
use crate::table::grouped;

/// What can be typed.
const HELP: &str = "\
a question, or
  /tools                      what the model can call
  /sensor PLACE=VALUE         what a scripted sensor reads, as in /sensor temp,kitchen=23.4
  /votes K                    let K chains vote on every answer; 0 for one answer
  /history on|off             whether the model reads what was said before; off, every question is one of its own
  /cancel N                   end the next answer after N pieces of its text
  /stats                      what it took so far
  /reset                      forget the conversation and what it took
  /bench                      how long tokens take, by stage; forgets the conversation
  /info                       the board and the model on it
  /quit                       leave";

/// What comes of a line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// The line.
    pub line: String,
    /// All that was written and inserted.
    pub text: String,
    /// The calls in it and their results.
    pub calls: Vec<CallReport>,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// What chains agree on, the chains that said so, and how many there were.
    pub verdict: Option<(String, u32, u32)>,
    /// What the model can call.
    pub tools: Vec<String>,
    /// Who answers.
    pub board: Option<Who>,
    /// What parts of a token's work take.
    pub stages: Vec<StageCount>,
    /// How it ended, and what it took.
    pub last: Option<Last>,
    /// Whether every part of the answer arrived.
    pub is_whole: bool,
    /// Seconds of this machine.
    pub seconds: f64,
}

/// A board and the model on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The board.
    pub board: String,
    /// The model.
    pub model: String,
    /// The kernels that compute.
    pub kernels: String,
    /// Tokens of context.
    pub context_tokens: u32,
    /// Bytes of the packed model.
    pub model_bytes: u32,
    /// Counts of its counter in a second; 0 where it counts instructions.
    pub counts_per_second: u64,
}

impl From<&Board<'_>> for Who {
    fn from(board: &Board<'_>) -> Self {
        Self {
            board: board.board.to_owned(),
            model: board.model.to_owned(),
            kernels: board.kernel.to_owned(),
            context_tokens: board.context_tokens,
            model_bytes: board.model_bytes,
            counts_per_second: board.counts_per_second,
        }
    }
}

/// A piece of an answer as it comes.
#[derive(Clone, Copy, Debug)]
pub enum Show<'t> {
    /// The model wrote it.
    Written(&'t str),
    /// A tool's result was inserted.
    Inserted(&'t str),
    /// The chain of this number begins, from 0 on.
    Chain(u32),
}

/// Whether there is more to say.
#[derive(Clone, Debug)]
pub enum Next {
    /// A line that was answered.
    Answered(Box<Outcome>),
    /// A line that this program dealt with, and what is to be said of it.
    Noted(String),
    /// Enough.
    Quit,
}

/// A conversation over a wire.
pub struct Talk {
    client: Client,
    /// How questions are answered.
    pub how: How,
    sensors: Vec<String>,
    cancel_after: Option<usize>,
    who: Who,
}

impl Talk {
    /// Asks who is there, and lets scripted sensors read what `sensors` say (`temp,kitchen=23.4`), if there are any.
    ///
    /// # Errors
    /// Nobody answers, or the sensors are real ones.
    pub fn new(mut client: Client, how: How, sensors: &[String]) -> Result<Self> {
        let mut who = None;
        client.request(
            &Message::Info,
            || Wish::More,
            |piece| {
                if let Piece::Board(board) = piece {
                    who = Some(Who::from(board));
                }
            },
        )?;
        let who = who.context("the board does not say who it is")?;
        let mut talk = Self { client, how, sensors: Vec::new(), cancel_after: None, who };
        for sensor in sensors {
            talk.set_sensor(sensor)?;
        }
        Ok(talk)
    }

    /// Who answers.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Does what a line says. `show` gets an answer as it comes; `wish` says what is wanted of it.
    ///
    /// # Errors
    /// A command that there is not, or a wire that is gone. What the board refuses is no error.
    pub fn line(
        &mut self,
        line: &str,
        wish: impl FnMut() -> Wish,
        show: &mut dyn FnMut(Show<'_>),
    ) -> Result<Next> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            let message = Message::Ask { text: line, how: self.how };
            return self.request(line, &message, wish, show);
        };
        let (name, argument) = command.split_once(' ').unwrap_or((command, ""));
        let argument = argument.trim();
        let message = match name {
            "tools" => Message::Tools,
            "stats" => Message::Totals,
            "reset" => Message::Reset,
            "bench" => Message::Bench,
            "info" => Message::Info,
            "help" => return Ok(Next::Noted(HELP.to_owned())),
            "quit" | "exit" => return Ok(Next::Quit),
            "votes" => {
                let votes = argument.parse::<u32>().ok().filter(|votes| *votes <= MOST_VOTES);
                self.how.votes = votes
                    .with_context(|| format!("/votes {argument}: a number up to {MOST_VOTES} is expected"))?;
                return Ok(Next::Noted(format!("votes: {}", self.how.votes)));
            }
            "history" => {
                self.how.history = match argument {
                    "on" => true,
                    "off" => false,
                    _ => bail!("/history {argument}: on or off is expected"),
                };
                return Ok(Next::Noted(format!("history: {argument}")));
            }
            "cancel" => {
                let pieces = argument.parse::<usize>();
                self.cancel_after = Some(
                    pieces.with_context(|| format!("/cancel {argument}: a number of pieces is expected"))?,
                );
                return Ok(Next::Noted(format!("the next answer ends after {argument} pieces")));
            }
            "sensor" => {
                self.set_sensor(argument)?;
                return Ok(Next::Noted(self.sensors.join("\n")));
            }
            _ => bail!("there is no command /{name}; /help lists them"),
        };
        self.request(line, &message, wish, show)
    }

    /// Lets a sensor read something else.
    fn set_sensor(&mut self, sensor: &str) -> Result<()> {
        let (name, _) = sensor.split_once('=').with_context(|| {
            format!("{sensor:?} is no sensor: temp=21.5 or temp,kitchen=23.4 is expected")
        })?;
        self.sensors.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
        self.sensors.push(sensor.to_owned());
        let lines = self.sensors.join("\n");
        let reply = self.client.request(&Message::Sensors { lines: &lines }, || Wish::More, |_| {})?;
        match reply.last {
            Last::Refused(refusal) => bail!("{sensor}: {refusal}"),
            _ => Ok(()),
        }
    }

    fn request(
        &mut self,
        line: &str,
        message: &Message<'_>,
        mut wish: impl FnMut() -> Wish,
        show: &mut dyn FnMut(Show<'_>),
    ) -> Result<Next> {
        let mut outcome = Outcome { line: line.to_owned(), ..Outcome::default() };
        let cancel_after = match message {
            Message::Ask { .. } => self.cancel_after.take(),
            _ => None,
        };
        let pieces = std::cell::Cell::new(0);
        let wish = || match wish() {
            Wish::More if cancel_after.is_some_and(|most| pieces.get() >= most) => Wish::End,
            wish => wish,
        };
        let begun = Instant::now();
        let Reply { last, is_whole } = self.client.request(message, wish, |piece| match *piece {
            Piece::Text(text) => {
                pieces.set(pieces.get() + 1);
                outcome.text += text;
                show(Show::Written(text));
            }
            Piece::Call { name, arguments } => outcome.calls.push(CallReport::new(name, arguments)),
            Piece::Result { result, inserted } => {
                outcome.text += inserted;
                outcome.calls.last_mut().into_iter().for_each(|call| call.result = result.to_owned());
                show(Show::Inserted(inserted));
            }
            Piece::Abandoned => outcome.abandoned_calls += 1,
            Piece::Chain(chain) => show(Show::Chain(chain)),
            Piece::Verdict { answer, votes, chains } => {
                outcome.verdict = Some((answer.to_owned(), votes, chains));
            }
            Piece::Tool(name) => outcome.tools.push(name.to_owned()),
            Piece::Board(ref board) => outcome.board = Some(Who::from(board)),
            Piece::Working => {}
            Piece::Stage { name, reading, writing } => {
                outcome.stages.push(StageCount { stage: name.to_owned(), reading, writing });
            }
        })?;
        (outcome.last, outcome.is_whole) = (Some(last), is_whole);
        outcome.seconds = begun.elapsed().as_secs_f64();
        Ok(Next::Answered(Box::new(outcome)))
    }

    /// Leaves the wire to people.
    ///
    /// # Errors
    /// The wire is gone.
    pub fn leave(mut self) -> Result<()> {
        let reply = self.client.request(&Message::Leave, || Wish::More, |_| {})?;
        ensure!(reply.last == Last::Ok, "the board does not let go of the wire: {:?}", reply.last);
        Ok(())
    }
}

impl Outcome {
    /// What there is to say of it beside its text; empty where that is all.
    pub fn summary(&self, who: &Who) -> String {
        let mut lines = Vec::new();
        if let Some((answer, votes, chains)) = &self.verdict {
            lines.push(format!("{answer}: {votes} of {chains} chains"));
        }
        if !self.tools.is_empty() {
            lines.push(self.tools.join(" "));
        }
        if let Some(who) = &self.board {
            lines.push(who.to_string());
        }
        match &self.last {
            Some(Last::Ok) | None => {}
            Some(Last::Refused(refusal)) => lines.push(format!("refused: {refusal}")),
            Some(Last::Done(done)) => lines.push(self.done(done, who)),
            Some(Last::Totals(totals)) => lines.push(totals_line(totals)),
            Some(Last::Bench(bench)) => lines.push(measured::text(bench, &self.stages)),
        }
        if !self.is_whole {
            lines.push("a part of the answer was lost on the wire".to_owned());
        }
        lines.join("\n")
    }

    fn done(&self, done: &Done, who: &Who) -> String {
        format!(
            "{} tokens read, {} each; {} written, {} each; {} calls; {:.1} s; {}",
            done.read_tokens,
            measured::each(done.reading, done.read_tokens, who.counts_per_second),
            done.written_tokens,
            measured::each(done.writing, done.written_tokens, who.counts_per_second),
            done.calls,
            self.seconds,
            done.stop,
        )
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}, {} bytes, context {} tokens, {} kernels",
            self.board,
            self.model,
            grouped(self.model_bytes.into()),
            self.context_tokens,
            self.kernels
        )
    }
}

fn totals_line(totals: &Totals) -> String {
    let stack = match totals.stack_used_bytes {
        0 => String::new(),
        bytes => format!("; {} bytes of stack used", grouped(bytes.into())),
    };
    format!(
        "{} turns, {} of {} tokens of context; {} tokens read, {} written, {} inserted, {} calls; {} turns forgotten; \
         {} frames damaged{stack}; logits {:016x}",
        totals.turns,
        totals.position,
        totals.context_tokens,
        totals.read_tokens,
        totals.written_tokens,
        totals.inserted_tokens,
        totals.calls,
        totals.dropped_turns,
        totals.damaged_frames,
        totals.logits_hash,
    )
}
