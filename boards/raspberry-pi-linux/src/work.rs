//! What an assistant's thread does: opens the model, answers one question after the other.
//!
//! Everything that borrows lives on this thread's stack, from the map of the file to the session, so that a handle owns
//! nothing but a channel.

use std::cell::RefCell;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use sprat::chat::{Chat, ChatError};
use sprat::format::Limits;
use sprat::session::{self, End, Memory, SessionError};
use sprat::tokenizer::EncodeError;
use sprat::tools::Device;
use sprat::{Engine, EngineError, Image, Kernels, Plan, Sampler, Session, Team as _};
use sprat_board_support::ask::{self, begun, with_tools_of};
use sprat_board_support::memory::limits_for_context;
use sprat_board_support::threads::Threads;

use crate::assistant::{About, Options};
use crate::error::{AskError, OpenError};
use crate::question::{Answer, Event, Piece, Question};
use crate::{cores, map};

/// Tokens of a conversation that are read for each pass over the weights, whatever a microcontroller's file says: the
/// numbers are the same, and memory is no matter here.
const PREFILL_CHUNK: u32 = 64;

/// Bytes of messages for each token of the context, at least: more than a text has that fits, so that one which does not
/// is refused by its tokens. What a packed file says is to save a microcontroller's memory.
const MESSAGE_BYTES_A_TOKEN: u32 = 16;

/// Whom to tell what happens to a question.
pub(crate) type Listener = Box<dyn FnMut(Event) -> ControlFlow<()> + Send>;

/// A question that waits.
pub(crate) struct Job {
    pub question: Question,
    pub on: Listener,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("question", &self.question).finish_non_exhaustive()
    }
}

/// Answers questions until nobody can ask any more.
///
/// # Errors
/// The model cannot be used. `ready` was not called then.
pub(crate) fn work(
    path: &Path,
    bytes: &[u8],
    options: &Options,
    device: &RefCell<impl Device>,
    jobs: Receiver<Job>,
    is_over: &AtomicBool,
    ready: impl FnOnce(About),
) -> Result<(), OpenError> {
    let image = Image::new(bytes).map_err(|error| OpenError::Model { path: path.to_owned(), error })?;
    let unasked = |error| OpenError::NoChat { path: path.to_owned(), error };
    Chat::of(&image).map_err(unasked)?;
    image.tokenizer().ok_or(OpenError::Engine(EngineError::NoTokenizer))?;
    let limits =
        options.context.map_or(*image.limits(), |context| limits_for_context(image.limits(), context));
    let limits = Limits {
        prefill_chunk: limits.prefill_chunk.max(PREFILL_CHUNK),
        prompt_bytes: limits.prompt_bytes.max(limits.context.saturating_mul(MESSAGE_BYTES_A_TOKEN)),
        ..limits
    };
    let cores = if options.pinned { cores::usable() } else { Vec::new() };
    // The caller's thread is a member too.
    cores::pin(&cores, 0);
    let team = Threads::begun_with(options.threads, move |member| cores::pin(&cores, member));
    let team = team.map_err(OpenError::Threads)?;
    let arena_bytes =
        Plan::for_team(image.config(), &limits, team.size()).map_err(OpenError::Plan)?.arena_bytes;
    let wanted = || format!("{arena_bytes} bytes of memory");
    let mut arena = map::zeros(arena_bytes).map_err(|error| OpenError::System { wanted: wanted(), error })?;
    let mut engine =
        Engine::with_team(&image, limits, &mut arena, Kernels::detect(), &team).map_err(OpenError::Engine)?;
    ready(About {
        model: String::new(),
        context_tokens: limits.context,
        kernels: engine.kernels().name(),
        threads: team.size(),
        model_bytes: bytes.len(),
        arena_bytes,
    });

    let memory = Memory { message_bytes: limits.prompt_bytes as usize, ..ask::MEMORY };
    let mut lent = vec![0; memory.bytes()];
    for Job { question, mut on } in jobs {
        let mut on = |event| match is_over.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => on(event),
        };
        let answered = match on(Event::Begun) {
            ControlFlow::Continue(()) => answer(&mut engine, memory, &mut lent, &question, device, &mut on),
            ControlFlow::Break(()) => Err(AskError::Stopped),
        };
        // Whoever has gone hears nothing.
        _ = on(Event::End(answered));
    }
    Ok(())
}

/// Answers one question, whatever was asked before.
fn answer(
    engine: &mut Engine<'_, '_, '_>,
    memory: Memory,
    lent: &mut [u8],
    question: &Question,
    device: &RefCell<impl Device>,
    on: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Answer, AskError> {
    engine.truncate(0);
    let context = engine.room();
    let refused = |error| refused(error, context);
    let stops: Vec<&str> = question.stops.iter().map(String::as_str).collect();
    let options =
        session::Options { max_tokens: question.max_tokens, stops: &stops, ..session::Options::DEFAULT };
    let sampler = Sampler::new(question.sampler, question.seed);
    let session = Session::new(engine, sampler, lent, memory, options).and_then(begun);
    let mut session = session.map_err(refused)?;
    for message in &question.messages {
        session.say(message.role, &message.text).map_err(refused)?;
    }
    let (mut text, mut call) = (String::new(), (String::new(), String::new()));
    let end = with_tools_of(device, |tools| {
        session.answer(tools, |event| {
            let piece = match event {
                session::Event::Token(_) => return on(Event::Token),
                session::Event::Text(piece) => Piece::Text(piece.to_owned()),
                session::Event::Call { name, arguments } => {
                    call = (name.to_owned(), arguments.to_owned());
                    return ControlFlow::Continue(());
                }
                session::Event::Result { result, inserted } => {
                    let (name, arguments) = std::mem::take(&mut call);
                    on(Event::Piece(Piece::Call { name, arguments, result: result.to_owned() }))?;
                    Piece::Text(inserted.to_owned())
                }
                session::Event::Abandoned(_) => return ControlFlow::Continue(()),
            };
            if let Piece::Text(piece) = &piece {
                text += piece;
            }
            on(Event::Piece(piece))
        })
    });
    let end: End = end.map_err(refused)?;
    let took = session.statistics();
    Ok(Answer {
        text,
        end,
        read_tokens: took.read_tokens,
        written_tokens: took.written_tokens,
        inserted_tokens: took.inserted_tokens,
        calls: took.calls,
    })
}

/// Says an error in the terms of whoever asked.
fn refused(error: SessionError, context: usize) -> AskError {
    match error {
        SessionError::Engine(EngineError::ContextFull { need, have }) => {
            // What was read before takes its part.
            AskError::TooLong { need: context.saturating_sub(have) + need, have: context }
        }
        SessionError::Engine(EngineError::Encode(EncodeError::Output { need, .. })) => {
            AskError::TooLong { need, have: context }
        }
        SessionError::Chat(ChatError::Buffer { need, have }) => AskError::TooManyBytes { need, have },
        error => AskError::Refused(error),
    }
}
