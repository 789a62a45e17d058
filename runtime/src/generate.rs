//! Generation: one token a call, until something ends it.
//!
//! A token is fed only when the next one is asked for, so the last token of an answer costs no pass, and a
//! caller who looks at the tokens in between decides freely whether to go on.

use crate::engine::{Engine, EngineError};
use crate::hash::LogitsHash;
use crate::sampler::Sampler;

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model wrote a token that ends a text.
    EndToken,
    /// The caller's limit of tokens.
    Limit,
    /// The context has no room for another token.
    ContextFull,
}

/// A generation in progress.
pub struct Generator<'e, 'i, 'm, 'a> {
    engine: &'e mut Engine<'i, 'm, 'a>,
    sampler: Sampler,
    left: usize,
    /// Sampled, but not yet fed.
    pending: Option<u32>,
    stopped: Option<StopReason>,
    hash: Option<LogitsHash>,
}

impl<'e, 'i, 'm, 'a> Generator<'e, 'i, 'm, 'a> {
    /// Continues what `engine` was fed by at most `max_tokens` tokens.
    pub fn new(engine: &'e mut Engine<'i, 'm, 'a>, sampler: Sampler, max_tokens: usize) -> Self {
        Self { engine, sampler, left: max_tokens, pending: None, stopped: None, hash: None }
    }

    /// Also keeps a running hash of all logits that tokens were sampled from.
    pub fn with_logits_hash(mut self) -> Self {
        self.hash = Some(LogitsHash::new());
        self
    }

    /// The next token; `None` when the generation has ended, for the reason that
    /// [`stop_reason`](Self::stop_reason) gives. The end token itself is not returned.
    ///
    /// # Errors
    /// [`EngineError::EmptyPrompt`] when nothing was fed before, [`EngineError::Candidates`] when the logits come in
    /// blocks in which the sampler cannot find what it draws among.
    pub fn next_token(&mut self) -> Result<Option<u32>, EngineError> {
        self.next_token_from(|_, _| {})
    }

    /// The same, chosen from logits that `adjust` changes before: see [`Engine::sample_from`].
    ///
    /// # Errors
    /// As [`next_token`](Self::next_token).
    pub fn next_token_from(
        &mut self,
        adjust: impl FnMut(usize, &mut [f32]),
    ) -> Result<Option<u32>, EngineError> {
        if self.stopped.is_some() {
            return Ok(None);
        }
        if self.engine.position() == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        if self.left == 0 {
            return Ok(self.stop(StopReason::Limit));
        }
        if self.pending.is_some() && self.engine.room() == 0 {
            return Ok(self.stop(StopReason::ContextFull));
        }
        self.feed_pending()?;
        let token = self.engine.sample_from(&mut self.sampler, self.hash.as_mut(), adjust)?;
        if self.engine.image().is_end(token) {
            return Ok(self.stop(StopReason::EndToken));
        }
        self.pending = Some(token);
        self.left -= 1;
        Ok(Some(token))
    }

    /// Feeds the last token now instead of when the next one is asked for, so that something else can be fed behind it.
    ///
    /// # Errors
    /// No room for it.
    pub fn feed_pending(&mut self) -> Result<(), EngineError> {
        if let Some(token) = self.pending {
            self.engine.feed(&[token])?;
            self.pending = None;
        }
        Ok(())
    }

    /// Forgets the last token if it was not fed yet: what is fed next stands in its place.
    pub fn discard_pending(&mut self) {
        self.pending = None;
    }

    /// Whether the last token is still to be fed.
    pub fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Goes on after whatever ended it, by at most `max_tokens` more tokens.
    pub fn go_on(&mut self, max_tokens: usize) {
        (self.left, self.stopped) = (max_tokens, None);
    }

    /// Tokens until the limit.
    pub fn tokens_left(&self) -> usize {
        self.left
    }

    /// What it continues.
    pub fn engine(&self) -> &Engine<'i, 'm, 'a> {
        self.engine
    }

    /// What it continues, to feed something in between: first [`feed_pending`](Self::feed_pending) or
    /// [`discard_pending`](Self::discard_pending).
    pub fn engine_mut(&mut self) -> &mut Engine<'i, 'm, 'a> {
        self.engine
    }

    /// Chooses otherwise from now on.
    pub fn set_sampler(&mut self, sampler: Sampler) {
        self.sampler = sampler;
    }

    fn stop(&mut self, reason: StopReason) -> Option<u32> {
        self.stopped = Some(reason);
        None
    }

    /// Why the generation ended; `None` while it goes on.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stopped
    }

    /// The hash of the logits so far, if it was asked for.
    pub fn logits_hash(&self) -> Option<u64> {
        self.hash.as_ref().map(LogitsHash::value)
    }
}
