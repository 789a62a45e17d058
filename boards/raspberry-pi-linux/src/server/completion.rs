//! Completions: whole ones, and those that come piece by piece.

use std::fmt;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use sprat::session::End;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::body::{Body, json, to_bytes};
use super::failure::Failure;
use super::form::Asked;
use super::{Shared, now};
use crate::error::AskError;
use crate::question::{Answer, Event, Piece};

/// A whole completion, or a piece of one.
#[derive(Serialize)]
struct Form<'c, C> {
    id: &'c str,
    object: &'static str,
    created: u64,
    model: &'c str,
    choices: &'c [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'c> {
    index: u32,
    message: Said<'c>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Said<'c> {
    role: &'static str,
    content: &'c str,
}

#[derive(Serialize)]
struct ChoicePiece<'c> {
    index: u32,
    delta: Delta<'c>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'c str>,
}

#[derive(Clone, Copy, Serialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
}

impl Usage {
    fn of(answer: &Answer) -> Self {
        let (prompt_tokens, completion_tokens) =
            (answer.read_tokens, answer.written_tokens + answer.inserted_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

const fn finish_reason(end: End) -> &'static str {
    match end {
        End::Limit | End::ContextFull => "length",
        End::EndToken | End::StopText | End::Complete | End::NoToken | End::Cancelled => "stop",
    }
}

/// What all pieces of a completion have in common.
#[derive(Debug)]
struct Head {
    id: String,
    created: u64,
    model: String,
}

/// Asks the assistant, and answers when the first piece of its answer is there, so that what is wrong with a question is
/// said by the status.
pub(super) async fn complete(shared: &Shared, asked: Asked) -> Result<Response<Body>, Failure> {
    let (tell, mut events) = unbounded_channel();
    // An answer is at most as long as the context, so that it needs no other bound: the engine never waits for a client.
    let on = move |event| {
        let is_heard = match event {
            Event::Piece(Piece::Text(_)) | Event::End(_) => tell.send(event).is_ok(),
            Event::Piece(Piece::Call { .. }) | Event::Begun | Event::Token => !tell.is_closed(),
        };
        if is_heard { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    shared.assistant.submit(asked.question, on)?;
    let head = Head { id: shared.next_name(), created: now(), model: shared.assistant.about().model.clone() };
    if !asked.streams {
        let answer = whole(&mut events).await?;
        let message = Said { role: "assistant", content: &answer.text };
        let choice = Choice { index: 0, message, finish_reason: finish_reason(answer.end) };
        let usage = Some(Usage::of(&answer));
        return Ok(json(StatusCode::OK, &head.form("chat.completion", &[choice], usage)));
    }
    let first = match events.recv().await {
        Some(Event::End(Err(error))) => return Err(error.into()),
        None => return Err(AskError::Stopped.into()),
        first => first,
    };
    let stream =
        Stream { head, events, first, has_begun: false, is_over: false, with_usage: asked.with_usage };
    let mut response = Response::new(Body::Stream(Box::new(stream)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Waits for the end. Whoever waits no more closes the channel, which cancels the answer.
async fn whole(events: &mut UnboundedReceiver<Event>) -> Result<Answer, AskError> {
    while let Some(event) = events.recv().await {
        if let Event::End(end) = event {
            return end;
        }
    }
    Err(AskError::Stopped)
}

impl Head {
    fn form<'c, C>(&'c self, object: &'static str, choices: &'c [C], usage: Option<Usage>) -> Form<'c, C> {
        Form { id: &self.id, object, created: self.created, model: &self.model, choices, usage }
    }

    /// A piece as an event.
    fn piece(&self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> Vec<u8> {
        let choice = ChoicePiece { index: 0, delta, finish_reason };
        event(&self.form("chat.completion.chunk", &[choice], None))
    }
}

/// A server-sent event.
fn event(data: &impl Serialize) -> Vec<u8> {
    let mut bytes = b"data: ".to_vec();
    bytes.extend(to_bytes(data));
    bytes.extend(b"\n\n");
    bytes
}

/// A completion that comes piece by piece, as server-sent events.
pub(super) struct Stream {
    head: Head,
    events: UnboundedReceiver<Event>,
    /// What has come already.
    first: Option<Event>,
    /// Whether the first piece was sent, which says whose answer it is.
    has_begun: bool,
    is_over: bool,
    with_usage: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Stream {
    /// The next events; none when all were sent.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(self.events.poll_recv(context)),
        };
        let mut bytes = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            bytes = self.head.piece(Delta { role: Some("assistant"), content: Some("") }, None);
        }
        match next {
            Some(Event::Piece(Piece::Text(text))) => {
                bytes.extend(self.head.piece(Delta { role: None, content: Some(&text) }, None));
            }
            // Not sent to here.
            Some(Event::Piece(Piece::Call { .. }) | Event::Begun | Event::Token) => {}
            Some(Event::End(Ok(answer))) => bytes.extend(self.end(&answer)),
            Some(Event::End(Err(error))) => bytes.extend(self.fail(error)),
            None => bytes.extend(self.fail(AskError::Stopped)),
        }
        Poll::Ready(Some(bytes.into()))
    }

    fn end(&mut self, answer: &Answer) -> Vec<u8> {
        self.is_over = true;
        let mut bytes = self.head.piece(Delta::default(), Some(finish_reason(answer.end)));
        if self.with_usage {
            let usage = Some(Usage::of(answer));
            bytes.extend(event(&self.head.form::<ChoicePiece<'_>>("chat.completion.chunk", &[], usage)));
        }
        bytes.extend(b"data: [DONE]\n\n");
        bytes
    }

    /// The status was sent long ago: the error takes the place of the rest.
    fn fail(&mut self, error: AskError) -> Vec<u8> {
        self.is_over = true;
        event(&Failure::from(error).form())
    }
}
