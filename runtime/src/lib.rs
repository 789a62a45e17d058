//! A GPT that lives in flash: the `no_std`, heapless transformer runtime of Sprat.
//!
//! The runtime borrows two things and owns neither: the packed model, used in place from flash, and one arena
//! of RAM whose size [`Plan`] computes to the byte. It never allocates, never recurses, and computes the same
//! bits on every target.
//!
//! # From the outside in
//!
//! A layer calls only what stands below it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`vote`] | several chains of thought, and what most of them say |
//! | [`session`] | a conversation: turns, calls of tools in the middle of an answer, what is done when the context is full |
//! | [`tools`] | what a model can call: a calculator, programs, a device |
//! | [`grammar`] | what may be written in a call or an answer, byte by byte |
//! | [`chat`] | messages to the text that a model was trained on, and where an answer ends |
//! | [`generate`](Generator) | one token a call until something ends it |
//! | [`engine`](Engine) | a model at work in an arena: tokens in, logits out |
//! | [`sampler`](Sampler) | logits to a token |
//! | [`tokenizer`] | text to tokens and back, from tables in flash |
//! | `forward` | the transformer, start to end, as one readable story |
//! | `layers`, `cache` | embedding, norm, linear, rotary, attention, feed-forward; keys and values |
//! | [`kernels`](Kernels), `math` | inner loops for one target; every transcendental function |
//! | [`team`](Team) | several cores at one piece of work |
//! | [`meter`](Probe) | products counted, stages told to an observer |
//! | [`plan`](Plan), `arena` | how many bytes, and their cutting |
//! | `family` | which parts this build has |
//! | `stream` | with the feature of this name: matrices that are fetched while they are multiplied |
//! | [`image`](Image), `weights` | the packed file, checked once, seen as matrices |
//!
//! # Principles
//!
//! 1. **Check once, then it cannot fail.** [`Image::new`] and [`Engine::new`] check everything; what runs per
//!    token has no error that depends on the model.
//! 2. **The same bits everywhere.** Integer sums are exact in any order; float sums have one lane order
//!    (see [`Kernels`]); no fused multiply-add; exp, sin, cos and the like come from `math` on every target.
//! 3. **The portable kernel is the specification** of every other kernel.
//!
//! # Example
//!
//! ```
//! use sprat::{Engine, Generator, Image, Kernels, Plan, Sampler, SamplerConfig, Special};
//!
//! fn answer(model: &[u8], arena: &mut [u8], prompt: &str) -> Result<usize, Box<dyn std::error::Error>> {
//!     let image = Image::new(model)?;
//!     let limits = *image.limits();
//!     assert!(arena.len() >= Plan::new(image.config(), &limits)?.arena_bytes);
//!     let mut engine = Engine::new(&image, limits, arena, Kernels::detect())?;
//!     engine.prompt(prompt, Special::AsText)?;
//!     let mut generator = Generator::new(&mut engine, Sampler::new(SamplerConfig::greedy(), 0), 64);
//!     let mut tokens = 0;
//!     while let Some(_token) = generator.next_token()? {
//!         tokens += 1;
//!     }
//!     Ok(tokens)
//! }
//! ```
//!
//! A question, with a calculator that the model calls in the middle of its answer:
//! ```
//! use core::ops::ControlFlow;
//! use sprat::chat::Role;
//! use sprat::session::{Event, Memory, Options, SessionError};
//! use sprat::tools::{Calculator, Tools};
//! use sprat::{Engine, Sampler, SamplerConfig, Session};
//!
//! fn ask(engine: &mut Engine<'_, '_, '_>, question: &str, show: impl Fn(&str)) -> Result<(), SessionError> {
//!     let (mut calculator, mut memory) = (Calculator::new(), [0; Memory::SMALL.bytes()]);
//!     let sampler = Sampler::new(SamplerConfig::greedy(), 0);
//!     let mut session = Session::new(engine, sampler, &mut memory, Memory::SMALL, Options::DEFAULT)?;
//!     session.say(Role::User, question)?;
//!     session.answer(&mut Tools::none().with_calculator(&mut calculator), |event| {
//!         if let Event::Text(text) | Event::Result { inserted: text, .. } = event {
//!             show(text);
//!         }
//!         ControlFlow::Continue(())
//!     })?;
//!     Ok(())
//! }
//! ```
#![no_std]
#![deny(unsafe_code)]
#![forbid(unused_unsafe)]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod arena;
mod cache;
pub mod chat;
mod engine;
mod family;
mod forward;
mod generate;
pub mod grammar;
mod hash;
mod image;
mod kernels;
mod layers;
mod math;
mod meter;
mod plan;
mod sampler;
pub mod session;
#[cfg(feature = "stream")]
pub mod stream;
mod team;
#[cfg(test)]
mod tests;
pub mod tokenizer;
pub mod tools;
pub mod vote;
mod weights;

pub use engine::{Engine, EngineError, Mark, MarkError, PrefixError, SlideError};
pub use generate::{Generator, StopReason};
pub use hash::LogitsHash;
pub use image::{Image, ImageError};
pub use kernels::Kernels;
#[cfg(feature = "battery")]
pub use kernels::{BATTERY_BYTES, Mismatch, Workload, battery};
#[cfg(feature = "taps")]
pub use meter::Tap;
pub use meter::{Probe, Stage};
pub use plan::{Plan, PlanError, STACK_BYTES};
pub use sampler::{Sampler, SamplerConfig};
pub use session::Session;
pub use sprat_format as format;
pub use team::{Solo, Team};
pub use tokenizer::{Special, StreamDecoder, Tokenizer};
