//! Sessions from end to end: turns, calls and grammars, with the default model and with random weights, and with those
//! who want to break them.

use std::ops::ControlFlow;

use sprat::chat::Role;
use sprat::session::{End, Event, Memory, Options, SessionError, WhenFull};
use sprat::tools::{Calculator, NamedTool, Text, ToolError, Tools};
use sprat::{Engine, Sampler, SamplerConfig, Session, Special};
use sprat_tools::model::{Model, arena_for, engine, kernels};
use sprat_tools::threads::Threads;

mod assistant;
mod grammars;
mod hostile;
mod models;
mod turns;

/// Does something with a model at work.
fn with_engine<R>(model: &Model, work: impl FnOnce(&mut Engine<'_, '_, '_>) -> R) -> R {
    let image = model.image().unwrap();
    let team = Threads::new(1).unwrap();
    let mut arena = arena_for(&image, image.limits(), &team).unwrap();
    work(&mut engine(&image, *image.limits(), &mut arena, kernels(None).unwrap(), &team).unwrap())
}

fn greedy() -> Sampler {
    Sampler::new(SamplerConfig::greedy(), 0)
}

fn random(seed: u64) -> Sampler {
    Sampler::new(SamplerConfig { temperature: 1.0, ..SamplerConfig::greedy() }, seed)
}

/// What happened in an answer.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    tokens: Vec<u32>,
    calls: Vec<(String, String)>,
    results: Vec<String>,
    abandoned: usize,
}

impl Heard {
    fn hear(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Token(token) => self.tokens.push(token),
            Event::Text(text) => self.text += text,
            Event::Call { name, arguments } => self.calls.push((name.into(), arguments.into())),
            Event::Result { result, inserted } => {
                self.text += inserted;
                self.results.push(result.into());
            }
            Event::Abandoned(_) => self.abandoned += 1,
        }
        ControlFlow::Continue(())
    }
}
