//! Chains and votes: several answers to one question, and the one that most of them give.
//!
//! A model that reasons in text reaches a right answer by many ways and a wrong one by few, so the answer of most
//! sampled chains is better than that of one (self-consistency, Wang et al. 2022), and long chains know more than
//! short ones (Fu et al. 2022). Their agreement says how far the answer can be trusted.
//!
//! What a chain is, is the caller's: a closure gets a seed and writes the chain's text, by way of a [`Generator`] from a
//! [`Mark`] as [`run_chain`] does, or with tools called in the middle. Memory is fixed and lent, and one seed decides
//! everything.
//!
//! ```
//! use sprat::vote::{Ballot, Tail, Vote, after, poll};
//!
//! let (mut votes, mut answers, mut text) = ([Vote::default(); 5], [0; 5 * 16], [0; 64]);
//! let mut ballot = Ballot::new(&mut votes, &mut answers);
//! let made_up = ["3 + 4 #### 7", "#### 7.0", "So #### 12", "", "it is\n#### $7."];
//! let polled = poll(&mut ballot, 1, &mut Tail::new(&mut text), |text| after(text, "####"), |chain, text| {
//!     text.push(made_up[chain.number as usize]);
//!     Ok::<u32, ()>(20)
//! });
//! assert_eq!(polled, Ok(()));
//! let verdict = ballot.verdict(0).unwrap();
//! assert_eq!((verdict.answer, verdict.votes, verdict.chains), ("7", 3, 5));
//! ```

mod answer;
mod tail;
#[cfg(test)]
mod tests;

pub use self::answer::after;
pub use self::tail::Tail;

use sprat_format::messages;

use self::answer::normalize;
use crate::engine::{Engine, EngineError, Mark, MarkError};
use crate::generate::Generator;
use crate::sampler::{Sampler, SamplerConfig, SplitMix64};

/// What one chain is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its number, from 0 on.
    pub number: u32,
    /// The seed of its sampler: another one for every chain and every seed of the whole.
    pub seed: u64,
}

impl Chain {
    /// A chain of those that follow from one seed.
    pub fn new(seed: u64, number: u32) -> Self {
        Self { number, seed: SplitMix64::at(seed, number.into()).next() }
    }
}

/// What one chain said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vote {
    /// Bytes of its answer; `None` for a chain without one.
    answer: Option<u32>,
    /// Its length.
    tokens: u32,
}

/// The votes of several chains, in lent memory.
#[derive(Debug)]
pub struct Ballot<'b> {
    votes: &'b mut [Vote],
    /// As many bytes for each vote.
    answers: &'b mut [u8],
    cast: usize,
}

/// What the chains agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'b> {
    /// The answer of most chains; of those that have as many votes, the one that was given first.
    pub answer: &'b str,
    /// The number of the first chain that gave it.
    pub chain: u32,
    /// Chains that gave it.
    pub votes: u32,
    /// Chains that were asked, or as many of the longest as count.
    pub chains: u32,
    /// Votes of the best other answer.
    pub runner_up: u32,
    /// Chains, of all that ran, without an answer, or with one that was too long to keep.
    pub unanswered: u32,
    /// Tokens of all chains that ran.
    pub tokens: u32,
}

impl Verdict<'_> {
    /// The share of the chains that gave the answer, from 0 to 1; one without an answer gave another.
    pub fn confidence(&self) -> f32 {
        self.votes as f32 / self.chains.max(1) as f32
    }
}

impl<'b> Ballot<'b> {
    /// Room for as many chains as `votes` and for answers of `answers.len() / votes.len()` bytes each, once
    /// normalized.
    pub fn new(votes: &'b mut [Vote], answers: &'b mut [u8]) -> Self {
        Self { votes, answers, cast: 0 }
    }

    /// Chains that there is room for.
    pub fn chains(&self) -> usize {
        self.votes.len()
    }

    /// Forgets all votes.
    pub fn clear(&mut self) {
        self.cast = 0;
    }

    /// Takes in what the next chain says and how many tokens it wrote. False if there is no room for another chain.
    ///
    /// Answers are the same if they are the same number (`$1,250.` and `1250.00`), or else the same words, whatever
    /// their case, the space between them and the punctuation behind them. An answer that is too long to keep is none.
    pub fn cast(&mut self, answer: Option<&str>, tokens: u32) -> bool {
        let room = self.bytes_each();
        let place = self.answers.get_mut(self.cast * room..).and_then(|rest| rest.get_mut(..room));
        let (Some(vote), Some(place)) = (self.votes.get_mut(self.cast), place) else { return false };
        let written = answer.and_then(|answer| normalize(answer, place)).filter(|&bytes| bytes > 0);
        *vote = Vote { answer: written.map(|bytes| bytes as u32), tokens };
        self.cast += 1;
        true
    }

    fn bytes_each(&self) -> usize {
        self.answers.len() / self.votes.len().max(1)
    }

    /// The votes so far.
    fn cast_votes(&self) -> &[Vote] {
        self.votes.get(..self.cast).unwrap_or_default()
    }

    /// The answer of a chain.
    fn answer(&self, chain: usize) -> Option<&str> {
        let bytes = self.cast_votes().get(chain)?.answer? as usize;
        let from = chain * self.bytes_each();
        core::str::from_utf8(self.answers.get(from..from + bytes)?).ok()
    }

    /// Whether a chain has an answer and is one of the `most` longest of those; earlier ones first among equals.
    fn counts(&self, chain: usize, most: usize) -> bool {
        let votes = self.cast_votes();
        let Some(own) = votes.get(chain).filter(|vote| vote.answer.is_some()) else { return false };
        let is_before = |(other, vote): &(usize, &Vote)| {
            vote.answer.is_some() && (vote.tokens > own.tokens || vote.tokens == own.tokens && *other < chain)
        };
        votes.iter().enumerate().filter(is_before).count() < most
    }

    /// What most chains say, or most of the `longest` longest that have an answer (0: all). `None` if no chain has.
    pub fn verdict(&self, longest: u32) -> Option<Verdict<'_>> {
        let most = if longest == 0 { self.cast } else { self.cast.min(longest as usize) };
        let counted = || (0..self.cast).filter(|&chain| self.counts(chain, most));
        let votes_for =
            |chain: usize| counted().filter(|&other| self.answer(other) == self.answer(chain)).count() as u32;
        // The last of those with the most votes is the first from behind.
        let winner = counted().rev().max_by_key(|&chain| votes_for(chain))?;
        let answer = self.answer(winner)?;
        let others = counted().filter(|&chain| self.answer(chain) != Some(answer));
        let cast = self.cast_votes();
        Some(Verdict {
            answer,
            chain: winner as u32,
            votes: votes_for(winner),
            chains: most as u32,
            runner_up: others.map(votes_for).max().unwrap_or(0),
            unanswered: cast.iter().filter(|vote| vote.answer.is_none()).count() as u32,
            tokens: cast.iter().fold(0, |sum, vote| sum.saturating_add(vote.tokens)),
        })
    }
}

/// Runs as many chains as the ballot has room for and takes in their votes.
///
/// `run` writes a chain's text and returns its tokens; `extract` finds the answer in the text, or in what is left of a
/// text that was longer than the buffer ([`after`] a marker, for example).
///
/// # Errors
/// The first error of `run`; the votes until then stay.
pub fn poll<E>(
    ballot: &mut Ballot<'_>,
    seed: u64,
    text: &mut Tail<'_>,
    extract: impl Fn(&str) -> Option<&str>,
    mut run: impl FnMut(Chain, &mut Tail<'_>) -> Result<u32, E>,
) -> Result<(), E> {
    ballot.clear();
    for number in 0..ballot.chains() as u32 {
        text.clear();
        let tokens = run(Chain::new(seed, number), text)?;
        ballot.cast(extract(text.as_str()), tokens);
    }
    Ok(())
}

/// Why a chain was not run to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChainError {
    /// The place where chains begin is not there any more.
    Mark(MarkError),
    /// The engine.
    Engine(EngineError),
}

messages!(ChainError {
    Self::Mark(error) => ("{}", error),
    Self::Engine(error) => ("{}", error),
});

impl core::error::Error for ChainError {}

impl From<EngineError> for ChainError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// One chain without tools: goes back to the mark, samples at most `max_tokens` tokens and writes their text. Returns
/// the number of tokens.
///
/// # Errors
/// The mark is not there any more, the model has no tokenizer, or the engine's error.
pub fn run_chain(
    engine: &mut Engine<'_, '_, '_>,
    mark: &Mark<'_>,
    chain: Chain,
    sampler: SamplerConfig,
    max_tokens: usize,
    text: &mut Tail<'_>,
) -> Result<u32, ChainError> {
    engine.return_to(mark).map_err(ChainError::Mark)?;
    let tokenizer = engine.image().tokenizer().ok_or(EngineError::NoTokenizer)?;
    let mut decoder = tokenizer.stream_decoder(false);
    let mut generator = Generator::new(engine, Sampler::new(sampler, chain.seed), max_tokens);
    let mut tokens = 0;
    while let Some(token) = generator.next_token()? {
        tokens += 1;
        decoder.push(tokenizer.token_bytes(token), |piece| text.push(piece));
    }
    decoder.finish(|piece| text.push(piece));
    Ok(tokens)
}
