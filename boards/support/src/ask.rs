//! A question, answered with tools: the same on a board and on the laptop.
//!
//! There are no sensors on an emulated board, so what they read comes with the request, and whatever is set is set:
//! [`Script`]. Everything else is what a real device does.

use core::cell::RefCell;
use core::ops::ControlFlow;

use sprat::chat::Role;
use sprat::session::{End, Event, Memory, Options, SessionError};
use sprat::tools::{Actuator, Calculator, Device, NamedTool, Program, Read, Set, Text, ToolError, Tools};
use sprat::{Engine, Sampler, SamplerConfig, Session};
use static_cell::ConstStaticCell;

use crate::app::{Answer, AppError};
use crate::console::{Console, Counter};
use crate::protocol::{Ask, Request, Stop};

/// The memory of a question on a device.
pub const MEMORY: Memory = Memory { message_bytes: 768, call_bytes: 96, result_bytes: 96, history_bytes: 0 };

static BYTES: ConstStaticCell<[u8; MEMORY.bytes()]> = ConstStaticCell::new([0; MEMORY.bytes()]);

/// A device whose sensors read what a script says, a line each: `temp,kitchen=23.4`. Whatever is set is set.
#[derive(Clone, Copy, Debug)]
pub struct Script<'s> {
    /// The lines.
    pub sensors: &'s str,
}

impl Device for Script<'_> {
    fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        let lines = self.sensors.lines().filter_map(|line| line.split_once('='));
        let is_it = |name: &str| {
            let (known, where_it_is) = name.split_once(',').unwrap_or((name, ""));
            known.trim() == sensor && where_it_is.trim() == place
        };
        let (_, value) = { lines }.find(|(name, _)| is_it(name)).ok_or(ToolError(""))?;
        out.push(value.trim());
        Ok(())
    }

    fn set(&mut self, _: &str, _: &str, _: &mut Text<'_>) -> Result<(), ToolError> {
        Ok(())
    }
}

/// Hands over the tools around a scripted device; none unless they are wanted.
pub fn with_tools<R>(asked: &Ask<'_>, work: impl FnOnce(&mut Tools<'_, '_>) -> R) -> R {
    match asked.tools {
        true => with_tools_of(&RefCell::new(Script { sensors: asked.sensors }), work),
        false => work(&mut Tools::none()),
    }
}

/// The named tools, in the order in which they are offered.
pub const NAMED_TOOLS: [&str; 4] = ["read", "set", "timer", "run"];

/// Hands over the tools around a device.
pub fn with_tools_of<R>(device: &RefCell<impl Device>, work: impl FnOnce(&mut Tools<'_, '_>) -> R) -> R {
    let (mut read, mut set, mut program) = (Read(device), Set(device), Program::new());
    let mut timer = Actuator { device, name: NAMED_TOOLS[2] };
    let [name_read, name_set, name_timer, name_run] = NAMED_TOOLS;
    let mut named = [
        NamedTool::new(name_read, &mut read),
        NamedTool::new(name_set, &mut set),
        NamedTool::new(name_timer, &mut timer),
        NamedTool::new(name_run, &mut program),
    ];
    let mut calculator = Calculator::new();
    work(&mut Tools::new(&mut named).with_calculator(&mut calculator))
}

/// A session that begins with the text that was read when the model was packed, in firmware that takes such a text over.
///
/// # Errors
/// As [`Session::with_prefix`].
pub fn begun<'s, 'e, 'i, 'm, 'a>(
    session: Session<'s, 'e, 'i, 'm, 'a>,
) -> Result<Session<'s, 'e, 'i, 'm, 'a>, SessionError> {
    #[cfg(feature = "prefix")]
    let session = session.with_prefix()?;
    Ok(session)
}

/// Asks a session one question, with a counter of work; calls `on` with what happens. What it took, without showing
/// and loading.
///
/// # Errors
/// As [`Session::new`], [`Session::say`] and [`Session::answer`].
pub fn ask(
    engine: &mut Engine<'_, '_, '_>,
    request: &Request<'_>,
    asked: &Ask<'_>,
    memory: (Memory, &mut [u8]),
    counter: &mut dyn FnMut() -> u64,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Answer, SessionError> {
    let config = SamplerConfig {
        repetition_penalty: request.repetition_penalty,
        temperature: request.temperature,
        top_k: request.top_k,
        top_p: request.top_p,
        min_p: request.min_p,
    };
    let kernel = engine.kernels().name();
    let options = Options { max_tokens: request.max_tokens as usize, ..Options::DEFAULT };
    let sampler = Sampler::new(config, request.seed);
    let (memory, bytes) = memory;
    let mut session = begun(Session::new(engine, sampler, bytes, memory, options)?)?.with_counter(counter);
    if request.hash_logits {
        session = session.with_logits_hash();
    }
    session.say(Role::User, request.prompt)?;
    let end = with_tools(asked, |tools| {
        session.answer(tools, |event| {
            on(event);
            ControlFlow::Continue(())
        })
    })?;
    let statistics = session.statistics();
    Ok(Answer {
        kernel,
        prompt_tokens: statistics.read_tokens,
        answer_tokens: statistics.written_tokens,
        stop: stop(end),
        logits_hash: session.logits_hash(),
        load: 0,
        prefill: statistics.reading,
        decode: statistics.writing + statistics.calling,
        calls: statistics.calls,
        abandoned_calls: statistics.abandoned_calls,
        inserted_tokens: statistics.inserted_tokens,
    })
}

/// The same for whoever asked.
pub(crate) const fn stop(end: End) -> Stop {
    match end {
        End::StopText => Stop::StopText,
        End::ContextFull => Stop::ContextFull,
        End::Limit => Stop::Limit,
        End::Cancelled => Stop::Cancelled,
        // Nothing but calls has a grammar.
        End::EndToken | End::Complete | End::NoToken => Stop::EndToken,
    }
}

/// The same on a device, in memory that is there once.
// A stack frame of its own, which plain requests do not have.
#[inline(never)]
pub(crate) fn on_device(
    engine: &mut Engine<'_, '_, '_>,
    request: &Request<'_>,
    asked: &Ask<'_>,
    load: u64,
    console: &mut impl Console,
    counter: &mut impl Counter,
) -> Result<Answer, AppError> {
    let bytes = BYTES.try_take().ok_or(AppError::NoAsk)?;
    let mut show = |event: Event<'_>| match event {
        Event::Text(text) | Event::Result { inserted: text, .. } => console.write(text),
        Event::Token(_) | Event::Call { .. } | Event::Abandoned(_) => {}
    };
    let answer = ask(engine, request, asked, (MEMORY, bytes), &mut || counter.now(), &mut show);
    answer.map(|answer| Answer { load, ..answer }).map_err(AppError::Ask)
}
