//! A model at work: tokens go in, the logits of the next token come out.
//!
//! The engine owns nothing but its place in the text. The model stays in flash, everything that changes lies in
//! the caller's arena.

mod mark;
mod prefix;
mod slide;
#[cfg(feature = "stream")]
mod stream;

use sprat_format::{Limits, messages};

pub use self::mark::{Mark, MarkError};
pub use self::prefix::PrefixError;
use self::slide::Slide;
pub use self::slide::SlideError;

use crate::arena::Carver;
use crate::cache::Cache;
use crate::chat::Transcript;
use crate::forward::{Place, Scratch, finish, forward, logits};
use crate::hash::LogitsHash;
use crate::image::Image;
use crate::kernels::Kernels;
use crate::layers::Compute;
use crate::meter::{Meter, Probe, Stage};
use crate::plan::{ARENA_ALIGNMENT, Plan, PlanError};
use crate::sampler::{MOST_CANDIDATES, Sampler};
#[cfg(feature = "stream")]
use crate::stream::{Chunks, SourceError};
use crate::team::{Solo, Team};
use crate::tokenizer::{EncodeError, Special};
use crate::weights::Weights;

/// A model, an arena, and the text so far.
pub struct Engine<'i, 'm, 'a> {
    image: &'i Image<'m>,
    weights: Weights<'i, 'm>,
    kernels: &'static Kernels,
    team: &'a dyn Team,
    meter: Meter<'a>,
    limits: Limits,
    plan: Plan,
    cache: Cache<'a>,
    /// V, logits after the last token; or room for a block of them.
    logits: &'a mut [f32],
    /// E: what they are computed from.
    last: &'a mut [f32],
    /// context: a prompt's tokens.
    tokens: &'a mut [u32],
    /// Activations, or the tokenizer's work space.
    scratch: &'a mut [u8],
    /// Tokens in the cache.
    position: usize,
    /// Tokens that were dropped from it, modulo 2^32.
    pub(crate) dropped: u32,
    /// How it makes room, where it does.
    slide: Option<Slide<'a>>,
    /// The token fed last.
    last_token: Option<u32>,
    /// Who fetches the matrices of a model that is streamed.
    #[cfg(feature = "stream")]
    stream: Option<&'i dyn Chunks>,
}

/// Why the engine did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EngineError {
    /// The limits are impossible for this model.
    Plan(PlanError),
    /// The arena is smaller than the plan.
    ArenaTooSmall {
        /// Bytes that the plan needs.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// The arena does not begin at a multiple of 16.
    ArenaMisaligned {
        /// Bytes beyond the last multiple of the alignment.
        by: usize,
    },
    /// The model was packed without a tokenizer.
    NoTokenizer,
    /// The text could not be tokenized within the limits.
    Encode(EncodeError),
    /// More tokens than the context has room for; nothing was fed.
    ContextFull {
        /// Tokens of room needed.
        need: usize,
        /// Tokens of room left.
        have: usize,
    },
    /// A token beyond the vocabulary; nothing was fed.
    Token {
        /// The token.
        found: u32,
        /// Tokens of the vocabulary.
        vocab_size: u32,
    },
    /// All logits were asked for, and the limits have room for a block of them only.
    LogitsInBlocks {
        /// Rows of a block.
        rows: usize,
    },
    /// So many candidates cannot be found in logits that come in blocks.
    Candidates {
        /// Tokens among which one would be drawn, 0 for all.
        top_k: u32,
        /// Most that can be kept.
        most: u32,
    },
    /// There is no token to predict from: the prompt is empty and the model has none that begins a text.
    EmptyPrompt,
    /// The source of a streamed model failed. The engine is at its [position](Engine::position), without logits: feed
    /// the tokens behind it again. An engine that slides is empty if it failed in the middle of a drop.
    #[cfg(feature = "stream")]
    Source(SourceError),
    /// The model is streamed, and the engine was not set up with its source.
    #[cfg(feature = "stream")]
    NoSource,
}

messages!(EngineError {
    Self::Plan(error) => ("{}", error),
    Self::ArenaTooSmall { need, have } => (
        "the arena has {} bytes, {} are needed: {} are missing",
        have,
        need,
        need - have,
    ),
    Self::ArenaMisaligned { by } => (
        "the arena begins {} bytes behind a multiple of {}: align it",
        by,
        ARENA_ALIGNMENT,
    ),
    Self::NoTokenizer => ("the model was packed without a tokenizer: give token ids"),
    Self::Encode(error) => ("{}", error),
    Self::ContextFull { need, have } => (
        "{} more tokens do not fit the context, which has room for {}",
        need,
        have,
    ),
    Self::Token { found, vocab_size } => ("token {} is not in the vocabulary of {}", found, vocab_size),
    Self::LogitsInBlocks { rows } => (
        "the logits come in blocks of {}: set logits_rows to 0 to have all at once",
        rows,
    ),
    Self::Candidates { top_k, most } => (
        "drawing among top_k {} tokens (0: all) needs all logits at once, and logits_rows says that they come in \
         blocks: set top_k to 1 to {}, or temperature or logits_rows to 0",
        top_k,
        most,
    ),
    Self::EmptyPrompt => (
        "the prompt is empty, and the model has no token that begins a text: give some text"
    ),
    #[cfg(feature = "stream")]
    Self::Source(error) => ("{}", error),
    #[cfg(feature = "stream")]
    Self::NoSource => ("the model is streamed: set the engine up with its source"),
});

impl core::error::Error for EngineError {}

impl<'i, 'm, 'a> Engine<'i, 'm, 'a> {
    /// Sets a model up in an arena, for one core.
    ///
    /// # Errors
    /// Impossible limits, or an arena that is too small or misaligned, with the numbers.
    pub fn new(
        image: &'i Image<'m>,
        limits: Limits,
        arena: &'a mut [u8],
        kernels: &'static Kernels,
    ) -> Result<Self, EngineError> {
        Self::with_team(image, limits, arena, kernels, &Solo)
    }

    /// Sets a model up in an arena, for a team of cores. The arena follows [`Plan::for_team`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_team(
        image: &'i Image<'m>,
        limits: Limits,
        arena: &'a mut [u8],
        kernels: &'static Kernels,
        team: &'a dyn Team,
    ) -> Result<Self, EngineError> {
        #[cfg(feature = "stream")]
        if image.file().is_streamed() {
            return Err(EngineError::NoSource);
        }
        Self::set_up(image, limits, arena, kernels, team)
    }

    fn set_up(
        image: &'i Image<'m>,
        limits: Limits,
        arena: &'a mut [u8],
        kernels: &'static Kernels,
        team: &'a dyn Team,
    ) -> Result<Self, EngineError> {
        let plan = Plan::for_team(image.config(), &limits, team.size()).map_err(EngineError::Plan)?;
        let (need, have) = (plan.arena_bytes, arena.len());
        if have < need {
            return Err(EngineError::ArenaTooSmall { need, have });
        }
        let by = arena.as_ptr().addr() % ARENA_ALIGNMENT;
        if by != 0 {
            return Err(EngineError::ArenaMisaligned { by });
        }
        // An image is aligned at least as widely as any of its elements.
        let weights = image.weights().ok_or(EngineError::ArenaMisaligned { by: 0 })?;
        let mut carver = Carver::new(arena);
        let config = image.config();
        Ok(Self {
            image,
            weights,
            kernels,
            team,
            meter: Meter::default(),
            limits,
            plan,
            cache: Cache::carve(&mut carver, config, &limits, &plan.sizes),
            logits: carver.take(plan.sizes.logits),
            last: carver.take(config.embedding_width() as usize),
            tokens: carver.take(limits.context as usize),
            scratch: carver.take(plan.scratch_bytes),
            position: 0,
            dropped: 0,
            slide: None,
            last_token: None,
            #[cfg(feature = "stream")]
            stream: None,
        })
    }

    /// The model.
    pub fn image(&self) -> &'i Image<'m> {
        self.image
    }

    /// The limits that it was set up with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The kernels that compute.
    pub fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// Lets an observer know of every stage from now on.
    pub fn set_probe(&mut self, probe: &'a dyn Probe) {
        self.meter.probe = Some(probe);
    }

    /// Lets no observer know any more.
    pub fn clear_probe(&mut self) {
        self.meter.probe = None;
    }

    /// Shows an observer the numbers that quantization rounds from now on.
    #[cfg(feature = "taps")]
    pub fn set_tap(&mut self, tap: &'a dyn crate::meter::Tap) {
        self.meter.tap = Some(tap);
    }

    /// Chooses the token that follows, from all logits or from blocks of them, which go through `hash` too. The logits
    /// are used up.
    ///
    /// # Errors
    /// The logits come in blocks, and the sampler needs them all at once.
    pub fn sample(
        &mut self,
        sampler: &mut Sampler,
        hash: Option<&mut LogitsHash>,
    ) -> Result<u32, EngineError> {
        self.sample_from(sampler, hash, |_, _| {})
    }

    /// The same from logits that `adjust` changes before the sampler sees them, block by block: it is called as
    /// [`each_logits`](Self::each_logits) calls. A logit of negative infinity takes its token out of the game. The hash
    /// is that of the logits before.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn sample_from(
        &mut self,
        sampler: &mut Sampler,
        mut hash: Option<&mut LogitsHash>,
        mut adjust: impl FnMut(usize, &mut [f32]),
    ) -> Result<u32, EngineError> {
        let by_block = sampler.takes_blocks();
        if self.logits_in_blocks() && !by_block {
            return Err(EngineError::Candidates { top_k: sampler.top_k(), most: MOST_CANDIDATES });
        }
        let mut chosen = None;
        self.each_logits(|first, block| {
            if let Some(hash) = &mut hash {
                hash.update(block);
            }
            adjust(first, block);
            match by_block {
                true => sampler.offer(first, block),
                false => chosen = Some(sampler.sample(block)),
            }
        })?;
        Ok(chosen.unwrap_or_else(|| sampler.choose()))
    }

    /// Products (multiply-adds) done so far in matrices and in attention: for a token at which attention reads T
    /// positions, its own among them, every element of every matrix of the layers once, and `2 * T * heads *
    /// head_dim` a layer; and every element of the head for each token whose logits were asked for.
    pub fn products(&self) -> u64 {
        self.meter.products()
    }

    /// The memory in use.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Tokens in the cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The token that was fed last, at [`position`](Self::position) - 1 unless the cache was truncated since.
    pub fn last_token(&self) -> Option<u32> {
        self.last_token
    }

    /// Tokens that can still be fed: those that the cache has room for, or without end if it
    /// [slides](Self::slide).
    pub fn room(&self) -> usize {
        if self.slide.is_some() { usize::MAX } else { self.vacant() }
    }

    /// Tokens that the cache has room for as it is.
    fn vacant(&self) -> usize {
        self.limits.context as usize - self.position
    }

    /// Forgets all but the first `tokens` tokens in the cache, so that another continuation of them can be tried. The
    /// logits are those of the last token fed until the next one is.
    ///
    /// Tokens that were dropped to make room are gone: in an engine that [slides](Self::slide) and has
    /// [dropped](Self::dropped) some, the first tokens in the cache are the sinks and then what is left of the text.
    pub fn truncate(&mut self, tokens: usize) {
        self.position = self.position.min(tokens);
        if self.position == 0 {
            self.dropped = 0;
        }
    }

    /// Whether the logits come in blocks, because the limits have no room for all of them.
    pub fn logits_in_blocks(&self) -> bool {
        self.logits.len() < self.image.config().vocab_size as usize
    }

    /// The logits (V) of the token that follows the last one fed. They may be changed in place, as sampling does.
    ///
    /// # Errors
    /// The logits come in blocks.
    pub fn logits(&mut self) -> Result<&mut [f32], EngineError> {
        self.require_all_logits()?;
        Ok(self.logits)
    }

    fn require_all_logits(&self) -> Result<(), EngineError> {
        match self.logits_in_blocks() {
            true => Err(EngineError::LogitsInBlocks { rows: self.logits.len() }),
            false => Ok(()),
        }
    }

    /// Calls `each` with the logits of the token that follows the last one fed, block by block: with the number of
    /// the first token of a block and the block, which may be changed in place. It is one block if the limits have
    /// room for all; else every block is computed anew, as often as this is called.
    ///
    /// # Errors
    /// The source of a streamed model fails, which is the only error: some blocks were without numbers then.
    pub fn each_logits(&mut self, mut each: impl FnMut(usize, &mut [f32])) -> Result<(), EngineError> {
        let meter = &self.meter;
        let mut each = |first, block: &mut [f32]| {
            meter.begin(Stage::Sampling);
            each(first, block);
            meter.begin(Stage::Outside);
        };
        if self.logits.len() == self.image.config().vocab_size as usize {
            each(0, self.logits);
            return Ok(());
        }
        let mut scratch = Scratch::carve(&mut Carver::new(self.scratch), &self.plan.sizes);
        let compute = Compute {
            kernels: self.kernels,
            team: self.team,
            meter,
            #[cfg(feature = "stream")]
            stream: self.stream,
        };
        let config = self.image.config();
        logits(config, &self.weights, compute, &mut scratch, self.last, self.logits, &mut each);
        source_result(compute)
    }

    /// Computes the logits from what they are computed from, where there is room for all.
    fn recompute_logits(&mut self) -> Result<(), EngineError> {
        if self.logits_in_blocks() {
            return Ok(());
        }
        let mut scratch = Scratch::carve(&mut Carver::new(self.scratch), &self.plan.sizes);
        let compute = Compute {
            kernels: self.kernels,
            team: self.team,
            meter: &self.meter,
            #[cfg(feature = "stream")]
            stream: self.stream,
        };
        let each = &mut |_, _: &mut [f32]| self.meter.begin(Stage::Outside);
        let config = self.image.config();
        logits(config, &self.weights, compute, &mut scratch, self.last, self.logits, each);
        source_result(compute)
    }

    /// Tokenizes a text, without the token that begins a text.
    ///
    /// # Errors
    /// No tokenizer, or a text beyond the limits.
    pub fn encode(&mut self, text: &str, special: Special) -> Result<&[u32], EngineError> {
        let count = self.encode_at(0, text, special)?;
        Ok(&self.tokens[..count])
    }

    fn encode_at(&mut self, at: usize, text: &str, special: Special) -> Result<usize, EngineError> {
        let tokenizer = self.image.tokenizer().ok_or(EngineError::NoTokenizer)?;
        let scratch = Carver::new(self.scratch).take(self.plan.tokenizer_bytes / size_of::<u32>());
        tokenizer.encode(text, special, scratch, &mut self.tokens[at..]).map_err(EngineError::Encode)
    }

    /// Tokenizes a text and feeds it. At the start of the context, the token that begins a text goes before it
    /// if the model wants one. Returns the number of tokens fed.
    ///
    /// # Errors
    /// No tokenizer, a text beyond the limits or the context, or no text where there must be one. Nothing was
    /// fed then.
    pub fn prompt(&mut self, text: &str, special: Special) -> Result<usize, EngineError> {
        let meta = self.image.meta();
        let bos = meta.bos.filter(|_| meta.add_bos && self.position == 0);
        if let Some(bos) = bos {
            self.tokens[0] = bos;
        }
        let before = bos.is_some() as usize;
        let count = before + self.encode_at(before, text, special)?;
        self.feed_first(count)
    }

    /// Tokenizes gathered pieces of a conversation and feeds them; returns the number of tokens fed. Special tokens
    /// come from the template's pieces alone, and so does the token that begins a text: none is added.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub fn prompt_pieces(&mut self, pieces: &Transcript<'_>) -> Result<usize, EngineError> {
        let tokenizer = self.image.tokenizer().ok_or(EngineError::NoTokenizer)?;
        let scratch = Carver::new(self.scratch).take(self.plan.tokenizer_bytes / size_of::<u32>());
        let at_start = self.position == 0;
        let count = tokenizer
            .encode_pieces(pieces.text(), pieces.contents(), at_start, scratch, self.tokens)
            .map_err(EngineError::Encode)?;
        self.feed_first(count)
    }

    /// Feeds the first of the prompt's tokens.
    fn feed_first(&mut self, count: usize) -> Result<usize, EngineError> {
        self.check_room(count)?;
        // The tokens lie in the arena beside the buffers of the pass: they are lent out for its duration.
        let tokens = core::mem::take(&mut self.tokens);
        let fed = self.feed(&tokens[..count]);
        self.tokens = tokens;
        fed.map(|()| count)
    }

    /// Feeds tokens, in chunks. Afterwards [`logits`](Self::logits) or
    /// [`each_logits`](Self::each_logits) are those that follow the last one.
    ///
    /// # Errors
    /// No token, a token beyond the vocabulary, or more tokens than room. Nothing was fed then. Or the source of a
    /// streamed model fails.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        let last = tokens.len().saturating_sub(1);
        self.run(tokens, |index| index == last, |_, _| {})
    }

    /// Feeds tokens and calls `each` with the index of every token and the logits (V) that follow it.
    ///
    /// # Errors
    /// As [`feed`](Self::feed), and that the logits come in blocks; nothing was fed then either.
    pub fn feed_each(
        &mut self,
        tokens: &[u32],
        each: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), EngineError> {
        self.require_all_logits()?;
        self.run(tokens, |_| true, each)
    }

    fn run(
        &mut self,
        tokens: &[u32],
        wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), EngineError> {
        self.check_room(tokens.len())?;
        let config = self.image.config();
        if let Some(&found) = tokens.iter().find(|&&token| token >= config.vocab_size) {
            return Err(EngineError::Token { found, vocab_size: config.vocab_size });
        }
        let mut done = 0;
        while let Some(rest) = tokens.get(done..).filter(|rest| !rest.is_empty()) {
            if let Some(prepare) = self.slide.as_ref().map(Slide::prepare) {
                prepare(self, rest);
            }
            let most = self.vacant().min(self.limits.prefill_chunk as usize);
            let chunk = &rest[..most.min(rest.len())];
            self.run_chunk(chunk, |index| wanted(done + index), |index, all| each(done + index, all))?;
            done += chunk.len();
        }
        self.last_token = tokens.last().copied();
        Ok(())
    }

    /// Feeds a chunk of tokens for which there is room, or none of them.
    fn run_chunk(
        &mut self,
        chunk: &[u32],
        wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), EngineError> {
        let config = self.image.config();
        let in_blocks = self.logits_in_blocks();
        let mut scratch = Scratch::carve(&mut Carver::new(self.scratch), &self.plan.sizes);
        let compute = Compute {
            kernels: self.kernels,
            team: self.team,
            meter: &self.meter,
            #[cfg(feature = "stream")]
            stream: self.stream,
        };
        let start = Place { slot: self.position, dropped: self.dropped };
        forward(config, &self.weights, compute, &mut self.cache, &mut scratch, chunk, start);
        source_result(compute)?;
        for index in (0..chunk.len()).filter(|&index| wanted(index)) {
            finish(config, &self.weights, compute, &mut scratch, index, self.last);
            if !in_blocks {
                let each = &mut |_, all: &mut [f32]| {
                    self.meter.begin(Stage::Outside);
                    each(index, all);
                };
                logits(config, &self.weights, compute, &mut scratch, self.last, self.logits, each);
            }
            source_result(compute)?;
        }
        self.position += chunk.len();
        Ok(())
    }

    fn check_room(&self, need: usize) -> Result<(), EngineError> {
        let have = self.room();
        match need {
            0 => Err(EngineError::EmptyPrompt),
            _ if need > have => Err(EngineError::ContextFull { need, have }),
            _ => Ok(()),
        }
    }
}

/// How the source of a streamed model has failed since this was asked last.
#[inline(always)]
#[cfg_attr(not(feature = "stream"), allow(unused_variables, reason = "what is mapped does not fail"))]
fn source_result(compute: Compute) -> Result<(), EngineError> {
    #[cfg(feature = "stream")]
    if let Some((stream, error)) = compute.stream.and_then(|stream| Some((stream, stream.failure()?))) {
        stream.forgive();
        return Err(EngineError::Source(error));
    }
    Ok(())
}
