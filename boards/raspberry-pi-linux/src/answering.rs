//! An answer while it is written.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Weak};

use crate::error::AskError;
use crate::question::{Answer, Event, Piece};

/// An answer on its way, piece by piece. Whoever drops it wants no more of it: it is cancelled.
#[derive(Debug)]
pub struct Answering {
    pieces: Receiver<Event>,
    end: Option<Result<Answer, AskError>>,
    /// Whoever answers sees when it is gone.
    _wanted: Arc<()>,
}

impl Answering {
    /// An answer, and whom to tell of it.
    pub(crate) fn new() -> (Self, impl FnMut(Event) -> ControlFlow<()> + Send + 'static) {
        let (tell, pieces) = mpsc::channel();
        let wanted = Arc::new(());
        let is_wanted: Weak<()> = Arc::downgrade(&wanted);
        let on = move |event| {
            let told = match event {
                Event::Piece(_) | Event::End(_) => tell.send(event).is_ok(),
                Event::Begun | Event::Token => true,
            };
            match told && is_wanted.strong_count() > 0 {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        (Self { pieces, end: None, _wanted: wanted }, on)
    }

    /// Waits for the rest of the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn finish(mut self) -> Result<Answer, AskError> {
        self.by_ref().for_each(drop);
        self.end.take().unwrap_or(Err(AskError::Stopped))
    }
}

impl Iterator for Answering {
    type Item = Piece;

    /// Waits for the next piece. After the last one, [`finish`](Self::finish) says how it ended.
    fn next(&mut self) -> Option<Piece> {
        while self.end.is_none() {
            match self.pieces.recv() {
                Ok(Event::Piece(piece)) => return Some(piece),
                Ok(Event::End(end)) => self.end = Some(end),
                Ok(Event::Begun | Event::Token) => {}
                Err(_) => self.end = Some(Err(AskError::Stopped)),
            }
        }
        None
    }
}
