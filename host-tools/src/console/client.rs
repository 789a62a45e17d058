//! A program's end of a board's wire: a message out, its answer in.
//!
//! What the wire loses is made good: a message that nothing comes of is sent again under its number, for which a board
//! does nothing twice, and so is the wish to end an answer.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use sprat_board_support::console::frame::{Decoder, Encoder, Header, Heard};
use sprat_board_support::console::message::{Answer, Last, Message, Piece};

/// Whatever carries bytes to a board and back.
pub trait Wire {
    /// Sends bytes.
    ///
    /// # Errors
    /// The wire is gone, with why if that is known.
    fn send(&mut self, bytes: &[u8]) -> Result<()>;

    /// Waits for bytes, but not longer than `patience`; how many have come.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize>;

    /// What can be said of a board that does not answer.
    fn why(&mut self) -> String {
        String::new()
    }
}

/// How long nothing may be heard before a message is sent again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long nothing may be heard until somebody has answered: a board that begins checks its model first.
const HELLO: Duration = Duration::from_secs(30);
/// How long nothing may be heard at all: a slow board that reads a long text hears nothing meanwhile.
const GIVE_UP: Duration = Duration::from_secs(120);
/// How long an answer may go on after it was cancelled before it is cancelled again.
const CANCEL_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at what else is wanted.
const LOOK: Duration = Duration::from_millis(20);

/// What is wanted of an answer that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// More of it.
    More,
    /// Its end.
    End,
    /// Not even that.
    Leave,
}

/// The end of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// What the board said last.
    pub last: Last,
    /// Whether every part of the answer arrived.
    pub is_whole: bool,
}

/// A program's end of a wire.
pub struct Client {
    wire: Box<dyn Wire>,
    decoder: Decoder,
    encoder: Encoder,
    number: u32,
    patience: Duration,
}

impl Client {
    /// Takes a wire.
    pub fn new(wire: Box<dyn Wire>) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Whoever was on the wire before most likely began with another number.
        let number = since.subsec_nanos();
        Self { wire, decoder: Decoder::new(), encoder: Encoder::new(), number, patience: HELLO }
    }

    /// Sends a message and hears its answer to the end: `on` gets the parts as they come, and `wish` says what is wanted
    /// of it.
    ///
    /// # Errors
    /// The wire is gone, nothing comes any more, or the wish was to leave.
    pub fn request(
        &mut self,
        message: &Message<'_>,
        mut wish: impl FnMut() -> Wish,
        mut on: impl FnMut(&Piece<'_>),
    ) -> Result<Reply> {
        let number = self.send_new(message)?;
        let (mut sent, mut heard) = (Instant::now(), Instant::now());
        let mut cancelled = None::<Instant>;
        let (mut parts, mut is_whole, mut last) = (0, true, None);
        let mut buffer = [0; 1024];
        loop {
            match wish() {
                Wish::End if cancelled.is_none_or(|at| at.elapsed() > CANCEL_AGAIN) => {
                    self.send_new(&Message::Cancel)?;
                    cancelled = Some(Instant::now());
                }
                Wish::More | Wish::End => {}
                Wish::Leave => bail!("interrupted; the board may go on for a while"),
            }
            let count = self.wire.receive(&mut buffer, LOOK)?;
            for &byte in &buffer[..count] {
                let Some(Heard::Frame(frame)) = self.decoder.push(byte) else { continue };
                if frame.header.number != number {
                    continue;
                }
                heard = Instant::now();
                is_whole &= frame.header.part == parts;
                parts = frame.header.part + 1;
                let answer = postcard::from_bytes(frame.body);
                match answer
                    .context("the board's answer cannot be decoded: it was built from another tree")?
                {
                    Answer::Piece(piece) => on(&piece),
                    Answer::Last(end) => last = Some(end),
                }
            }
            if let Some(last) = last {
                self.patience = GIVE_UP;
                return Ok(Reply { last, is_whole });
            }
            if heard.elapsed() > self.patience {
                let silence = std::mem::replace(&mut self.patience, AGAIN);
                bail!("no answer for {} s; {}", silence.as_secs(), self.wire.why());
            }
            if heard.elapsed() > AGAIN && sent.elapsed() > AGAIN {
                self.send(number, message)?;
                sent = Instant::now();
            }
        }
    }

    fn send_new(&mut self, message: &Message<'_>) -> Result<u32> {
        self.number = self.number.wrapping_add(1);
        self.send(self.number, message)?;
        Ok(self.number)
    }

    fn send(&mut self, number: u32, message: &Message<'_>) -> Result<()> {
        let frame = self.encoder.encode(Header { number, part: 0 }, message);
        self.wire.send(frame.context("the text is longer than a message can be")?)
    }
}

#[cfg(test)]
mod tests {
    use sprat_board_support::console::message::Refusal;
    use sprat_board_support::console::{Command, Port, PortMemory, Serial};

    use super::*;

    /// A board at the other end of a wire that loses the first frame of each direction.
    struct Lossy {
        memory: PortMemory,
        lost: [bool; 2],
        served: Vec<Command>,
        coming: Vec<u8>,
    }

    struct Ends<'l> {
        to_board: &'l [u8],
        from_board: &'l mut Vec<u8>,
    }

    impl Serial for Ends<'_> {
        fn read(&mut self) -> Option<u8> {
            let (&byte, rest) = self.to_board.split_first()?;
            self.to_board = rest;
            Some(byte)
        }
        fn write(&mut self, bytes: &[u8]) {
            self.from_board.extend_from_slice(bytes);
        }
        fn wait(&mut self) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Break(())
        }
    }

    impl Wire for Lossy {
        fn send(&mut self, bytes: &[u8]) -> Result<()> {
            if !std::mem::replace(&mut self.lost[0], true) {
                return Ok(());
            }
            let mut said = Vec::new();
            let mut ends = Ends { to_board: bytes, from_board: &mut said };
            let mut port = Port::new(&mut ends, &mut self.memory);
            while let Ok(command) = port.command() {
                self.served.push(command);
                port.finish(Last::Refused(Refusal::Failed));
            }
            if std::mem::replace(&mut self.lost[1], true) {
                self.coming.extend(said);
            }
            Ok(())
        }
        fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize> {
            let count = self.coming.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.coming[..count]);
            self.coming.drain(..count);
            if count == 0 {
                std::thread::sleep(patience);
            }
            // Told with the answer: served once, although it was sent three times.
            assert!(self.served.len() <= 1, "{:?}", self.served);
            Ok(count)
        }
    }

    #[test]
    fn a_lost_message_and_a_lost_answer_are_made_good_and_nothing_is_done_twice() {
        let wire =
            Lossy { memory: PortMemory::new(), lost: [false; 2], served: Vec::new(), coming: Vec::new() };
        let mut client = Client::new(Box::new(wire));
        let reply = client.request(&Message::Reset, || Wish::More, |_| {}).unwrap();
        assert_eq!(reply.last, Last::Refused(Refusal::Failed));
        assert!(reply.is_whole);
    }
}
