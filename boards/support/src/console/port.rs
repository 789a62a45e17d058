//! A board's end of the wire: commands come out, answers go in, for a person and for a program alike.
//!
//! The wire begins as a person's. The first whole frame makes it a program's: text is ignored from then on, so that noise
//! is not taken for questions, until the program leaves or somebody presses return twice.

use core::ops::ControlFlow;

use heapless::String;
use serde::Serialize;

use super::frame::{Decoder, Encoder, Header, Heard};
use super::line::{INTERRUPT, Line, Typed};
use super::message::{Answer, How, Last, Message, PIECE_BYTES, Piece, Refusal, TEXT_BYTES};
use super::{Serial, person};

/// What a board is to do. A text that belongs to it is [`Port::text`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Say who is there.
    Info,
    /// Answer the text.
    Ask(How),
    /// Forget the conversation.
    Reset,
    /// Say what it took so far.
    Totals,
    /// Say what can be called.
    Tools,
    /// Measure.
    Bench,
    /// Let scripted sensors read what the text says.
    Sensors,
}

/// The wire is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Person,
    /// A program, the message of this number.
    Program(u32),
}

/// The memory of a [`Port`], in a static: it would be much of a stack. All zero at first, so that flash holds no copy.
#[derive(Debug)]
pub struct PortMemory {
    decoder: Decoder,
    encoder: Encoder,
    line: Line,
    text: String<TEXT_BYTES>,
    habits: person::Habits,
    asker: Asker,
    /// Whether text is ignored.
    is_programs: bool,
    /// The byte of text before.
    previous: u8,
    /// Parts of the answer so far.
    parts: u32,
    answered: Answered,
    damaged_frames: u32,
}

impl Default for PortMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl PortMemory {
    /// A wire on which nothing was said yet.
    pub const fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            line: Line::new(),
            text: String::new(),
            habits: person::Habits::new(),
            asker: Asker::Person,
            is_programs: false,
            previous: 0,
            parts: 0,
            answered: Answered { is_any: false, header: Header { number: 0, part: 0 }, last: Last::Ok },
            damaged_frames: 0,
        }
    }
}

/// The end of the last answer to a program, for a message that comes again.
#[derive(Debug)]
struct Answered {
    /// Whether there was one. No `Option`, which would not be zero at first.
    is_any: bool,
    header: Header,
    last: Last,
}

impl Answered {
    /// Whether it is the message that was answered last.
    fn is(&self, header: Header) -> bool {
        self.is_any && self.header.number == header.number
    }
}

/// What came in a frame.
enum Asked {
    Command(Command),
    Cancel,
    Leave,
    Refused(Refusal),
}

/// A board's end of the wire.
#[derive(Debug)]
pub struct Port<'p, S> {
    pub(super) serial: &'p mut S,
    memory: &'p mut PortMemory,
}

impl<'p, S: Serial> Port<'p, S> {
    /// Begins to listen.
    pub fn new(serial: &'p mut S, memory: &'p mut PortMemory) -> Self {
        Self { serial, memory }
    }

    /// Tells a person that it is their turn.
    pub fn prompt(&mut self) {
        if !self.memory.is_programs {
            self.serial.write(person::PROMPT);
        }
    }

    /// Waits for the next command. It is to be answered with any number of [`piece`](Self::piece)s and one
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// The wire is gone.
    pub fn command(&mut self) -> Result<Command, Gone> {
        loop {
            let Some(byte) = self.serial.read() else {
                match self.serial.wait() {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(()) => return Err(Gone),
                }
            };
            let command = match self.memory.decoder.push(byte) {
                None => None,
                Some(Heard::Damaged) => {
                    self.memory.damaged_frames = self.memory.damaged_frames.saturating_add(1);
                    None
                }
                Some(Heard::Byte(byte)) => self.typed(byte),
                Some(Heard::Frame(frame)) => {
                    let (number, is_again) = (frame.header.number, self.memory.answered.is(frame.header));
                    // A text is kept, since the decoder goes on while it is answered.
                    let text = (!is_again).then_some(&mut self.memory.text);
                    let asked = asked(frame.body, text);
                    self.received(number, is_again, asked)
                }
            };
            if let Some(command) = command {
                return Ok(command);
            }
        }
    }

    /// The text of the last command.
    pub fn text(&self) -> &str {
        &self.memory.text
    }

    /// Hears what arrives while a command is worked on, without waiting: [`ControlFlow::Break`] if it is to end. To be
    /// called between tokens.
    pub fn poll(&mut self) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        while let Some(byte) = self.serial.read() {
            match self.memory.decoder.push(byte) {
                None => {}
                Some(Heard::Damaged) => {
                    self.memory.damaged_frames = self.memory.damaged_frames.saturating_add(1);
                }
                Some(Heard::Byte(INTERRUPT)) if self.memory.asker == Asker::Person => {
                    flow = ControlFlow::Break(());
                }
                Some(Heard::Byte(_)) => {}
                Some(Heard::Frame(frame)) => {
                    let header = frame.header;
                    let asked = asked(frame.body, None);
                    if self.memory.asker == Asker::Program(header.number) {
                        self.piece(&Piece::Working);
                    } else if self.memory.answered.is(header) {
                        self.repeat();
                    } else {
                        let last = match asked {
                            Asked::Cancel => {
                                flow = ControlFlow::Break(());
                                Last::Ok
                            }
                            Asked::Command(_) | Asked::Leave => Last::Refused(Refusal::Busy),
                            Asked::Refused(refusal) => Last::Refused(refusal),
                        };
                        self.send(Header { part: 0, ..header }, &Answer::Last(last));
                    }
                }
            }
        }
        flow
    }

    /// Sends a part of the answer.
    pub fn piece(&mut self, piece: &Piece<'_>) {
        match *piece {
            Piece::Text(mut text) => {
                while !text.is_empty() {
                    // At a character's end; a split that could fail would keep what it says in flash.
                    let (part, rest) =
                        text.split_at_checked(text.floor_char_boundary(PIECE_BYTES)).unwrap_or((text, ""));
                    self.part(&Piece::Text(part));
                    text = rest;
                }
            }
            ref other => self.part(other),
        }
    }

    fn part(&mut self, piece: &Piece<'_>) {
        match self.memory.asker {
            Asker::Person => person::piece(piece, &mut |bytes| self.serial.write(bytes)),
            Asker::Program(number) => {
                self.send(Header { number, part: self.memory.parts }, &Answer::Piece(*piece));
                // One that could not be sent is missed by whoever counts.
                self.memory.parts += 1;
            }
        }
    }

    /// Ends the answer.
    pub fn finish(&mut self, last: Last) {
        match self.memory.asker {
            Asker::Person => {
                person::last(&last, &mut |bytes| self.serial.write(bytes));
                self.prompt();
            }
            Asker::Program(number) => {
                let header = Header { number, part: self.memory.parts };
                self.memory.answered = Answered { is_any: true, header, last };
                self.repeat();
            }
        }
    }

    /// Frames that did not arrive whole.
    pub fn damaged_frames(&self) -> u32 {
        self.memory.damaged_frames
    }

    fn repeat(&mut self) {
        let Answered { header, last, .. } = self.memory.answered;
        self.send(header, &Answer::Last(last));
    }

    fn send(&mut self, header: Header, answer: &impl Serialize) {
        if let Some(frame) = self.memory.encoder.encode(header, answer) {
            self.serial.write(frame);
        }
    }

    /// A message while nothing is worked on.
    fn received(&mut self, number: u32, is_again: bool, asked: Asked) -> Option<Command> {
        self.memory.is_programs = true;
        self.memory.line.clear();
        if is_again {
            self.repeat();
            return None;
        }
        (self.memory.asker, self.memory.parts) = (Asker::Program(number), 0);
        match asked {
            Asked::Command(command) => return Some(command),
            Asked::Cancel => self.finish(Last::Refused(Refusal::NothingToCancel)),
            Asked::Refused(refusal) => self.finish(Last::Refused(refusal)),
            Asked::Leave => {
                self.finish(Last::Ok);
                self.memory.is_programs = false;
                self.prompt();
            }
        }
        None
    }

    /// A byte of text.
    fn typed(&mut self, byte: u8) -> Option<Command> {
        let previous = core::mem::replace(&mut self.memory.previous, byte);
        if self.memory.is_programs {
            if byte == previous && matches!(byte, b'\r' | b'\n') {
                self.memory.is_programs = false;
                self.serial.write(b"\r\n");
                self.prompt();
            }
            return None;
        }
        let PortMemory { line, habits, text, asker, .. } = &mut *self.memory;
        match line.push(byte, |bytes| self.serial.write(bytes)) {
            Typed::More => return None,
            Typed::Interrupt => {
                self.prompt();
                return None;
            }
            Typed::Line => {}
        }
        text.clear();
        // They have the same room.
        _ = text.push_str(line.text());
        line.clear();
        *asker = Asker::Person;
        let command = match text.trim().is_empty() {
            true => Ok(None),
            false => person::command(text.trim(), habits, &mut |bytes| self.serial.write(bytes)),
        };
        match command {
            Ok(Some(command)) => return Some(command),
            Ok(None) => self.prompt(),
            Err(refusal) => self.finish(Last::Refused(refusal)),
        }
        None
    }
}

/// What a message asks for. Its text goes to `keep`.
fn asked(body: &[u8], keep: Option<&mut String<TEXT_BYTES>>) -> Asked {
    let (command, text) = match postcard::from_bytes(body) {
        Err(_) => return Asked::Refused(Refusal::Unknown),
        Ok(Message::Cancel) => return Asked::Cancel,
        Ok(Message::Leave) => return Asked::Leave,
        Ok(Message::Info) => (Command::Info, ""),
        Ok(Message::Ask { text, how }) => (Command::Ask(how), text),
        Ok(Message::Reset) => (Command::Reset, ""),
        Ok(Message::Totals) => (Command::Totals, ""),
        Ok(Message::Tools) => (Command::Tools, ""),
        Ok(Message::Bench) => (Command::Bench, ""),
        Ok(Message::Sensors { lines }) => (Command::Sensors, lines),
    };
    let Some(keep) = keep else { return Asked::Command(command) };
    keep.clear();
    match keep.push_str(text) {
        Ok(()) => Asked::Command(command),
        Err(_) => Asked::Refused(Refusal::TooLong),
    }
}
