//! A conversation with a model: messages in, answers out, tools called in the middle of them.
//!
//! The model writes a call, `<<48/2=` or `[work]read(temp)[/work]`; the machine answers it exactly, and the result goes
//! into the conversation as text that the model reads before it goes on. A session adds to a [`Generator`] what such a
//! conversation needs: the chat template, texts that end an answer, and what is done when the context is full. It
//! allocates nothing: [`Memory`] says how many bytes it is to be lent.
//!
//! The example of the [crate] asks a question. Turns, marks to come back to and statistics are methods of
//! [`Session`]; what becomes of a full context, texts that end an answer, bias and masks are [`Options`].

mod answer;
mod calls;
mod constraint;
mod context;
mod history;
mod options;
mod report;
mod stops;

use core::ops::ControlFlow;

pub use self::options::{Memory, Options, WhenFull};
pub use self::report::{Abandoned, End, Event, SessionError, Statistics};
pub use self::stops::MOST_STOPS;

use sprat_format::prefix::Prefix;

use self::history::{History, Kind};
use crate::chat::{Chat, ChatError, Role, Transcript};
use crate::engine::{Engine, EngineError, PrefixError};
use crate::generate::Generator;
use crate::grammar::Grammar;
use crate::sampler::Sampler;
use crate::tokenizer::{Special, Tokenizer};
use crate::tools::Tools;

/// A conversation.
pub struct Session<'s, 'e, 'i, 'm, 'a> {
    generator: Generator<'e, 'i, 'm, 'a>,
    tokenizer: &'i Tokenizer<'m>,
    chat: Option<Chat<'m>>,
    options: Options<'s>,
    /// What was said and not read yet.
    transcript: Transcript<'s>,
    /// The text of a call.
    call: &'s mut [u8],
    /// A result, with what is around it.
    inserted: &'s mut [u8],
    history: History<'s>,
    pinned: Pinned<'m>,
    statistics: Statistics,
    counter: Option<&'s mut dyn FnMut() -> u64>,
}

/// The beginning of a conversation that always stays.
#[derive(Clone, Copy)]
struct Pinned<'m> {
    chat: Option<Chat<'m>>,
    position: usize,
}

/// A moment of a conversation, to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'m> {
    chat: Option<Chat<'m>>,
    position: usize,
    last_token: Option<u32>,
    history: (usize, usize, bool),
    dropped_turns: u32,
    dropped_tokens: u32,
}

impl<'s, 'e, 'i, 'm, 'a> Session<'s, 'e, 'i, 'm, 'a> {
    /// A conversation that continues what `engine` was fed, in the model's chat template if it has one. Works in the
    /// first [`Memory::bytes`] of `bytes`.
    ///
    /// # Errors
    /// No tokenizer, a damaged template, too little memory, too many texts that end an answer.
    pub fn new(
        engine: &'e mut Engine<'i, 'm, 'a>,
        sampler: Sampler,
        bytes: &'s mut [u8],
        memory: Memory,
        options: Options<'s>,
    ) -> Result<Self, SessionError> {
        let (need, have) = (memory.bytes(), bytes.len());
        let lacking = SessionError::Memory { need, have };
        let (transcript, rest) = bytes.split_at_mut_checked(memory.transcript_bytes()).ok_or(lacking)?;
        let (call, rest) = rest.split_at_mut_checked(memory.call_bytes).ok_or(lacking)?;
        let (inserted, rest) = rest.split_at_mut_checked(memory.inserted_bytes()).ok_or(lacking)?;
        let history = rest.get_mut(..memory.history_bytes).ok_or(lacking)?;
        let image = engine.image();
        let tokenizer = image.tokenizer().ok_or(EngineError::NoTokenizer)?;
        let chat = match Chat::of(image) {
            Err(ChatError::NoTemplate) => None,
            chat => Some(chat?),
        };
        let pinned = Pinned { chat, position: engine.position() };
        let session = Self {
            generator: Generator::new(engine, sampler, 0),
            tokenizer,
            chat,
            options,
            transcript: Transcript::new(transcript),
            call,
            inserted,
            history: History::new(history),
            pinned,
            statistics: Statistics::default(),
            counter: None,
        };
        let found = stop_texts(&session.options, session.chat).count();
        match found <= MOST_STOPS {
            true => Ok(session),
            false => Err(SessionError::Stops { found, most: MOST_STOPS }),
        }
    }

    /// Continues a conversation whose beginning the engine was fed already, and which is at `chat`.
    pub fn with_chat(mut self, chat: Chat<'m>) -> Self {
        self.chat = Some(chat);
        self.pinned.chat = self.chat;
        self
    }

    /// Begins with the text that was read when the model was packed, where it has one: its keys and values are copied. It
    /// always stays, whatever happens to turns. Without one nothing changes.
    ///
    /// # Errors
    /// The text is not for such an engine.
    pub fn with_prefix(mut self) -> Result<Self, SessionError> {
        let image = self.engine().image();
        let Some(section) = image.file().prefix_section() else { return Ok(self) };
        let prefix = Prefix::parse(section, image.config()).map_err(PrefixError::Format)?;
        self.generator.engine_mut().load_prefix()?;
        self.chat = self.chat.map(|chat| Chat::after(*chat.template(), prefix.shape.after));
        self.pin_here();
        Ok(self)
    }

    /// Measures reading, writing and calling by `counter`, which counts whatever the caller likes: time, cycles,
    /// instructions.
    pub fn with_counter(mut self, counter: &'s mut dyn FnMut() -> u64) -> Self {
        self.counter = Some(counter);
        self
    }

    /// Also keeps a running hash of all logits that tokens were chosen from, as they were before any bias or mask.
    pub fn with_logits_hash(mut self) -> Self {
        self.generator = self.generator.with_logits_hash();
        self
    }

    /// Adds a message to the conversation. The model reads it when it is to answer, or when the memory for messages is
    /// full. Examples of how to answer are messages too: a [`Role::User`] and a [`Role::Assistant`] each.
    ///
    /// # Errors
    /// No template, no place for such a message, too little memory, or no room in the context. The conversation is as it
    /// was then.
    pub fn say(&mut self, role: Role, content: &str) -> Result<(), SessionError> {
        let mut chat = self.chat.ok_or(ChatError::NoTemplate)?;
        let after = chat;
        let mut pushed = self.transcript.extend(chat.say(role, content)?);
        if pushed.is_err() && !self.transcript.is_empty() {
            self.read()?;
            chat = after;
            pushed = self.transcript.extend(chat.say(role, content)?);
        }
        pushed?;
        self.chat = Some(chat);
        self.history.push(Kind::Said(role), content);
        Ok(())
    }

    /// Lets the model read a text outside of any template, at once: for models without one.
    ///
    /// # Errors
    /// A text beyond the limits or the context. Nothing was read then.
    pub fn read_text(&mut self, text: &str, special: Special) -> Result<(), SessionError> {
        self.read()?;
        let begun = self.now();
        self.generator.feed_pending()?;
        let count = self.generator.engine_mut().prompt(text, special)?;
        self.statistics.read_tokens += count as u32;
        self.statistics.reading += self.now() - begun;
        // What the history does not know cannot be read again.
        self.pin_here();
        Ok(())
    }

    /// Keeps all that was said so far whatever happens: turns are dropped from here on only. The model reads it now.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn pin(&mut self) -> Result<(), SessionError> {
        self.read()?;
        self.generator.feed_pending()?;
        self.pin_here();
        Ok(())
    }

    fn pin_here(&mut self) {
        self.pinned = Pinned { chat: self.chat, position: self.engine().position() };
        self.history.clear();
    }

    /// Lets the model answer, and calls `on` with what happens, until something ends the answer. [`ControlFlow::Break`]
    /// cancels it; a conversation goes on after that as after any other answer.
    ///
    /// # Errors
    /// Nothing to answer, or no room for what was said (the conversation is as it was then); logits in blocks in which
    /// the sampler cannot find what it draws among.
    pub fn answer(
        &mut self,
        tools: &mut Tools<'_, '_>,
        mut on: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<End, SessionError> {
        self.answer_to(tools, &mut on)
    }

    /// Lets the model answer by a grammar: nothing else can be chosen, and the answer is complete before the tokens or the
    /// context end. Tools are not called, texts that end an answer are not sought. An answer that is cancelled, or for
    /// which the model lacks a token ([`End::NoToken`]), is not complete.
    ///
    /// # Errors
    /// As [`answer`](Self::answer), and that not even the shortest answer fits.
    pub fn answer_in(
        &mut self,
        grammar: &Grammar<'_>,
        mut on: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<End, SessionError> {
        self.answer_in_to(grammar, &mut on)
    }

    /// Opens an answer, which [`answer`](Self::answer) then writes, and gives that moment, to come back to with
    /// [`rewind`](Self::rewind) for another answer to the same messages.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn mark(&mut self) -> Result<Mark<'m>, SessionError> {
        self.open()?;
        self.generator.feed_pending()?;
        Ok(Mark {
            chat: self.chat,
            position: self.engine().position(),
            last_token: self.engine().last_token(),
            history: self.history.mark(),
            dropped_turns: self.statistics.dropped_turns,
            dropped_tokens: self.engine().dropped(),
        })
    }

    /// Forgets what happened since a mark, and chooses by `sampler` from now on. It costs the pass of one token. Nothing
    /// may have been pinned since.
    ///
    /// # Errors
    /// A turn, or a token of a context that [slides](Engine::slide), was dropped since the mark.
    pub fn rewind(&mut self, mark: &Mark<'m>, sampler: Sampler) -> Result<(), SessionError> {
        let engine = self.engine();
        let is_whole = engine.dropped() == mark.dropped_tokens && engine.position() >= mark.position;
        if !is_whole || self.statistics.dropped_turns != mark.dropped_turns {
            return Err(SessionError::Forgotten);
        }
        self.generator.discard_pending();
        self.generator.set_sampler(sampler);
        self.transcript.clear();
        self.chat = mark.chat;
        self.history.undo(mark.history);
        let engine = self.generator.engine_mut();
        engine.truncate(mark.position.saturating_sub(1));
        if let Some(last) = mark.last_token.filter(|_| mark.position > 0) {
            engine.feed(&[last])?;
        }
        Ok(())
    }

    /// Forgets all that was said and written behind what is [pinned](Self::pin), so that what comes next is the first of a
    /// conversation. What it took so far, and the hash of the logits, go on.
    ///
    /// # Errors
    /// Something is pinned, and the context [slid](Engine::slide) over it.
    pub fn begin_anew(&mut self) -> Result<(), SessionError> {
        if self.pinned.position > 0 && self.engine().dropped() > 0 {
            return Err(SessionError::Forgotten);
        }
        self.forget();
        Ok(())
    }

    /// Chooses otherwise from now on.
    pub fn set_sampler(&mut self, sampler: Sampler) {
        self.generator.set_sampler(sampler);
    }

    /// The options, which may be changed between answers.
    pub fn options_mut(&mut self) -> &mut Options<'s> {
        &mut self.options
    }

    /// What it took so far.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The model at work: its position is the cache's use, its room what is left.
    pub fn engine(&self) -> &Engine<'i, 'm, 'a> {
        self.generator.engine()
    }

    /// The hash of the logits so far, if it was asked for.
    pub fn logits_hash(&self) -> Option<u64> {
        self.generator.logits_hash()
    }

    fn now(&mut self) -> u64 {
        self.counter.as_mut().map_or(0, |counter| counter())
    }

    /// Opens an answer, unless one is open, and lets the model read up to there.
    fn open(&mut self) -> Result<(), SessionError> {
        let before = self.chat;
        let Some(mut chat) = before.filter(|chat| !chat.is_opened()) else { return self.read() };
        let piece = chat.open_answer()?;
        if self.transcript.extend([piece]).is_err() {
            self.read()?;
            self.transcript.extend([piece])?;
        }
        self.chat = Some(chat);
        self.read().inspect_err(|_| {
            // Unless the conversation began anew, the pieces are still there.
            if self.transcript.take_back(piece) {
                self.chat = before;
            }
        })
    }

    /// Lets the model read what was said.
    fn read(&mut self) -> Result<(), SessionError> {
        if self.transcript.is_empty() {
            return Ok(());
        }
        let begun = self.now();
        let fed = match self.generator.feed_pending() {
            Ok(()) => self.generator.engine_mut().prompt_pieces(&self.transcript),
            Err(error) => Err(error),
        };
        match fed {
            Ok(count) => {
                self.statistics.read_tokens += count as u32;
                self.transcript.clear();
            }
            // All that was said is in the history too.
            Err(error @ EngineError::ContextFull { need, have }) => {
                if !self.drop_turns(need - have)? {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.statistics.reading += self.now() - begun;
        Ok(())
    }
}

/// The texts that end an answer.
fn stop_texts<'t>(options: &Options<'t>, chat: Option<Chat<'t>>) -> impl Iterator<Item = &'t str> + use<'t> {
    let template = chat.and_then(|chat| chat.template().stop());
    options.stops.iter().copied().chain(template).filter(|text| !text.is_empty())
}
