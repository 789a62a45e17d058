//! How a session answers, and the memory that it works in.

/// What becomes of a conversation that the context has no room for.
///
/// A context that [slides](crate::Engine::slide) has room for ever, whichever of these is chosen: the session then goes
/// on in a window over its last tokens, with the first ones as sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// A message is refused with an error, an answer ends. Nothing is forgotten.
    Refuse,
    /// The oldest turns are dropped, one after the other, until there is room. The turns that stay are read again, from
    /// the pinned beginning on, since what the model keeps of them was computed with the dropped ones in view: that
    /// costs a prefill of as many tokens as they have, each time. Needs memory for the history.
    DropOldestTurn,
}

/// How a session answers.
#[derive(Clone, Copy, Debug)]
pub struct Options<'s> {
    /// Tokens that the model writes in an answer at most; what is inserted does not count.
    pub max_tokens: usize,
    /// Texts that end an answer, beside the chat template's own. They are not sought in calls.
    pub stops: &'s [&'s str],
    /// Added to the logits of tokens; negative infinity forbids one.
    pub bias: &'s [(u32, f32)],
    /// The only tokens that may be written, if given: bit `token % 32` of word `token / 32`. Tokens beyond are not allowed.
    pub allowed: Option<&'s [u32]>,
    /// Whether calls are written by the grammars of the tools: nothing else can be chosen within them, and they are
    /// complete before the tokens, the context or the memory for calls end.
    pub constrain_calls: bool,
    /// What happens when the context is full.
    pub when_full: WhenFull,
}

impl Options<'_> {
    /// At most 256 tokens, calls by their grammars, refusal when the context is full.
    pub const DEFAULT: Self = Self {
        max_tokens: 256,
        stops: &[],
        bias: &[],
        allowed: None,
        constrain_calls: true,
        when_full: WhenFull::Refuse,
    };
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How much memory a session has for what, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// For messages until the model reads them: the longest one with the template's text around it, at least.
    pub message_bytes: usize,
    /// For the text of a call, from behind its opening to its closing marker.
    pub call_bytes: usize,
    /// For a result; a longer one is cut and marked.
    pub result_bytes: usize,
    /// For the text of all turns that may have to be read again, 5 bytes each beside their text; 0 where nothing is to
    /// be dropped.
    pub history_bytes: usize,
}

/// Bytes around a result at most.
pub(super) const AROUND_RESULT_BYTES: usize = 4;

impl Memory {
    /// Enough for a device: messages of 512 bytes, calls and results of 64, no history.
    pub const SMALL: Self = Self { message_bytes: 512, call_bytes: 64, result_bytes: 64, history_bytes: 0 };

    /// Bytes of all of it: what [`Session::new`](crate::Session::new) takes.
    pub const fn bytes(&self) -> usize {
        self.transcript_bytes() + self.call_bytes + self.inserted_bytes() + self.history_bytes
    }

    /// Results are read by the same way as messages.
    pub(super) const fn transcript_bytes(&self) -> usize {
        if self.message_bytes > self.inserted_bytes() { self.message_bytes } else { self.inserted_bytes() }
    }

    pub(super) const fn inserted_bytes(&self) -> usize {
        self.result_bytes + AROUND_RESULT_BYTES
    }

    /// The `prompt_bytes` that an engine needs for messages of this size.
    pub const fn prompt_bytes(&self) -> usize {
        self.transcript_bytes()
    }
}
