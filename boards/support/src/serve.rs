//! The application of a board with a wire: conversations, for as long as there is power.
//!
//! Every question is one of its own, or the next turn of a conversation, as whoever asks wants it
//! ([`How::history`](crate::console::message::How::history)); when the context is full, the oldest turns of a
//! conversation are forgotten. The model, the arena, the wire, the counter and the device come from the board, so that
//! the same code serves a microcontroller, an emulated one, and a thread of the laptop.

use core::cell::RefCell;

use sprat::session::{Memory, Options, SessionError, WhenFull};
use sprat::tools::Device;
use sprat::{Engine, Image, Kernels, Sampler, SamplerConfig, Session, Team};

use crate::app::AppError;
use crate::ask::{NAMED_TOOLS, begun};
use crate::console::message::{Board, Last, MOST_VOTES, Piece, Refusal, Totals};
use crate::console::{Command, Counter, Gone, Port, PortMemory, Serial};
use crate::memory::limits_for_context;

mod bench;
mod scripted;
mod stages;
#[cfg(test)]
mod tests;
mod turn;

pub use bench::{WeightBytes, weight_bytes};
pub use scripted::Scripted;
use stages::StageCounter;
use turn::{ANSWER_BYTES, TAIL_BYTES};

/// The memory of a conversation on a device: the last tokens of a context of 256 or so are its history.
pub const MEMORY: Memory =
    Memory { message_bytes: 768, call_bytes: 96, result_bytes: 96, history_bytes: 1536 };

/// Bytes of a name that is sent at most.
const NAME_BYTES: usize = 64;

const OPTIONS: Options<'static> = Options { when_full: WhenFull::DropOldestTurn, ..Options::DEFAULT };

/// What a board does for the tools.
pub trait Peripherals: Device {
    /// Lets scripted sensors read something else from now on, a line each: `temp,kitchen=23.4`. False where sensors are
    /// real ones.
    fn script(&mut self, lines: &str) -> bool {
        _ = lines;
        false
    }
}

/// Where a conversation is held.
#[derive(Clone, Copy)]
pub struct Site<'b> {
    /// The board's name.
    pub board: &'b str,
    /// The packed model.
    pub model: &'b [u8],
    /// Tokens of context that the arena is planned for.
    pub context_tokens: u32,
    /// The cores that compute together.
    pub team: &'b dyn Team,
    /// Counts of the counter in a second; 0 where it counts instructions.
    pub counts_per_second: u64,
    /// The stack's high-water mark, in bytes; 0 where that is not measured.
    pub stack_used_bytes: fn() -> u32,
}

/// The memory of it all beside the arena, in a static: it would be much of a stack.
#[derive(Debug)]
pub struct ServeMemory {
    port: PortMemory,
    session: [u8; MEMORY.bytes()],
    answers: [u8; MOST_VOTES as usize * ANSWER_BYTES],
    tail: [u8; TAIL_BYTES],
}

impl Default for ServeMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl ServeMemory {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self {
            port: PortMemory::new(),
            session: [0; MEMORY.bytes()],
            answers: [0; MOST_VOTES as usize * ANSWER_BYTES],
            tail: [0; TAIL_BYTES],
        }
    }
}

/// Why a conversation is over.
enum Over {
    /// It was to be, or it failed.
    Anew(Last),
    /// Something is to be measured.
    Bench,
    /// The wire is gone.
    Gone,
}

/// Holds conversations until the wire is gone, which on a board it never is. The arena is aligned to 16 bytes.
///
/// # Errors
/// A model or an arena that the runtime refuses.
pub fn serve(
    site: &Site<'_>,
    arena: &mut [u8],
    memory: &mut ServeMemory,
    device: &RefCell<impl Peripherals>,
    serial: &mut impl Serial,
    counter: &mut (impl Counter + Send),
) -> Result<(), AppError> {
    let counter = StageCounter::new(counter);
    let image = Image::new(site.model).map_err(AppError::Model)?;
    if image.file().prefix_section().is_some() && !cfg!(feature = "prefix") {
        return Err(AppError::NoPrefix);
    }
    let limits = limits_for_context(image.limits(), site.context_tokens);
    let mut engine =
        Engine::with_team(&image, limits, arena, Kernels::detect(), site.team).map_err(AppError::Arena)?;
    let ServeMemory { port, session: bytes, answers, tail } = memory;
    let mut port = Port::new(serial, port);
    port.prompt();
    loop {
        engine.truncate(0);
        let over = {
            let mut now = || counter.now();
            let sampler = Sampler::new(SamplerConfig::greedy(), 0);
            let session =
                Session::new(&mut engine, sampler, bytes, MEMORY, OPTIONS).map_err(AppError::Ask)?;
            let session = begun(session).map_err(AppError::Ask)?.with_counter(&mut now).with_logits_hash();
            Conversation { site, session, port: &mut port, device, answers, tail, turns: 0 }.hold()
        };
        match over {
            Over::Anew(last) => port.finish(last),
            Over::Bench => {
                let bench = bench::measure(&mut engine, &mut port, &counter, site.counts_per_second);
                port.finish(bench.map_or(Last::Refused(Refusal::Failed), Last::Bench));
            }
            Over::Gone => return Ok(()),
        }
    }
}

/// A conversation and all that takes part in it.
struct Conversation<'c, 's, 'e, 'i, 'm, 'a, 'p, S, D> {
    site: &'c Site<'c>,
    session: Session<'s, 'e, 'i, 'm, 'a>,
    port: &'c mut Port<'p, S>,
    device: &'c RefCell<D>,
    answers: &'c mut [u8],
    tail: &'c mut [u8],
    turns: u32,
}

impl<S: Serial, D: Peripherals> Conversation<'_, '_, '_, '_, '_, '_, '_, S, D> {
    /// Until it is over.
    fn hold(&mut self) -> Over {
        loop {
            let last = match self.port.command() {
                Err(Gone) => return Over::Gone,
                Ok(Command::Reset) => return Over::Anew(Last::Ok),
                Ok(Command::Bench) => return Over::Bench,
                Ok(Command::Ask(how)) => match self.turn(&how) {
                    Ok(done) => Last::Done(done),
                    Err(Failure { refusal, is_fatal: false }) => Last::Refused(refusal),
                    Err(Failure { refusal, is_fatal: true }) => return Over::Anew(Last::Refused(refusal)),
                },
                Ok(Command::Totals) => Last::Totals(self.totals()),
                Ok(Command::Info) => {
                    self.say_who();
                    Last::Ok
                }
                Ok(Command::Tools) => {
                    ["<<"].iter().chain(&NAMED_TOOLS).for_each(|name| {
                        self.port.piece(&Piece::Tool(name));
                    });
                    Last::Ok
                }
                Ok(Command::Sensors) => match self.device.borrow_mut().script(self.port.text()) {
                    true => Last::Ok,
                    false => Last::Refused(Refusal::NotScripted),
                },
            };
            self.port.finish(last);
        }
    }

    fn say_who(&mut self) {
        let engine = self.session.engine();
        let name = engine.image().meta().name;
        self.port.piece(&Piece::Board(Board {
            board: self.site.board,
            model: name.get(..name.floor_char_boundary(NAME_BYTES)).unwrap_or_default(),
            kernel: engine.kernels().name(),
            context_tokens: engine.limits().context,
            model_bytes: self.site.model.len() as u32,
            counts_per_second: self.site.counts_per_second,
        }));
    }

    fn totals(&self) -> Totals {
        let (statistics, engine) = (self.session.statistics(), self.session.engine());
        Totals {
            turns: self.turns,
            position: engine.position() as u32,
            context_tokens: engine.limits().context,
            read_tokens: statistics.read_tokens,
            written_tokens: statistics.written_tokens,
            inserted_tokens: statistics.inserted_tokens,
            calls: statistics.calls,
            dropped_turns: statistics.dropped_turns,
            damaged_frames: self.port.damaged_frames(),
            stack_used_bytes: (self.site.stack_used_bytes)(),
            logits_hash: self.session.logits_hash().unwrap_or_default(),
        }
    }
}

/// Why a turn was not answered.
struct Failure {
    refusal: Refusal,
    /// Whether the conversation cannot go on after it.
    is_fatal: bool,
}

impl Failure {
    /// The conversation is as it was.
    fn harmless(error: SessionError) -> Self {
        let refusal = Refusal::from(error);
        Self { refusal, is_fatal: refusal == Refusal::Failed }
    }

    /// What was said cannot be unsaid, so the conversation begins anew.
    fn fatal(error: SessionError) -> Self {
        Self { refusal: error.into(), is_fatal: true }
    }
}
