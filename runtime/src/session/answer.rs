//! Writing an answer: token by token, with calls answered in between.

use core::ops::ControlFlow;

use super::calls::{Calls, Form, Spotted, name_and_arguments};
use super::constraint::{Budget, InAnswer, Place, restrict};
use super::history::Kind;
use super::options::AROUND_RESULT_BYTES;
use super::stops::Stops;
use super::{Abandoned, End, Event, Session, SessionError, WhenFull, stop_texts};
use crate::chat::Piece;
use crate::engine::EngineError;
use crate::generate::StopReason;
use crate::grammar::{Grammar, Matcher};
use crate::tokenizer::StreamDecoder;
use crate::tools::{Text, Tools};

/// What comes next in an answer.
pub(super) enum Next {
    /// A token.
    Token(u32),
    /// The answer is over.
    End(End),
    /// The grammar allows none of the model's tokens.
    None,
}

/// Where events go.
pub(super) type Listener<'l> = &'l mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

/// The text of an answer on its way out.
struct Stream<'t> {
    decoder: StreamDecoder,
    stops: Stops<'t>,
    is_cancelled: bool,
    /// Tokens of the context that are shown as a whole, from the last moment at which nothing was held back.
    shown_position: usize,
}

impl Session<'_, '_, '_, '_, '_> {
    pub(super) fn answer_to(
        &mut self,
        tools: &mut Tools<'_, '_>,
        on: Listener<'_>,
    ) -> Result<End, SessionError> {
        self.open()?;
        let stops = Stops::new(stop_texts(&self.options, self.chat));
        let mut stream = self.begin(stops)?;
        let call = core::mem::take(&mut self.call);
        let mut calls = Calls::new(self.tokenizer, tools, self.options.constrain_calls, call);
        let end = self.write(tools, &mut calls, &mut stream, on);
        self.call = calls.into_buffer();
        self.finish(&mut stream, on);
        end
    }

    pub(super) fn answer_in_to(
        &mut self,
        grammar: &Grammar<'_>,
        on: Listener<'_>,
    ) -> Result<End, SessionError> {
        self.open()?;
        let mut place = InAnswer { grammar, matcher: Matcher::START };
        let need = place.shortest_completion();
        let room = self.engine().room();
        if room < need && !self.drop_turns(need - room)? || self.options.max_tokens < need {
            return Err(SessionError::Answer { need, have: self.options.max_tokens.min(room) });
        }
        let mut stream = self.begin(Stops::new([]))?;
        let end = self.write_in(&mut place, &mut stream, on);
        self.finish(&mut stream, on);
        end
    }

    fn write_in(
        &mut self,
        place: &mut InAnswer<'_>,
        stream: &mut Stream<'_>,
        on: Listener<'_>,
    ) -> Result<End, SessionError> {
        loop {
            let is_complete = place.shortest_completion() == 0;
            if is_complete && place.next_bytes().is_empty() {
                return Ok(End::Complete);
            }
            let budget = self.budget(usize::MAX);
            if budget.tokens == 0 && is_complete {
                return Ok(if self.generator.tokens_left() == 0 { End::Limit } else { End::ContextFull });
            }
            let token = match self.next_token(Some(*place), budget, [None; 2])? {
                Next::Token(token) => token,
                Next::End(end) => return Ok(end),
                Next::None => return Ok(if is_complete { End::Complete } else { End::NoToken }),
            };
            stream.is_cancelled |= on(Event::Token(token)).is_break();
            let bytes = self.tokenizer.token_bytes(token);
            *place = bytes.iter().try_fold(*place, |place, &byte| place.advance(byte)).unwrap_or(*place);
            self.show(stream, bytes, true, on);
            if stream.is_cancelled {
                return Ok(End::Cancelled);
            }
        }
    }

    /// Begins an answer that was opened.
    fn begin<'t>(&mut self, stops: Stops<'t>) -> Result<Stream<'t>, SessionError> {
        self.generator.feed_pending()?;
        self.history.push(Kind::Written, "");
        self.generator.go_on(self.options.max_tokens);
        Ok(Stream {
            decoder: self.tokenizer.stream_decoder(false),
            stops,
            is_cancelled: false,
            shown_position: self.engine().position(),
        })
    }

    fn write(
        &mut self,
        tools: &mut Tools<'_, '_>,
        calls: &mut Calls<'_>,
        stream: &mut Stream<'_>,
        on: Listener<'_>,
    ) -> Result<End, SessionError> {
        loop {
            let (place, budget) = (calls.place(tools), self.budget(calls.bytes_left()));
            // Room can be made, tokens cannot.
            let tokens = match self.options.when_full {
                WhenFull::Refuse => budget.tokens,
                WhenFull::DropOldestTurn => self.generator.tokens_left(),
            };
            let forbidden = calls.forbidden(tools, tokens.saturating_sub(1));
            let token = match self.next_token(place, budget, forbidden)? {
                Next::Token(token) => token,
                Next::End(end) => return Ok(end),
                Next::None => {
                    calls.leave();
                    self.abandon(Abandoned::NoToken, stream, on);
                    if stream.is_cancelled {
                        return Ok(End::Cancelled);
                    }
                    continue;
                }
            };
            stream.is_cancelled |= on(Event::Token(token)).is_break();
            let bytes = self.tokenizer.token_bytes(token);
            let was_inside = calls.inside().is_some();
            let (spotted, taken) = calls.push(token, bytes, tools);
            let is_call = was_inside || calls.inside().is_some() || spotted != Spotted::Nothing;
            self.show(stream, &bytes[..taken], is_call, on);
            if stream.stops.found() {
                // What was fed of the text that ended the answer goes, if something is read before the next choice.
                self.generator.discard_pending();
                if self.chat.is_some() {
                    self.generator.engine_mut().truncate(stream.shown_position);
                }
                return Ok(End::StopText);
            }
            if taken < bytes.len() && !self.replace_pending(&bytes[..taken])? {
                return Ok(End::ContextFull);
            }
            match spotted {
                Spotted::Nothing if was_inside || calls.inside().is_none() => {}
                Spotted::Nothing => {
                    if !self.has_room_for(calls, tools)? {
                        calls.leave();
                        self.abandon(Abandoned::NoRoom, stream, on);
                    }
                }
                Spotted::TooLong => self.abandon(Abandoned::TooLong, stream, on),
                Spotted::Call(form) => {
                    if !self.call(form, calls.text(), tools, stream, on)? {
                        return Ok(End::ContextFull);
                    }
                }
            }
            if stream.is_cancelled {
                return Ok(End::Cancelled);
            }
            if stream.stops.is_clear() {
                stream.shown_position = self.engine().position() + usize::from(self.generator.has_pending());
            }
        }
    }

    /// Tokens that can still be written.
    fn budget(&self, bytes: usize) -> Budget {
        let room = self.engine().room().saturating_sub(usize::from(self.generator.has_pending()));
        Budget { tokens: self.generator.tokens_left().min(room), bytes }
    }

    /// Whether a call that was just opened can be completed; makes room for it if that is possible.
    fn has_room_for(&mut self, calls: &Calls<'_>, tools: &Tools<'_, '_>) -> Result<bool, SessionError> {
        let Some(need) = calls.place(tools).map(|place| place.shortest_completion()) else { return Ok(true) };
        let suffices = |session: &Self| session.budget(calls.bytes_left()).suffices(need);
        if suffices(self) {
            return Ok(true);
        }
        let is_context = self.budget(calls.bytes_left()).tokens < self.generator.tokens_left();
        Ok(is_context && self.drop_turns(need)? && suffices(self))
    }

    fn abandon(&mut self, why: Abandoned, stream: &mut Stream<'_>, on: Listener<'_>) {
        self.statistics.abandoned_calls += 1;
        stream.is_cancelled |= on(Event::Abandoned(why)).is_break();
    }

    /// The next token, at a place of a grammar if there is one, without some tokens.
    pub(super) fn next_token(
        &mut self,
        place: Option<impl Place>,
        budget: Budget,
        forbidden: [Option<u32>; 2],
    ) -> Result<Next, SessionError> {
        let begun = self.now();
        if self.generator.has_pending() && self.engine().room() == 0 && !self.drop_turns(1)? {
            return Ok(Next::End(End::ContextFull));
        }
        let (options, tokenizer, image) = (self.options, self.tokenizer, self.engine().image());
        let mut allowed = 0;
        let token = self.generator.next_token_from(|first, block| {
            adjust(&options, first, block);
            match place {
                Some(place) => allowed += restrict(place, budget, image, tokenizer, first, block),
                None => forbidden.into_iter().flatten().for_each(|token| forbid(token, first, block)),
            }
        })?;
        let stop_reason = self.generator.stop_reason();
        let next = match token {
            _ if stop_reason == Some(StopReason::Limit) => Next::End(End::Limit),
            _ if stop_reason == Some(StopReason::ContextFull) => Next::End(End::ContextFull),
            _ if place.is_some() && allowed == 0 => {
                self.choose_again()?;
                Next::None
            }
            Some(token) => {
                self.statistics.written_tokens += 1;
                Next::Token(token)
            }
            None => Next::End(End::EndToken),
        };
        self.statistics.writing += self.now() - begun;
        Ok(next)
    }

    /// Takes the last choice back: the logits, which it used up, are computed once more.
    fn choose_again(&mut self) -> Result<(), SessionError> {
        self.generator.discard_pending();
        self.generator.go_on(self.generator.tokens_left());
        let engine = self.generator.engine_mut();
        if let Some(last) = engine.last_token() {
            engine.truncate(engine.position().saturating_sub(1));
            engine.feed(&[last])?;
        }
        Ok(())
    }

    /// Shows the bytes of a token.
    fn show(&mut self, stream: &mut Stream<'_>, bytes: &[u8], is_call: bool, on: Listener<'_>) {
        let Stream { decoder, stops, is_cancelled, .. } = stream;
        let history = &mut self.history;
        let mut show = |text: &str| {
            history.extend_last(text);
            *is_cancelled |= on(Event::Text(text)).is_break();
        };
        if is_call {
            stops.flush(&mut show);
            decoder.push(bytes, show);
        } else {
            decoder.push(bytes, |text| stops.push(text, &mut show));
        }
    }

    /// Shows what was held back until now; the answer is over.
    fn finish(&mut self, stream: &mut Stream<'_>, on: Listener<'_>) {
        let Stream { decoder, stops, .. } = stream;
        let history = &mut self.history;
        let mut show = |text: &str| {
            history.extend_last(text);
            // It has ended anyway.
            _ = on(Event::Text(text));
        };
        if !stops.found() {
            decoder.finish(|text| stops.push(text, &mut show));
            stops.flush(show);
        }
        if let Some(chat) = &mut self.chat {
            chat.answered();
        }
    }

    /// Puts the beginning of the last token's text in its place. False if the context has no room for it.
    fn replace_pending(&mut self, bytes: &[u8]) -> Result<bool, SessionError> {
        self.generator.discard_pending();
        for chunk in bytes.utf8_chunks() {
            self.transcript.extend([Piece::Content(chunk.valid())])?;
        }
        self.read_inserted().map(|count| count.is_some())
    }

    /// Answers a call; false if the context has no room for the result.
    fn call(
        &mut self,
        form: Form,
        call: &[u8],
        tools: &mut Tools<'_, '_>,
        stream: &mut Stream<'_>,
        on: Listener<'_>,
    ) -> Result<bool, SessionError> {
        let call = core::str::from_utf8(call).unwrap_or_default();
        let (name, arguments) = match form {
            Form::Calculation => ("", call),
            Form::Work => name_and_arguments(call).unwrap_or((call, "")),
        };
        stream.is_cancelled |= on(Event::Call { name, arguments }).is_break();
        let begun = self.now();
        let (before, after) = form.around_result();
        // There is room for the longest of what stands around results; the bound is the same for all.
        let most = before.len() + self.inserted.len() - AROUND_RESULT_BYTES;
        self.inserted[..before.len()].copy_from_slice(before.as_bytes());
        let mut result = Text::new(&mut self.inserted[before.len()..most]);
        match form {
            Form::Calculation => tools.calculate(arguments, &mut result),
            Form::Work => tools.call(name, arguments, &mut result),
        }
        let result = before.len()..before.len() + result.as_str().len();
        let end = result.end + after.len();
        self.inserted[result.end..end].copy_from_slice(after.as_bytes());
        self.statistics.calls += 1;
        self.statistics.calling += self.now() - begun;

        let inserted = core::str::from_utf8(&self.inserted[..end]).unwrap_or_default();
        self.history.extend_last(inserted);
        let result = inserted.get(result).unwrap_or_default();
        stream.is_cancelled |= on(Event::Result { result, inserted }).is_break();
        let begun = self.counter.as_mut().map_or(0, |counter| counter());
        // A result is text, never a special token.
        self.transcript.extend([Piece::Content(inserted)])?;
        let count = self.read_inserted()?;
        self.statistics.inserted_tokens += count.unwrap_or_default() as u32;
        self.statistics.reading += self.now() - begun;
        Ok(count.is_some())
    }

    /// Lets the model read what was gathered in the middle of an answer, and is in the history already: how many tokens
    /// that were, `None` if there is no room for them.
    fn read_inserted(&mut self) -> Result<Option<usize>, SessionError> {
        let fed = match self.generator.feed_pending() {
            Ok(()) => self.generator.engine_mut().prompt_pieces(&self.transcript),
            Err(error) => Err(error),
        };
        self.transcript.clear();
        match fed {
            Ok(count) => Ok(Some(count)),
            Err(EngineError::ContextFull { need, have }) => Ok(self.drop_turns(need - have)?.then_some(0)),
            // Nothing of it has a token.
            Err(EngineError::EmptyPrompt) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Applies the caller's bias and mask to logits of the tokens from `first` on.
fn adjust(options: &super::Options<'_>, first: usize, block: &mut [f32]) {
    for &(token, bias) in options.bias {
        logit_of(token, first, block).into_iter().for_each(|logit| *logit += bias);
    }
    if let Some(allowed) = options.allowed {
        for (logit, token) in block.iter_mut().zip(first..) {
            let is_allowed = allowed.get(token / 32).is_some_and(|word| word >> (token % 32) & 1 != 0);
            if !is_allowed {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Takes a token out of the game.
fn forbid(token: u32, first: usize, block: &mut [f32]) {
    logit_of(token, first, block).into_iter().for_each(|logit| *logit = f32::NEG_INFINITY);
}

fn logit_of(token: u32, first: usize, block: &mut [f32]) -> Option<&mut f32> {
    block.get_mut((token as usize).checked_sub(first)?)
}
