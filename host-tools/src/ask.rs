//! Asking a model a question and answering its calls, on this machine or on an emulated board.
//!
//! Both run the same code of the boards (`sprat_board_support::ask`), so what is said here is what the device says.

use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use sprat::SamplerConfig;
use sprat::session::{Event, SessionError};
use sprat::vote::Verdict;
use sprat_board_support::memory::limits_for_context;
use sprat_board_support::protocol::{Ask, Request};

use crate::emulate::Emulated;
use crate::model::{Model, arena_for, engine, host_limits, kernels};
use crate::threads::Threads;

mod chain;
mod chains;
mod questions;
mod score;

pub use chain::{CallReport, final_answer};
pub use questions::{Check, Known, QuestionSet};
pub use score::{CONFIDENT, Score, ScoreOptions, SetScore, VoteScore, Wrong, score, shown as shown_scores};

pub use chains::Said;
use chains::{Question, samplers, vote};

/// What to ask, and how.
#[derive(Clone, Debug)]
pub struct AskOptions {
    /// The question.
    pub question: String,
    /// What sensors read: `temp,kitchen=23.4`.
    pub sensors: Vec<String>,
    /// Whether calls are answered.
    pub tools: bool,
    /// Tokens to write at most.
    pub max_tokens: u32,
    /// How to choose tokens. With chains, how they choose them; the answer before them takes the most likely ones.
    pub sampler: SamplerConfig,
    /// Chains to sample beside the answer, which then vote; not on a board.
    pub chains: u32,
    /// Start of the random stream.
    pub seed: u64,
    /// Name of the kernels; the best ones by default. A board's are chosen when its firmware is built.
    pub kernels: Option<String>,
    /// Tokens of context; those it was packed for by default. A board's are chosen when its firmware is built.
    pub context: Option<u32>,
    /// Threads of this machine.
    pub threads: usize,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            question: String::new(),
            sensors: Vec::new(),
            tools: true,
            max_tokens: 160,
            sampler: SamplerConfig::greedy(),
            chains: 0,
            seed: 0,
            kernels: None,
            context: None,
            threads: Threads::sensible(),
        }
    }
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'t> {
    /// The model wrote it.
    Written(&'t str),
    /// A tool's result was inserted.
    Inserted(&'t str),
}

/// An answer, how it came about, and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct AskReport {
    /// The question.
    pub question: String,
    /// All that was written and inserted.
    pub chain: String,
    /// The calls in it and their results.
    pub calls: Vec<CallReport>,
    /// What stands behind `####`, or else behind the last result, or else all.
    pub answer: String,
    /// The chains and what they agree on; `null` without chains.
    pub votes: Option<VotesReport>,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// Tokens of the question in its template.
    pub prompt_tokens: u32,
    /// Tokens that the model wrote.
    pub answer_tokens: u32,
    /// Tokens of results.
    pub inserted_tokens: u32,
    /// Why the answer ended: `end token`, `stop text`, `limit` or `context full`.
    pub stop: String,
    /// The kernels that computed.
    pub kernels: String,
    /// Hash over the bits of all logits that tokens were chosen from.
    pub logits_hash: String,
    /// Seconds for question and answer; `null` for an emulated board.
    pub seconds: Option<f64>,
    /// The emulated board, and what the answer took there; `null` on this machine.
    pub board: Option<BoardReport>,
}

/// Sampled chains and their vote.
#[derive(Clone, Debug, Serialize)]
pub struct VotesReport {
    /// What each chain said.
    pub chains: Vec<Said>,
    /// The answer of most of them, as votes compare answers: numbers by value, words in lower case.
    pub answer: String,
    /// Chains that gave it.
    pub votes: u32,
    /// Their share of all.
    pub confidence: f32,
    /// The answer of most of the longer half of the chains.
    pub of_longest: String,
}

/// What an answer took on an emulated board.
#[derive(Clone, Debug, Serialize)]
pub struct BoardReport {
    /// The board.
    pub name: String,
    /// Instructions for reading the question and results.
    pub read_instructions: u64,
    /// Instructions for writing the answer and for the tools.
    pub write_instructions: u64,
    /// Bytes of the firmware, without the model.
    pub firmware_bytes: u64,
    /// Bytes of stack that were used.
    pub stack_used_bytes: u64,
}

impl AskOptions {
    fn request<'a>(&'a self, sensors: &'a str) -> (Request<'a>, Ask<'a>) {
        let asked = Ask { tools: self.tools, sensors };
        let sampler = if self.chains > 0 { SamplerConfig::greedy() } else { self.sampler };
        let request = Request {
            prompt: &self.question,
            special: false,
            max_tokens: self.max_tokens,
            temperature: sampler.temperature,
            top_k: sampler.top_k,
            top_p: sampler.top_p,
            min_p: sampler.min_p,
            repetition_penalty: sampler.repetition_penalty,
            seed: self.seed,
            hash_logits: true,
            ask: Some(asked),
        };
        (request, asked)
    }
}

/// Asks a model on this machine, and calls `show` with each piece of its answer.
///
/// # Errors
/// The model cannot be used or has no chat template, or the question does not fit, with what to do.
pub fn ask(model: &Model, options: &AskOptions, show: &mut dyn FnMut(Shown<'_>)) -> Result<AskReport> {
    let image = model.image()?;
    let limits =
        options.context.map_or(*image.limits(), |context| limits_for_context(image.limits(), context));
    let limits = host_limits(&limits);
    let team = Threads::new(options.threads)?;
    let mut arena = arena_for(&image, &limits, &team)?;
    let mut engine = engine(&image, limits, &mut arena, kernels(options.kernels.as_deref())?, &team)?;
    let sensors = options.sensors.join("\n");
    let (request, asked) = options.request(&sensors);
    let memory = chains::memory_for(&image, &options.question);
    let mut bytes = vec![0; memory.bytes()];
    let mut said = Said::default();
    let mut on = |event: Event<'_>| {
        said.hear(&event);
        match event {
            Event::Text(text) => show(Shown::Written(text)),
            Event::Result { inserted, .. } => show(Shown::Inserted(inserted)),
            Event::Token(_) | Event::Call { .. } | Event::Abandoned(_) => {}
        }
    };
    let start = Instant::now();
    let mut no_counter = || 0;
    let answered = sprat_board_support::ask::ask(
        &mut engine,
        &request,
        &asked,
        (memory, &mut bytes),
        &mut no_counter,
        &mut on,
    );
    let answered = answered.map_err(|error| anyhow!("{error}")).with_context(|| {
        format!(
            "{} cannot be asked with a context of {} tokens; sprat pack --chat-template gives a model a template, \
             --context a longer context",
            model.path(),
            limits.context
        )
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let votes = match options.chains {
        0 => None,
        _ => Some(votes(&mut engine, options, asked).map_err(|error| anyhow!("{error}"))?),
    };
    Ok(AskReport {
        question: options.question.clone(),
        answer: said.answer(),
        chain: said.text,
        calls: said.calls,
        votes,
        abandoned_calls: answered.abandoned_calls,
        prompt_tokens: answered.prompt_tokens,
        answer_tokens: answered.answer_tokens,
        inserted_tokens: answered.inserted_tokens,
        stop: answered.stop.to_string(),
        kernels: answered.kernel.to_owned(),
        logits_hash: format!("{:016x}", answered.logits_hash.unwrap_or_default()),
        seconds: Some(seconds),
        board: None,
    })
}

fn votes(
    engine: &mut sprat::Engine<'_, '_, '_>,
    options: &AskOptions,
    asked: Ask<'_>,
) -> Result<VotesReport, SessionError> {
    let question = Question { text: &options.question, asked, max_tokens: options.max_tokens };
    let chains = chains::chains(engine, &question, samplers(options.sampler, options.seed, options.chains))?;
    let answers: Vec<String> = chains.iter().map(Said::answer).collect();
    let answers = answers.iter().zip(&chains).map(|(answer, said)| (answer.as_str(), said.tokens));
    let (answer, votes, confidence, of_longest) = vote(answers, |all, longest| {
        let answer = |verdict: Option<Verdict<'_>>| verdict.map_or("", |verdict| verdict.answer).to_owned();
        (
            answer(all),
            all.map_or(0, |all| all.votes),
            all.map_or(0.0, |all| all.confidence()),
            answer(longest),
        )
    });
    Ok(VotesReport { chains, answer, votes, confidence, of_longest })
}

/// Asks the model in a firmware that was built to be asked, on its emulated board.
///
/// # Errors
/// A missing emulator, or a firmware that failed, with what it logged.
pub fn ask_board(
    board: &Emulated,
    options: &AskOptions,
    show: &mut dyn FnMut(Shown<'_>),
) -> Result<AskReport> {
    let sensors = options.sensors.join("\n");
    let (request, _) = options.request(&sensors);
    let report = board.ask(&request, |text| show(Shown::Written(text)))?;
    let calls = if options.tools { chain::calls_in(&report.text) } else { Vec::new() };
    Ok(AskReport {
        question: options.question.clone(),
        answer: final_answer(&report.text, &calls),
        chain: report.text,
        calls,
        votes: None,
        abandoned_calls: report.abandoned_calls,
        prompt_tokens: report.prompt_tokens,
        answer_tokens: report.answer_tokens,
        inserted_tokens: report.inserted_tokens,
        stop: report.stop,
        kernels: report.kernels,
        logits_hash: report.logits_hash.unwrap_or_default(),
        seconds: None,
        board: Some(BoardReport {
            name: report.board,
            read_instructions: report.prefill_instructions,
            write_instructions: report.decode_instructions,
            firmware_bytes: report.flash.firmware,
            stack_used_bytes: report.ram.stack_used,
        }),
    })
}

impl AskReport {
    /// One line of statistics.
    pub fn summary(&self) -> String {
        let took = match (&self.seconds, &self.board) {
            (_, Some(board)) => format!(
                "{} read and {} write instructions on {}, firmware {} bytes, stack {} bytes",
                board.read_instructions,
                board.write_instructions,
                board.name,
                board.firmware_bytes,
                board.stack_used_bytes
            ),
            (seconds, None) => format!("{:.0} ms", seconds.unwrap_or_default() * 1e3),
        };
        format!(
            "{} tokens read, {} written, {} inserted, {} calls; {took}; stopped by: {}, kernels {}, logits {}",
            self.prompt_tokens,
            self.answer_tokens,
            self.inserted_tokens,
            self.calls.len(),
            self.stop,
            self.kernels,
            self.logits_hash
        )
    }
}
