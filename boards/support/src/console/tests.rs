//! The wire under noise, a program's and a person's use of it.

extern crate std;

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::frame::{Decoder, Encoder, Frame, Header, Heard};
use super::message::{Answer, How, Last, Message, Piece, Refusal};
use super::{Command, Gone, Port, PortMemory, Serial};

/// A wire on which everything was sent already; it is gone when all is read.
#[derive(Default)]
struct Wire {
    coming: VecDeque<u8>,
    sent: Vec<u8>,
}

impl Serial for Wire {
    fn read(&mut self) -> Option<u8> {
        self.coming.pop_front()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    fn wait(&mut self) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Numbers that follow from a seed (Steele, Lea, Flood 2014).
pub(crate) struct SplitMix(pub u64);

impl SplitMix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) fn frame(number: u32, message: &Message<'_>) -> Vec<u8> {
    Encoder::new().encode(Header { number, part: 0 }, message).unwrap().to_vec()
}

/// A byte is lost, changed, or followed by another one, once in a hundred.
pub(crate) fn noisy(bytes: &[u8], random: &mut SplitMix) -> Vec<u8> {
    let mut heard = Vec::new();
    for &byte in bytes {
        match random.below(300) {
            0 => {}
            1 => heard.push(random.next() as u8),
            2 => heard.extend([byte, random.next() as u8]),
            _ => heard.push(byte),
        }
    }
    heard
}

/// What stands between zero bytes.
pub(crate) fn segments(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    stream.split_inclusive(|&byte| byte == 0).skip(1).filter_map(|segment| segment.strip_suffix(&[0]))
}

/// The frames and the text of a stream.
fn decoded(bytes: &[u8], mut on: impl FnMut(Frame<'_>)) -> String {
    let (mut decoder, mut text) = (Decoder::new(), Vec::new());
    for &byte in bytes {
        match decoder.push(byte) {
            Some(Heard::Byte(byte)) => text.push(byte),
            Some(Heard::Frame(frame)) => on(frame),
            Some(Heard::Damaged) | None => {}
        }
    }
    String::from_utf8(text).unwrap()
}

/// The last answers in a stream, by number.
fn lasts(bytes: &[u8]) -> Vec<(u32, Last)> {
    let mut lasts = Vec::new();
    decoded(bytes, |frame| {
        if let Ok(Answer::Last(last)) = postcard::from_bytes(frame.body) {
            lasts.push((frame.header.number, last));
        }
    });
    lasts
}

fn some_message<'t>(random: &mut SplitMix, text: &'t mut String) -> Message<'t> {
    *text = (0..random.below(60)).map(|_| char::from(b' ' + random.below(95) as u8)).collect();
    match random.below(8) {
        0 => Message::Info,
        1 => Message::Cancel,
        2 => Message::Reset,
        3 => Message::Totals,
        4 => Message::Sensors { lines: text },
        _ => Message::Ask { text, how: How { seed: random.next(), ..How::DEFAULT } },
    }
}

#[test]
fn every_message_that_noise_spares_is_answered_once() {
    const MESSAGES: u32 = 10_000;
    let (mut random, mut stream, mut sent) = (SplitMix(6), Vec::new(), BTreeMap::new());
    let mut text = String::new();
    for number in 1..=MESSAGES {
        let message = some_message(&mut random, &mut text);
        let bytes = frame(number, &message);
        let content = bytes[1..bytes.len() - 1].to_vec();
        let is_cancel = message == Message::Cancel;
        stream.extend(noisy(&bytes, &mut random));
        sent.insert(content, (number, is_cancel));
    }
    // What arrived whole, by another way than the decoder's: between zero bytes stands exactly what was sent.
    let arrived: BTreeMap<u32, bool> =
        segments(&stream).filter_map(|segment| sent.get(segment)).copied().collect();
    assert!((3_000..9_900).contains(&arrived.len()), "{} arrived", arrived.len());

    let mut wire = Wire { coming: stream.into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    let mut port = Port::new(&mut wire, &mut memory);
    let mut served = 0;
    while let Ok(command) = port.command() {
        served += 1;
        if let Command::Ask(_) = command {
            let text: String = port.text().into();
            port.piece(&Piece::Text(&text));
        }
        port.finish(Last::Ok);
    }
    assert!(port.damaged_frames() > 0);
    let answered = lasts(&wire.sent);
    let numbers: BTreeSet<u32> = answered.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), answered.len(), "some were answered twice");
    assert_eq!(numbers, arrived.keys().copied().collect());
    for (number, last) in &answered {
        let expected = if arrived[number] { Last::Refused(Refusal::NothingToCancel) } else { Last::Ok };
        assert_eq!(*last, expected, "{number}");
    }
    // Cancels are answered by the port, and before the first frame noise may have been a line of text.
    assert!(served <= arrived.values().filter(|is_cancel| !**is_cancel).count() + 1);
}

#[test]
fn any_bytes_are_survived() {
    let mut random = SplitMix(7);
    for _ in 0..200 {
        let bytes: Vec<u8> =
            (0..2_000).map(|_| if random.below(9) == 0 { 0 } else { random.next() as u8 }).collect();
        let mut wire = Wire { coming: bytes.into(), ..Wire::default() };
        let mut memory = PortMemory::new();
        let mut port = Port::new(&mut wire, &mut memory);
        while port.command().is_ok() {
            _ = port.poll();
            port.finish(Last::Ok);
        }
        // And the next message is heard.
        wire.coming = [vec![0], frame(9, &Message::Reset)].concat().into();
        let mut port = Port::new(&mut wire, &mut memory);
        assert_eq!(port.command(), Ok(Command::Reset));
        assert_eq!(port.command(), Err(Gone));
    }
}

#[test]
fn what_is_longer_than_a_frame_is_given_up_at_once() {
    let mut decoder = Decoder::new();
    let long = [vec![0, 1], vec![b'a'; 5_000]].concat();
    let damaged = long.iter().filter(|&&byte| decoder.push(byte) == Some(Heard::Damaged)).count();
    assert_eq!(damaged, 1);
    // Text is text again.
    assert_eq!(decoder.push(b'x'), Some(Heard::Byte(b'x')));
}

#[test]
fn the_longest_texts_fit_a_frame() {
    let how = How { max_tokens: u32::MAX, top_k: u32::MAX, seed: u64::MAX, votes: u32::MAX, ..How::DEFAULT };
    let text = "x".repeat(super::message::TEXT_BYTES);
    let bytes = frame(u32::MAX, &Message::Ask { text: &text, how });
    let mut wire = Wire { coming: bytes.into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    let mut port = Port::new(&mut wire, &mut memory);
    assert_eq!(port.command(), Ok(Command::Ask(how)));
    assert_eq!(port.text(), text);
    assert!(Encoder::new().encode(Header { number: 1, part: 0 }, &Piece::Text(&"x".repeat(800))).is_none());
}

#[test]
fn a_message_that_comes_again_is_not_done_again() {
    let first = frame(5, &Message::Reset);
    let coming = [first.clone(), first, frame(6, &Message::Totals)].concat();
    let mut wire = Wire { coming: coming.into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    let mut port = Port::new(&mut wire, &mut memory);
    assert_eq!(port.command(), Ok(Command::Reset));
    port.finish(Last::Refused(Refusal::Failed));
    assert_eq!(port.command(), Ok(Command::Totals));
    port.finish(Last::Ok);
    let failed = Last::Refused(Refusal::Failed);
    assert_eq!(lasts(&wire.sent), [(5, failed), (5, failed), (6, Last::Ok)]);
}

#[test]
fn while_a_message_is_worked_on_it_can_be_cancelled_and_others_wait() {
    let mut wire =
        Wire { coming: frame(1, &Message::Ask { text: "a?", how: How::DEFAULT }).into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    let mut port = Port::new(&mut wire, &mut memory);
    assert!(matches!(port.command(), Ok(Command::Ask(_))));
    assert_eq!(port.poll(), ControlFlow::Continue(()));
    port.serial.coming.extend(frame(2, &Message::Sensors { lines: "temp=1" }));
    port.serial.coming.extend(frame(1, &Message::Ask { text: "a?", how: How::DEFAULT }));
    // Somebody's interrupt is none of a program's.
    port.serial.coming.push_back(3);
    assert_eq!(port.poll(), ControlFlow::Continue(()));
    assert_eq!(port.text(), "a?");
    port.serial.coming.extend(frame(3, &Message::Cancel));
    assert_eq!(port.poll(), ControlFlow::Break(()));
    port.finish(Last::Ok);
    let busy = Last::Refused(Refusal::Busy);
    assert_eq!(lasts(&wire.sent), [(2, busy), (3, Last::Ok), (1, Last::Ok)]);
    let (mut working, mut parts) = (0, Vec::new());
    decoded(&wire.sent, |frame| {
        if frame.header.number == 1 {
            parts.push(frame.header.part);
            working += usize::from(postcard::from_bytes(frame.body) == Ok(Answer::Piece(Piece::Working)));
        }
    });
    assert_eq!((working, parts), (1, vec![0, 1]));
}

#[test]
fn unknown_messages_are_refused_by_their_number() {
    let unknown = Encoder::new().encode(Header { number: 8, part: 0 }, &99_u8).unwrap().to_vec();
    let mut wire = Wire { coming: unknown.into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    assert_eq!(Port::new(&mut wire, &mut memory).command(), Err(Gone));
    assert_eq!(lasts(&wire.sent), [(8, Last::Refused(Refusal::Unknown))]);
}

#[test]
fn a_person_types_edits_and_is_answered_in_text() {
    let typed = b"Whay\x7ft is 2\xc3\xa4\x08?\r\n/votes 99\r/nothing\rgiven up\x03/votes 3\r\r/stats\r";
    let mut wire = Wire { coming: typed.to_vec().into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    let mut port = Port::new(&mut wire, &mut memory);
    port.prompt();
    assert_eq!(port.command(), Ok(Command::Ask(How::DEFAULT)));
    assert_eq!(port.text(), "What is 2?");
    port.piece(&Piece::Text("one\ntwo"));
    port.finish(Last::Ok);
    assert_eq!(port.command(), Ok(Command::Totals));
    port.serial.coming.push_back(3);
    assert_eq!(port.poll(), ControlFlow::Break(()));
    port.finish(Last::Ok);
    let said = String::from_utf8(wire.sent).unwrap();
    let erased = "\u{8} \u{8}";
    let begun = format!(
        "> Whay{erased}t is 2\u{e4}{erased}?\r\none\r\ntwo\r\n> /votes 99\r\n\r\ntoo many votes\r\n> "
    );
    assert!(said.starts_with(&begun), "{said:?}");
    assert!(
        said.contains("/nothing\r\n\r\nnot understood\r\n> given up^C\r\n> /votes 3\r\n> \r\n> /stats"),
        "{said:?}"
    );
}

#[test]
fn the_wire_is_a_programs_until_it_leaves_or_somebody_insists() {
    let bytes: [&[u8]; 8] = [
        b"half a li",
        &frame(1, &Message::Reset),
        b"noise like a line\r/reset\r",
        &frame(2, &Message::Leave),
        b"/stats\r",
        &frame(3, &Message::Reset),
        b"\r\r/tools\r",
        &frame(4, &Message::Info),
    ];
    let mut wire = Wire { coming: bytes.concat().into(), ..Wire::default() };
    let mut memory = PortMemory::new();
    let mut port = Port::new(&mut wire, &mut memory);
    let mut commands = Vec::new();
    while let Ok(command) = port.command() {
        commands.push(command);
        port.finish(Last::Ok);
    }
    use Command::{Info, Reset, Tools, Totals};
    assert_eq!(commands, [Reset, Totals, Reset, Tools, Info]);
    assert_eq!(lasts(&wire.sent), [1, 2, 3, 4].map(|number| (number, Last::Ok)));
}
