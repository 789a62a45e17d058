//! A person's conversation with a board over a serial line, with the board's tools.
//!
//! One conversation goes on until `/reset`; when the context is full its oldest turns are forgotten. What an answer took is
//! written behind it, in the terms of the table of measurements in `boards/README.md`.

use core::cell::RefCell;
use core::convert::Infallible;
use core::ops::ControlFlow;

use defmt::{error, info, warn};
use sprat::chat::Role;
use sprat::session::{Event, Memory, Options, SessionError, Statistics, WhenFull};
use sprat::tools::{Actuator, Calculator, Device, NamedTool, Program, Read, Set, Tools};
use sprat::{Engine, Image, Kernels, Sampler, SamplerConfig, Session};
use sprat_board_support::Firmware;
use sprat_board_support::app::AppError;
use sprat_board_support::ask;
use sprat_board_support::console::{Console as _, Counter as _};
use sprat_board_support::memory::limits_for_context;
use static_cell::ConstStaticCell;

use crate::clock::Clock;
use crate::failure;
use crate::wire::{CONTROL_C, Serial, Wire};

/// The memory of a conversation: the text of a context of 256 tokens or so is its history.
const MEMORY: Memory = Memory { history_bytes: 1536, ..ask::MEMORY };

const OPTIONS: Options<'static> =
    Options { max_tokens: 160, when_full: WhenFull::DropOldestTurn, ..Options::DEFAULT };

static SESSION: ConstStaticCell<[u8; MEMORY.bytes()]> = ConstStaticCell::new([0; MEMORY.bytes()]);

/// Answers what comes over `serial` for ever, with `device` for the model's calls. A model that this firmware cannot run
/// is said in the log; the board then starts again, or stops for a debugger.
pub fn serve(firmware: Firmware, serial: impl Serial, device: impl Device, clock: Clock<impl FnMut()>) -> ! {
    info!(
        "{=str}: model {=usize} bytes, context {=u32} tokens, arena {=usize} bytes, stack {=u32} bytes",
        firmware.board,
        firmware.model.len(),
        firmware.context_tokens,
        firmware.arena.len(),
        firmware.stack_reserved_bytes,
    );
    let Err(error) = converse(firmware, Wire(serial), &RefCell::new(device), clock);
    error!("{}", error);
    failure::end(error.exit())
}

fn converse<S: Serial>(
    firmware: Firmware,
    mut wire: Wire<S>,
    device: &RefCell<impl Device>,
    mut clock: Clock<impl FnMut()>,
) -> Result<Infallible, AppError> {
    let begun = clock.now();
    let image = Image::new(firmware.model).map_err(AppError::Model)?;
    let limits = limits_for_context(image.limits(), firmware.context_tokens);
    let kernels = Kernels::detect();
    let mut engine =
        Engine::with_team(&image, limits, firmware.arena, kernels, firmware.team).map_err(AppError::Arena)?;
    info!("{=str} kernels, model checked in {=u64} cycles", kernels.name(), clock.now() - begun);
    wire.write("\nSprat on ");
    wire.write(firmware.board);
    wire.write(". Ask something; Ctrl-C stops an answer, /reset forgets what was said.\n");
    let memory = SESSION.take();
    let clock = RefCell::new(clock);
    let hz = clock.borrow().hz();
    let mut now = || clock.borrow_mut().now();
    loop {
        engine.truncate(0);
        let sampler = Sampler::new(SamplerConfig::greedy(), 0);
        let mut session = Session::new(&mut engine, sampler, memory, MEMORY, OPTIONS)
            .map_err(AppError::Ask)?
            .with_counter(&mut now);
        loop {
            wire.write("> ");
            let question = match wire.line(firmware.request, || _ = clock.borrow_mut().now()) {
                "" => continue,
                "/reset" => break,
                question => question,
            };
            let before = *session.statistics();
            match answer(&mut session, question, device, &mut wire) {
                Ok(()) => {
                    report(&before, session.statistics(), hz, &mut wire);
                    let used = (firmware.stack_used_bytes)();
                    info!("stack {=u32} of {=u32} bytes used", used, firmware.stack_reserved_bytes);
                }
                Err(error) => {
                    warn!("{}", error);
                    wire.write("\nThis cannot be answered; the log says why.\n");
                }
            }
        }
    }
}

/// Streams the answer to one question.
// A stack frame of its own, which is gone while nothing is asked.
#[inline(never)]
fn answer<S: Serial>(
    session: &mut Session<'_, '_, '_, '_, '_>,
    question: &str,
    device: &RefCell<impl Device>,
    wire: &mut Wire<S>,
) -> Result<(), SessionError> {
    let (mut read, mut set, mut program) = (Read(device), Set(device), Program::new());
    let (mut led, mut lamp) = (Actuator { device, name: "led" }, Actuator { device, name: "lamp" });
    let mut named = [
        NamedTool::new("read", &mut read),
        NamedTool::new("set", &mut set),
        NamedTool::new("run", &mut program),
        NamedTool::new("led", &mut led),
        NamedTool::new("lamp", &mut lamp),
    ];
    let mut calculator = Calculator::new();
    let mut tools = Tools::new(&mut named).with_calculator(&mut calculator);
    session.say(Role::User, question)?;
    session.answer(&mut tools, |event| {
        if let Event::Text(text) | Event::Result { inserted: text, .. } = event {
            wire.write(text);
        }
        match wire.read() {
            Some(CONTROL_C) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })?;
    Ok(())
}

/// Writes what an answer took, as `[read 11 x 951662 cycles, written 8 x 962080 cycles, 66.5 tokens/s]`.
fn report<S: Serial>(before: &Statistics, after: &Statistics, hz: u32, wire: &mut Wire<S>) {
    let mut digits = itoa::Buffer::new();
    let read_tokens = u64::from(after.read_tokens - before.read_tokens);
    let written_tokens = u64::from(after.written_tokens - before.written_tokens);
    let reading = after.reading - before.reading;
    let writing = after.writing + after.calling - before.writing - before.calling;
    let tenths = u64::from(hz) * 10 * written_tokens / writing.max(1);
    for (text, number) in [
        ("\n[read ", read_tokens),
        (" x ", reading / read_tokens.max(1)),
        (" cycles, written ", written_tokens),
        (" x ", writing / written_tokens.max(1)),
        (" cycles, ", tenths / 10),
        (".", tenths % 10),
    ] {
        wire.write(text);
        wire.write(digits.format(number));
    }
    wire.write(" tokens/s]\n");
}
