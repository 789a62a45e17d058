//! Running a model on this machine: a prompt in, text out as it comes.
//!
//! This is the device's loop and nothing else, so what is printed here is what the device says.

use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use sprat::chat::{Chat, ChatError, Role, StopText, Transcript};
use sprat::{Engine, Generator, Sampler, SamplerConfig, Special, StopReason};
use sprat_board_support::memory::limits_for_context;
use sprat_format::prefix::Prefix;

use crate::model::{Model, arena_for, engine, host_limits, kernels};
use crate::threads::Threads;

/// One turn of a conversation.
#[derive(Clone, Debug, Default)]
pub struct ChatTurn {
    /// What sets the frame.
    pub system: Option<String>,
    /// What the person says.
    pub message: String,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The text to continue.
    pub prompt: String,
    /// Whether special tokens' text in the prompt becomes special tokens.
    pub special: bool,
    /// A message to answer, in the model's chat template, instead of a text to continue.
    pub chat: Option<ChatTurn>,
    /// Tokens to write at most.
    pub max_tokens: usize,
    /// How to choose tokens.
    pub sampler: SamplerConfig,
    /// Start of the random stream.
    pub seed: u64,
    /// Name of the kernels; the best ones by default.
    pub kernels: Option<String>,
    /// Tokens of context; those it was packed for by default.
    pub context: Option<u32>,
    /// Threads; what is written does not depend on their number.
    pub threads: usize,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            special: false,
            chat: None,
            max_tokens: 256,
            sampler: SamplerConfig::greedy(),
            seed: 0,
            kernels: None,
            context: None,
            threads: Threads::sensible(),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The text written.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Tokens that were read when the model was packed: they are before the prompt and cost nothing.
    pub prefix_tokens: usize,
    /// Tokens of the prompt, the beginning token included.
    pub prompt_tokens: usize,
    /// Why it ended: `end token`, `stop text`, `limit` or `context full`.
    pub stop: &'static str,
    /// The kernels that computed.
    pub kernels: &'static str,
    /// Threads that computed.
    pub threads: usize,
    /// Hash over the bits of all logits that were sampled from, to compare with a device.
    pub logits_hash: String,
    /// Seconds that the prompt took.
    pub prompt_seconds: f64,
    /// Seconds that the answer took.
    pub answer_seconds: f64,
    /// Tokens of the answer a second.
    pub tokens_per_second: f64,
    /// Bytes of the arena, for the longer chunks of this machine.
    pub arena_bytes: usize,
}

/// Name of a stop reason.
const fn stop_name(reason: Option<StopReason>) -> &'static str {
    match reason {
        Some(StopReason::EndToken) => "end token",
        Some(StopReason::Limit) => "limit",
        Some(StopReason::ContextFull) => "context full",
        None => "stopped",
    }
}

/// Lets the model read a turn in its template, up to where its answer begins; returns the tokens read.
fn ask(engine: &mut Engine<'_, '_, '_>, chat: &mut Chat<'_>, turn: &ChatTurn) -> Result<usize> {
    let mut gather = |transcript: &mut Transcript<'_>| -> std::result::Result<(), ChatError> {
        if let Some(system) = &turn.system {
            chat.say(Role::System, system)?.try_for_each(|piece| transcript.push(piece))?;
        }
        chat.say(Role::User, &turn.message)?.try_for_each(|piece| transcript.push(piece))?;
        transcript.push(chat.open_answer()?)
    };
    let content_bytes = turn.system.as_ref().map_or(0, String::len) + turn.message.len();
    let mut buffer = vec![0; content_bytes + chat_section_bytes(engine)];
    let mut transcript = Transcript::new(&mut buffer);
    gather(&mut transcript).map_err(|error| anyhow!("{error}"))?;
    engine.prompt_pieces(&transcript).map_err(|error| anyhow!("{error}"))
}

/// Begins with the text that was read when the model was packed, if there is one and no system message comes instead.
/// Returns its tokens, and whose message was its last.
fn begin(engine: &mut Engine<'_, '_, '_>, options: &RunOptions) -> Result<(usize, Option<Role>)> {
    let own_system = options.chat.as_ref().is_some_and(|turn| turn.system.is_some());
    let image = engine.image();
    let Some(section) = image.file().prefix_section().filter(|_| !own_system) else { return Ok((0, None)) };
    let tokens = engine.load_prefix().map_err(|error| anyhow!("{error}"))?;
    let prefix = Prefix::parse(section, image.config()).map_err(|error| anyhow!("{error}"))?;
    Ok((tokens, prefix.shape.after))
}

/// A bound for the template's own text in one turn: each of its three parts is at most the section.
fn chat_section_bytes(engine: &Engine<'_, '_, '_>) -> usize {
    3 * engine.image().file().chat_section().map_or(0, <[u8]>::len)
}

/// Runs a model and calls `show` with each piece of text.
///
/// # Errors
/// The model or the prompt cannot be used, with what to do.
pub fn run(model: &Model, options: &RunOptions, mut show: impl FnMut(&str)) -> Result<RunReport> {
    let image = model.image()?;
    let limits =
        options.context.map_or(*image.limits(), |context| limits_for_context(image.limits(), context));
    let limits = host_limits(&limits);
    let team = Threads::new(options.threads)?;
    let mut arena = arena_for(&image, &limits, &team)?;
    let mut engine = engine(&image, limits, &mut arena, kernels(options.kernels.as_deref())?, &team)?;
    let tokenizer = image.tokenizer().with_context(|| {
        format!("{} has no tokenizer: give one with --tokenizer when importing", model.path())
    })?;
    let special = if options.special { Special::Parse } else { Special::AsText };
    let start = Instant::now();
    let cannot = |what: &str, bytes: usize| {
        format!(
            "{}: the {what} ({bytes} bytes) cannot be used with a context of {} tokens and texts of at most {} bytes; \
             shorten it, or give a larger --context if the model has the positions",
            model.path(),
            limits.context,
            limits.prompt_bytes
        )
    };
    let (prefix_tokens, after) = begin(&mut engine, options)?;
    let (prompt_tokens, stop) = match &options.chat {
        // What was read before can be gone on with as it is.
        None if prefix_tokens > 0 && options.prompt.is_empty() => (0, ""),
        None => {
            let fed = engine.prompt(&options.prompt, special).map_err(|error| anyhow!("{error}"));
            (fed.with_context(|| cannot("prompt", options.prompt.len()))?, "")
        }
        Some(turn) => {
            let mut chat = Chat::of(&image).map_err(|error| anyhow!("{error}")).with_context(|| {
                format!("{} cannot be asked (sprat pack --chat-template gives it a template)", model.path())
            })?;
            chat = Chat::after(*chat.template(), after);
            let fed = ask(&mut engine, &mut chat, turn);
            let fed = fed.with_context(|| cannot("message", turn.message.len()))?;
            (fed, chat.template().stop().unwrap_or_default())
        }
    };
    let prompt_seconds = start.elapsed().as_secs_f64();

    let (kernels, arena_bytes) = (engine.kernels().name(), engine.plan().arena_bytes);
    let nothing_before = prefix_tokens == 0 && options.prompt.is_empty() && options.chat.is_none();
    let after_bos = image.meta().add_bos && nothing_before;
    let mut decoder = tokenizer.stream_decoder(after_bos);
    let (mut text, mut tokens) = (String::new(), Vec::new());
    let mut stop = StopText::new(stop);
    let mut emit = |piece: &str| {
        text.push_str(piece);
        show(piece);
    };
    let start = Instant::now();
    let sampler = Sampler::new(options.sampler, options.seed);
    let mut generator = Generator::new(&mut engine, sampler, options.max_tokens).with_logits_hash();
    while let Some(token) = generator.next_token().map_err(|error| anyhow!("{error}"))? {
        tokens.push(token);
        decoder.push(tokenizer.token_bytes(token), |piece| _ = stop.push(piece, &mut emit));
        if stop.found() {
            break;
        }
    }
    decoder.finish(|piece| _ = stop.push(piece, &mut emit));
    stop.finish(&mut emit);
    let answer_seconds = start.elapsed().as_secs_f64();
    Ok(RunReport {
        prefix_tokens,
        prompt_tokens,
        stop: if stop.found() { "stop text" } else { stop_name(generator.stop_reason()) },
        kernels,
        threads: options.threads,
        logits_hash: format!("{:016x}", generator.logits_hash().unwrap_or_default()),
        prompt_seconds,
        answer_seconds,
        tokens_per_second: tokens.len() as f64 / answer_seconds.max(1e-9),
        arena_bytes,
        text,
        tokens,
    })
}

impl RunReport {
    /// One line of statistics.
    pub fn summary(&self) -> String {
        format!(
            "{} prompt tokens in {:.0} ms, {} tokens in {:.0} ms ({:.0} tokens/s), stopped by: {}, kernels {}, \
             threads {}, logits {}",
            self.prompt_tokens,
            self.prompt_seconds * 1e3,
            self.tokens.len(),
            self.answer_seconds * 1e3,
            self.tokens_per_second,
            self.stop,
            self.kernels,
            self.threads,
            self.logits_hash
        )
    }
}
