//! A turn of a conversation: what is said, the answer to it, or several answers and their vote.

use core::ops::ControlFlow;

use sprat::chat::Role;
use sprat::session::{End, Event, SessionError};
use sprat::tools::Tools;
use sprat::vote::{Ballot, Chain, Tail, Vote, after};
use sprat::{Sampler, Session};

use super::{Conversation, Failure, Peripherals};
use crate::ask::{stop, with_tools_of};
use crate::console::message::{Done, How, MOST_VOTES, Piece, Refusal};
use crate::console::{Port, Serial};

/// Bytes of an answer that takes part in a vote, once it is in the form in which answers are compared.
pub(super) const ANSWER_BYTES: usize = 32;
/// Bytes of the end of a text in which the answer is looked for.
pub(super) const TAIL_BYTES: usize = 256;
/// The temperature of chains that vote, unless there is another; at 0 they would be one and the same.
const VOTES_TEMPERATURE: f32 = 0.7;
/// What stands before a final answer.
const MARKER: &str = "####";

impl<S: Serial, D: Peripherals> Conversation<'_, '_, '_, '_, '_, '_, '_, S, D> {
    /// Answers the port's text.
    pub(super) fn turn(&mut self, how: &How) -> Result<Done, Failure> {
        if how.votes > MOST_VOTES {
            return Err(Failure { refusal: Refusal::Votes { most: MOST_VOTES }, is_fatal: false });
        }
        if !how.history {
            self.session.begin_anew().map_err(Failure::fatal)?;
        }
        let before = *self.session.statistics();
        self.session.options_mut().max_tokens = how.max_tokens as usize;
        self.session.say(Role::User, self.port.text()).map_err(Failure::harmless)?;
        let end = match how.tools {
            true => with_tools_of(self.device, |tools| self.answer(how, tools)),
            false => self.answer(how, &mut Tools::none()),
        };
        let end = end.map_err(Failure::fatal)?;
        self.turns += 1;
        let now = self.session.statistics();
        Ok(Done {
            stop: stop(end),
            read_tokens: now.read_tokens - before.read_tokens,
            written_tokens: now.written_tokens - before.written_tokens,
            inserted_tokens: now.inserted_tokens - before.inserted_tokens,
            calls: now.calls - before.calls,
            abandoned_calls: now.abandoned_calls - before.abandoned_calls,
            dropped_turns: now.dropped_turns - before.dropped_turns,
            reading: now.reading - before.reading,
            writing: now.writing - before.writing,
            calling: now.calling - before.calling,
        })
    }

    fn answer(&mut self, how: &How, tools: &mut Tools<'_, '_>) -> Result<End, SessionError> {
        if how.votes > 1 {
            return self.vote(how, tools);
        }
        self.session.set_sampler(Sampler::new(how.sampler(), how.seed));
        answer(&mut self.session, self.port, tools, &mut Tail::new(&mut []))
    }

    /// Several chains from the same moment, and what most of them say. The conversation goes on with the first chain that
    /// said so.
    fn vote(&mut self, how: &How, tools: &mut Tools<'_, '_>) -> Result<End, SessionError> {
        let mut config = how.sampler();
        if config.temperature == 0.0 {
            config.temperature = VOTES_TEMPERATURE;
        }
        let sampler = |chain: u32| Sampler::new(config, Chain::new(how.seed, chain).seed);
        let mark = self.session.mark()?;
        let mut votes = [Vote::default(); MOST_VOTES as usize];
        let count = votes.len().min(how.votes as usize);
        let mut ballot = Ballot::new(&mut votes[..count], &mut self.answers[..count * ANSWER_BYTES]);
        let mut tail = Tail::new(self.tail);
        let mut end = End::EndToken;
        for chain in 0..count as u32 {
            self.session.rewind(&mark, sampler(chain))?;
            self.port.piece(&Piece::Chain(chain));
            tail.clear();
            let before = self.session.statistics().written_tokens;
            end = answer(&mut self.session, self.port, tools, &mut tail)?;
            if end == End::Cancelled {
                return Ok(end);
            }
            ballot.cast(said(tail.as_str()), self.session.statistics().written_tokens - before);
        }
        let Some(verdict) = ballot.verdict(0) else { return Ok(end) };
        let (answer, votes, chains) = (verdict.answer, verdict.votes, verdict.chains);
        self.port.piece(&Piece::Verdict { answer, votes, chains });
        if verdict.chain as usize + 1 == count {
            return Ok(end);
        }
        // The same seed writes the same text, which was shown.
        self.session.rewind(&mark, sampler(verdict.chain))?;
        self.session.answer(tools, |event| match event {
            Event::Token(_) => self.port.poll(),
            _ => ControlFlow::Continue(()),
        })
    }
}

/// Shows an answer as it is written; what is behind its last call stays in `tail`.
fn answer<S: Serial>(
    session: &mut Session<'_, '_, '_, '_, '_>,
    port: &mut Port<'_, S>,
    tools: &mut Tools<'_, '_>,
    tail: &mut Tail<'_>,
) -> Result<End, SessionError> {
    session.answer(tools, |event| {
        match event {
            Event::Token(_) => return port.poll(),
            Event::Text(text) => {
                tail.push(text);
                port.piece(&Piece::Text(text));
            }
            Event::Call { name, arguments } => port.piece(&Piece::Call { name, arguments }),
            Event::Result { result, inserted } => {
                tail.clear();
                port.piece(&Piece::Result { result, inserted });
            }
            Event::Abandoned(_) => port.piece(&Piece::Abandoned),
        }
        ControlFlow::Continue(())
    })
}

/// The answer at the end of a chain: what stands behind the marker, or else all behind the last result.
fn said(tail: &str) -> Option<&str> {
    after(tail, MARKER).or_else(|| Some(tail.trim()).filter(|text| !text.is_empty()))
}
