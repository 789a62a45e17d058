//! Several answers to one question, each from the same prompt.
//!
//! The prompt is read once. Every chain begins where it ends, with a sampler of its own, and may call the tools.

use std::ops::ControlFlow;

use serde::Serialize;
use sprat::chat::Role;
use sprat::session::{Event, Memory, Options, SessionError};
use sprat::vote::{Ballot, Chain, Verdict, Vote};
use sprat::{Engine, Image, Sampler, SamplerConfig, Session};
use sprat_board_support::ask::{MEMORY, with_tools};
use sprat_board_support::protocol::Ask;

use super::chain::{CallReport, final_answer};

/// Bytes of an answer that takes part in a vote.
const ANSWER_BYTES: usize = 256;

/// A question and what is there to answer it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// What is asked.
    pub text: &'q str,
    /// The tools and the sensors' values.
    pub asked: Ask<'q>,
    /// Tokens to write at most.
    pub max_tokens: u32,
}

/// What one chain said.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Said {
    /// All that was written and inserted.
    pub text: String,
    /// The calls in it.
    pub calls: Vec<CallReport>,
    /// Tokens that the model wrote.
    pub tokens: u32,
}

impl Said {
    /// Takes in what happened.
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        match *event {
            Event::Text(text) => self.text.push_str(text),
            Event::Call { name, arguments } => self.calls.push(CallReport::new(name, arguments)),
            Event::Result { result, inserted } => {
                self.text.push_str(inserted);
                self.calls.last_mut().into_iter().for_each(|call| call.result = result.to_owned());
            }
            Event::Token(_) => self.tokens += 1,
            Event::Abandoned(_) => {}
        }
    }

    /// What stands behind `####`, or else behind the last result, or else all.
    pub fn answer(&self) -> String {
        final_answer(&self.text, &self.calls)
    }
}

/// The memory that a question needs.
pub(super) fn memory_for(image: &Image<'_>, question: &str) -> Memory {
    // The template's texts are at most its section.
    let template_bytes = image.file().chat_section().map_or(0, <[u8]>::len);
    let message_bytes = question.len() + 2 * template_bytes;
    Memory { message_bytes: message_bytes.max(MEMORY.message_bytes), ..MEMORY }
}

/// Answers a question once with each sampler.
///
/// # Errors
/// As [`Session::new`], [`Session::say`] and [`Session::answer`].
pub fn chains(
    engine: &mut Engine<'_, '_, '_>,
    question: &Question<'_>,
    samplers: impl IntoIterator<Item = Sampler>,
) -> Result<Vec<Said>, SessionError> {
    engine.truncate(0);
    let memory = memory_for(engine.image(), question.text);
    let mut bytes = vec![0; memory.bytes()];
    let options = Options { max_tokens: question.max_tokens as usize, ..Options::DEFAULT };
    let unused = Sampler::new(SamplerConfig::greedy(), 0);
    let mut session = Session::new(engine, unused, &mut bytes, memory, options)?;
    session.say(Role::User, question.text)?;
    let mark = session.mark()?;
    let mut all = Vec::new();
    for sampler in samplers {
        session.rewind(&mark, sampler)?;
        let mut said = Said::default();
        with_tools(&question.asked, |tools| {
            session.answer(tools, |event| {
                said.hear(&event);
                ControlFlow::Continue(())
            })
        })?;
        all.push(said);
    }
    Ok(all)
}

/// The samplers of `count` chains that follow from one seed.
pub fn samplers(config: SamplerConfig, seed: u64, count: u32) -> impl Iterator<Item = Sampler> {
    (0..count).map(move |number| Sampler::new(config, Chain::new(seed, number).seed))
}

/// Lets answers vote and hands over what most say: of all, and of the longer half. `None` where nothing was answered.
///
/// `answers` are texts and the tokens that their chains wrote.
pub fn vote<'t, R>(
    answers: impl ExactSizeIterator<Item = (&'t str, u32)>,
    look: impl Fn(Option<Verdict<'_>>, Option<Verdict<'_>>) -> R,
) -> R {
    let count = answers.len();
    let (mut votes, mut bytes) = (vec![Vote::default(); count], vec![0; count * ANSWER_BYTES]);
    let mut ballot = Ballot::new(&mut votes, &mut bytes);
    answers.for_each(|(answer, tokens)| _ = ballot.cast(Some(answer), tokens));
    look(ballot.verdict(0), ballot.verdict((count as u32).div_ceil(2)))
}

/// The form in which votes compare answers.
pub fn normalized(answer: &str) -> String {
    vote([(answer, 1)].into_iter(), |verdict, _| verdict.map(|verdict| verdict.answer.to_owned()))
        .unwrap_or_default()
}
