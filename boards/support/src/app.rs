//! The application of every board: one request in, one answer streamed, one account of it out.
//!
//! It knows no hardware. The board hands in the model, the arena, a console and a counter, so that what is
//! tested on the laptop is what runs on the device.

use sprat::format::messages;
use sprat::{
    Engine, EngineError, Generator, Image, ImageError, Kernels, PrefixError, Sampler, SamplerConfig, Special,
    StopReason, Team,
};

#[cfg(feature = "stream")]
use sprat::stream::{StreamedImage, WeightSource};

#[cfg(feature = "ask")]
use crate::ask;
use crate::console::{Console, Counter};
use crate::memory::limits_for_context;
use crate::protocol::{Exit, Request, Stop};

/// What an answer took, beside the text that was streamed.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Name of the kernels that ran.
    pub kernel: &'static str,
    /// Tokens of the prompt, read before the answer; those that the laptop has read are not among them.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// Why it ended.
    pub stop: Stop,
    /// Hash of every logit that a token was chosen from, if it was asked for.
    pub logits_hash: Option<u64>,
    /// Count for checking the model and laying out the arena.
    pub load: u64,
    /// Count for reading the prompt.
    pub prefill: u64,
    /// Count for choosing and feeding the answer's tokens; showing them is left out.
    pub decode: u64,
    /// Calls that were answered.
    pub calls: u32,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// Tokens of results.
    pub inserted_tokens: u32,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug)]
pub enum AppError {
    /// The model in flash is not one that this firmware runs.
    Model(ImageError),
    /// The arena was not laid out for this model.
    Arena(EngineError),
    /// The text that was read when the model was packed is not for this firmware.
    Prefix(PrefixError),
    /// The prompt was refused.
    Prompt(EngineError),
    /// A token could not be made.
    Token(EngineError),
    /// The question could not be answered.
    #[cfg(feature = "ask")]
    Ask(sprat::session::SessionError),
    /// Questions are not answered by this firmware.
    NoAsk,
    /// A text that was read before is not taken over by this firmware.
    NoPrefix,
}

impl AppError {
    /// How a firmware ends that cannot do better.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Model(_) => Exit::ModelRefused,
            Self::Arena(_) | Self::Prefix(_) | Self::Prompt(_) | Self::Token(_) => Exit::EngineFailed,
            #[cfg(feature = "ask")]
            Self::Ask(_) => Exit::EngineFailed,
            Self::NoAsk => Exit::BadRequest,
            Self::NoPrefix => Exit::ModelRefused,
        }
    }
}

#[cfg(not(feature = "ask"))]
messages!(AppError {
    Self::Model(error) => ("model refused: {}", error),
    Self::Arena(error) => ("arena refused: {}", error),
    Self::Prefix(error) => ("{}", error),
    Self::Prompt(error) => ("prompt refused: {}", error),
    Self::Token(error) => ("no token: {}", error),
    Self::NoAsk => ("this firmware was built without tools: build it with the feature ask"),
    Self::NoPrefix => ("the model has a text that was read before: build this firmware with the feature prefix"),
});

#[cfg(feature = "ask")]
messages!(AppError {
    Self::Model(error) => ("model refused: {}", error),
    Self::Arena(error) => ("arena refused: {}", error),
    Self::Prefix(error) => ("{}", error),
    Self::Prompt(error) => ("prompt refused: {}", error),
    Self::Token(error) => ("no token: {}", error),
    Self::Ask(error) => ("question refused: {}", error),
    Self::NoAsk => ("the memory for questions is in use"),
    Self::NoPrefix => ("the model has a text that was read before: build this firmware with the feature prefix"),
});

/// Answers one request with the model that lies at `model`, within `arena` (aligned to 16 bytes), on the cores of
/// `team`.
///
/// # Errors
/// A model, an arena or a prompt that the runtime refuses; what was streamed until then stays shown.
pub fn answer(
    model: &[u8],
    arena: &mut [u8],
    context_tokens: u32,
    team: &dyn Team,
    request: &Request<'_>,
    console: &mut impl Console,
    counter: &mut impl Counter,
) -> Result<Answer, AppError> {
    let begun = counter.now();
    let image = Image::new(model).map_err(AppError::Model)?;
    // Without a tokenizer there is nothing to ask in text.
    if image.tokenizer().is_none() {
        return Err(AppError::Prompt(EngineError::NoTokenizer));
    }
    let limits = limits_for_context(image.limits(), context_tokens);
    let kernels = Kernels::detect();
    let mut engine = Engine::with_team(&image, limits, arena, kernels, team).map_err(AppError::Arena)?;
    let loaded = counter.now();
    respond(&mut engine, (begun, loaded), request, console, counter)
}

/// The same with a model that is streamed. `begun` is the count before it was opened.
///
/// # Errors
/// As [`answer`].
#[cfg(feature = "stream")]
pub fn answer_streamed<'w, S: WeightSource<'w>>(
    model: &StreamedImage<'_, 'w, S>,
    begun: u64,
    arena: &mut [u8],
    context_tokens: u32,
    team: &dyn Team,
    request: &Request<'_>,
    console: &mut impl Console,
    counter: &mut impl Counter,
) -> Result<Answer, AppError> {
    let limits = limits_for_context(model.image().limits(), context_tokens);
    let mut engine =
        Engine::streamed(model, limits, arena, Kernels::detect(), team).map_err(AppError::Arena)?;
    let loaded = counter.now();
    respond(&mut engine, (begun, loaded), request, console, counter)
}

/// Answers a request with an engine that was set up between two counts. Each count is taken once: where counting is
/// marking, it is the marks' order that says what they count.
#[inline]
fn respond(
    engine: &mut Engine<'_, '_, '_>,
    (begun, loaded): (u64, u64),
    request: &Request<'_>,
    console: &mut impl Console,
    counter: &mut impl Counter,
) -> Result<Answer, AppError> {
    let image = engine.image();
    let tokenizer = image.tokenizer().ok_or(AppError::Prompt(EngineError::NoTokenizer))?;
    let kernels = engine.kernels();
    let has_prefix = image.file().prefix_section().is_some();
    if has_prefix && !cfg!(feature = "prefix") {
        return Err(AppError::NoPrefix);
    }
    if let Some(asked) = &request.ask {
        #[cfg(feature = "ask")]
        return ask::on_device(engine, request, asked, loaded - begun, console, counter);
        #[cfg(not(feature = "ask"))]
        return Err({
            _ = asked;
            AppError::NoAsk
        });
    }

    let special = if request.special { Special::Parse } else { Special::AsText };
    if has_prefix && cfg!(feature = "prefix") {
        engine.load_prefix().map_err(AppError::Prefix)?;
    }
    // What was read before can be gone on with as it is.
    let prompt_tokens = match has_prefix && request.prompt.is_empty() {
        true => 0,
        false => engine.prompt(request.prompt, special).map_err(AppError::Prompt)?,
    };
    let prefilled = counter.now();

    let config = SamplerConfig {
        repetition_penalty: request.repetition_penalty,
        temperature: request.temperature,
        top_k: request.top_k,
        top_p: request.top_p,
        min_p: request.min_p,
    };
    let sampler = Sampler::new(config, request.seed);
    let mut generator = Generator::new(engine, sampler, request.max_tokens as usize);
    if request.hash_logits {
        generator = generator.with_logits_hash();
    }
    let after_bos = image.meta().add_bos && request.prompt.is_empty() && !has_prefix;
    let mut text = tokenizer.stream_decoder(after_bos);
    let (mut answer_tokens, mut decode) = (0, 0);
    loop {
        let before = counter.now();
        let token = generator.next_token().map_err(AppError::Token)?;
        decode += counter.now() - before;
        let Some(token) = token else { break };
        answer_tokens += 1;
        text.push(tokenizer.token_bytes(token), |piece| console.write(piece));
    }
    text.finish(|piece| console.write(piece));

    Ok(Answer {
        kernel: kernels.name(),
        prompt_tokens: prompt_tokens as u32,
        answer_tokens,
        stop: match generator.stop_reason() {
            Some(StopReason::EndToken) => Stop::EndToken,
            Some(StopReason::ContextFull) => Stop::ContextFull,
            // No other reason to be without a next token.
            Some(StopReason::Limit) | None => Stop::Limit,
        },
        logits_hash: generator.logits_hash(),
        load: loaded - begun,
        prefill: prefilled - loaded,
        decode,
        calls: 0,
        abandoned_calls: 0,
        inserted_tokens: 0,
    })
}
