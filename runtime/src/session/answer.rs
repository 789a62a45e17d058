//! Writing an answer: token by token, with calls answered in between.

use core::ops::ControlFlow;

use super::calls::{Calls, Form, Spotted, name_and_arguments};
use super::history::Kind;
use super::stops::Stops;
use super::{Abandoned, End, Event, Session, SessionError, stop_texts};
use crate::chat::Piece;
use crate::engine::EngineError;
use crate::generate::StopReason;
use crate::tokenizer::StreamDecoder;
use crate::tools::{Text, Tools};

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

impl<'m> Session<'_, '_, '_, 'm, '_> {
    pub(super) fn answer_to(
        &mut self,
        tools: &mut Tools<'_, '_>,
        on: Listener<'_>,
    ) -> Result<End, SessionError> {
        self.open()?;
        self.generator.feed_pending()?;
        self.history.push(Kind::Written, "");
        self.generator.go_on(self.options.max_tokens);
        let call = core::mem::take(&mut self.call);
        let enabled = [tools.calculator.is_some(), !tools.named.is_empty()];
        let mut calls = Calls::new(self.tokenizer, enabled, call);
        let mut stream = Stream {
            decoder: self.tokenizer.stream_decoder(false),
            stops: Stops::new(stop_texts(&self.options, self.chat)),
            is_cancelled: false,
            shown_position: self.engine().position(),
        };
        let end = self.write(tools, &mut calls, &mut stream, on);
        self.call = calls.into_buffer();
        if let Some(chat) = &mut self.chat {
            chat.answered();
        }
        end
    }

    fn write(
        &mut self,
        tools: &mut Tools<'_, '_>,
        calls: &mut Calls<'_>,
        stream: &mut Stream<'_>,
        on: Listener<'_>,
    ) -> Result<End, SessionError> {
        let end = loop {
            let begun = self.now();
            let token = self.next_token()?;
            self.statistics.writing += self.now() - begun;
            let token = match token {
                Ok(token) => token,
                Err(end) => break end,
            };
            self.statistics.written_tokens += 1;
            stream.is_cancelled |= on(Event::Token(token)).is_break();
            let bytes = self.tokenizer.token_bytes(token);
            let was_inside = calls.inside().is_some();
            let (spotted, taken) = calls.push(token, bytes);
            let is_call = was_inside || calls.inside().is_some() || spotted != Spotted::Nothing;
            self.show(stream, &bytes[..taken], is_call, on);
            if stream.stops.found() {
                // What was fed of the text that ended the answer goes.
                self.generator.discard_pending();
                self.generator.engine_mut().truncate(stream.shown_position);
                break End::StopText;
            }
            if taken < bytes.len() && !self.replace_pending(&bytes[..taken])? {
                break End::ContextFull;
            }
            match spotted {
                Spotted::Nothing => {}
                Spotted::TooLong => {
                    self.statistics.abandoned_calls += 1;
                    stream.is_cancelled |= on(Event::Abandoned(Abandoned::TooLong)).is_break();
                }
                Spotted::Call(form) => {
                    if !self.call(form, calls.text(), tools, stream, on)? {
                        break End::ContextFull;
                    }
                }
            }
            if stream.is_cancelled {
                break End::Cancelled;
            }
            if stream.stops.is_clear() {
                stream.shown_position = self.engine().position() + usize::from(self.generator.has_pending());
            }
        };
        self.finish(stream, on);
        Ok(end)
    }

    /// The next token, or why there is none.
    fn next_token(&mut self) -> Result<Result<u32, End>, SessionError> {
        if self.generator.has_pending() && self.engine().room() == 0 && !self.drop_turns(1)? {
            return Ok(Err(End::ContextFull));
        }
        let options = self.options;
        let token = self.generator.next_token_from(|first, block| adjust(&options, first, block))?;
        Ok(token.ok_or(match self.generator.stop_reason() {
            Some(StopReason::EndToken) => End::EndToken,
            Some(StopReason::ContextFull) => End::ContextFull,
            Some(StopReason::Limit) | None => End::Limit,
        }))
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

    /// Shows what was held back until now.
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
        let most = self.inserted.len() - after.len();
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
        let place = (token as usize).checked_sub(first).and_then(|place| block.get_mut(place));
        place.into_iter().for_each(|logit| *logit += bias);
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
