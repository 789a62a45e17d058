//! Conversations with the default model, over a wire that brings something when it is waited for.

extern crate std;

use core::cell::RefCell;
use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::string::String;
use std::vec::Vec;
use std::{fs, vec};

use sprat::{Image, Plan, Solo};

use super::{Peripherals as _, Scripted, ServeMemory, Site, serve};
use crate::console::frame::{Decoder, Heard};
use crate::console::message::{Answer, Done, How, Last, Message, Piece, Refusal, Totals};
use crate::console::tests::{SplitMix, frame, noisy, segments};
use crate::console::{Counter, Serial};
use crate::memory::DEFAULT_MODEL;
use crate::protocol::Stop;

/// What is sent when as many text pieces as the number says have come.
type Later = (usize, Vec<u8>);

struct Wire {
    coming: VecDeque<u8>,
    /// What comes when it is waited for, one after the other.
    chunks: VecDeque<Vec<u8>>,
    later: Option<Later>,
    pieces: usize,
    decoder: Decoder,
    sent: Vec<u8>,
}

impl Serial for Wire {
    fn read(&mut self) -> Option<u8> {
        if let Some((_, bytes)) = self.later.take_if(|(pieces, _)| self.pieces >= *pieces) {
            self.coming.extend(bytes);
        }
        self.coming.pop_front()
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(Heard::Frame(frame)) = self.decoder.push(byte) {
                let answer = postcard::from_bytes(frame.body).unwrap();
                self.pieces += usize::from(matches!(answer, Answer::Piece(Piece::Text(_))));
            }
        }
        self.sent.extend_from_slice(bytes);
    }

    fn wait(&mut self) -> ControlFlow<()> {
        match self.chunks.pop_front() {
            Some(bytes) => self.coming.extend(bytes),
            None => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

struct Calls(u64);

impl Counter for Calls {
    fn now(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// What a board with the default model sends back.
fn served(chunks: Vec<Vec<u8>>, later: Option<Later>) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DEFAULT_MODEL);
    let file = fs::read(path).unwrap();
    // Aligned as in flash.
    let mut flash = vec![0; file.len() + 64];
    let start = flash.as_ptr().align_offset(64);
    flash[start..start + file.len()].copy_from_slice(&file);
    let model = &flash[start..start + file.len()];
    let image = Image::new(model).unwrap();
    let plan = Plan::new(image.config(), image.limits()).unwrap();
    let mut arena = vec![0_u8; plan.arena_bytes + 16];
    let start = arena.as_ptr().align_offset(16);
    let mut wire = Wire {
        coming: VecDeque::new(),
        chunks: chunks.into(),
        later,
        pieces: 0,
        decoder: Decoder::new(),
        sent: Vec::new(),
    };
    let site = Site {
        board: "test",
        model,
        context_tokens: image.limits().context,
        team: &Solo,
        counts_per_second: 0,
        stack_used_bytes: || 0,
    };
    let device = RefCell::new(Scripted::new());
    assert!(device.borrow_mut().script("temp=21.5"));
    let arena = &mut arena[start..start + plan.arena_bytes];
    serve(&site, arena, &mut ServeMemory::new(), &device, &mut wire, &mut Calls(0)).unwrap();
    wire.sent
}

/// The answer to one message.
#[derive(Debug, Default)]
struct Reply {
    text: String,
    calls: Vec<(String, String)>,
    verdict: Option<(String, u32, u32)>,
    tools: usize,
    stages: Vec<(String, u64)>,
    last: Option<Last>,
}

fn messages<'t>(messages: impl IntoIterator<Item = Message<'t>>) -> Vec<Vec<u8>> {
    messages.into_iter().zip(1..).map(|(message, number)| frame(number, &message)).collect()
}

/// The answers to the messages of the first `count` numbers.
fn replies(sent: &[u8], count: usize) -> Vec<Reply> {
    let mut replies: Vec<Reply> = (0..count).map(|_| Reply::default()).collect();
    let mut decoder = Decoder::new();
    for &byte in sent {
        let Some(Heard::Frame(frame)) = decoder.push(byte) else { continue };
        let Some(reply) = replies.get_mut(frame.header.number as usize - 1) else { continue };
        match postcard::from_bytes(frame.body).unwrap() {
            Answer::Piece(Piece::Text(text) | Piece::Result { inserted: text, .. }) => reply.text += text,
            Answer::Piece(Piece::Call { name, arguments }) => {
                reply.calls.push((name.into(), arguments.into()))
            }
            Answer::Piece(Piece::Verdict { answer, votes, chains }) => {
                reply.verdict = Some((answer.into(), votes, chains));
            }
            Answer::Piece(Piece::Tool(_)) => reply.tools += 1,
            Answer::Piece(Piece::Stage { name, writing, .. }) => reply.stages.push((name.into(), writing)),
            Answer::Piece(_) => {}
            Answer::Last(last) => assert_eq!(reply.last.replace(last), None, "a second end"),
        }
    }
    replies
}

fn ask(text: &str) -> Message<'_> {
    Message::Ask { text, how: How::DEFAULT }
}

fn done(reply: &Reply) -> Done {
    match reply.last {
        Some(Last::Done(done)) => done,
        ref other => panic!("{other:?}: {reply:?}"),
    }
}

fn totals(reply: &Reply) -> Totals {
    match reply.last {
        Some(Last::Totals(totals)) => totals,
        ref other => panic!("{other:?}"),
    }
}

const WARM: &str = "How warm is it in the kitchen?";

#[test]
fn questions_calls_statistics_reset_and_bench() {
    let script = [
        Message::Info,
        Message::Tools,
        Message::Sensors { lines: "temp,kitchen=23.4\nhumidity=40" },
        ask(WARM),
        ask(WARM),
        Message::Totals,
        Message::Reset,
        Message::Totals,
        ask(WARM),
        Message::Bench,
        Message::Totals,
        ask("What is 17 times 23?"),
    ];
    let replies = replies(&served(messages(script), None), script.len());
    assert!(replies[1].tools >= 4);
    assert_eq!([0, 1, 2, 6].map(|index: usize| replies[index].last), [Some(Last::Ok); 4]);
    assert_eq!(replies[3].calls, [("read".into(), "temp, kitchen".into())]);
    assert!(replies[3].text.contains("=> 23.4"), "{:?}", replies[3]);
    let (first, second, so_far) = (done(&replies[3]), done(&replies[4]), totals(&replies[5]));
    assert_eq!((so_far.turns, so_far.calls), (2, first.calls + second.calls));
    assert_eq!(so_far.written_tokens, first.written_tokens + second.written_tokens);
    assert!(so_far.position > 0 && so_far.logits_hash != 0);
    // Each question is one of its own.
    assert_eq!((&replies[4].text, second.read_tokens), (&replies[3].text, first.read_tokens));
    assert!(first.reading > 0 && first.writing > 0 && first.calling > 0);
    let anew = totals(&replies[7]);
    assert_eq!((anew.turns, anew.position, anew.read_tokens), (0, 0, 0));
    // The beginning of a conversation is the same every time.
    assert_eq!((&replies[8].text, done(&replies[8]).read_tokens), (&replies[3].text, first.read_tokens));
    check_bench(&replies[9]);
    assert_eq!(totals(&replies[10]).turns, 0);
    assert_eq!(replies[11].calls, [("".into(), "17*23".into())]);
    assert!(replies[11].text.contains("391"), "{:?}", replies[11]);
}

/// What was measured with a counter of its own readings.
fn check_bench(reply: &Reply) {
    let Some(Last::Bench(bench)) = reply.last else { panic!("{reply:?}") };
    let tokens = bench.read_tokens;
    assert!(tokens > 0 && bench.reading > 0 && bench.written_tokens == tokens && bench.writing > 0);
    let tokens = u64::from(tokens);
    assert!(bench.written_products > 100_000 * tokens, "{bench:?}");
    // A token written reads the layers and the head, a chunk of tokens the layers once for all, and logits are the last
    // one's.
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DEFAULT_MODEL);
    let file_bytes = fs::metadata(path).unwrap().len();
    assert!((file_bytes / 2..file_bytes).contains(&(bench.written_bytes / tokens)), "{bench:?}");
    assert!(bench.read_bytes * 4 < bench.written_bytes, "{bench:?}");
    let layers = reply.stages.iter().find(|(name, _)| name == "attention").map_or(0, |(_, count)| *count);
    let expected = [
        ("embedding", 1),
        ("norm", 2 * layers + 1),
        ("qkv", layers),
        ("attention", layers),
        ("output", layers),
        ("feed-forward", layers),
        ("head", 1),
        ("sampling", 1),
    ];
    assert!(layers > 0);
    assert_eq!(reply.stages, expected.map(|(name, count)| (name.into(), count)));
}

#[test]
fn a_measurement_that_is_cancelled_says_what_it_has() {
    let both = [frame(1, &Message::Bench), frame(2, &Message::Cancel)].concat();
    let [bench, cancelled] = &replies(&served(vec![both], None), 2)[..] else { panic!() };
    let Some(Last::Bench(measured)) = bench.last else { panic!("{bench:?}") };
    assert_eq!((measured.written_tokens, bench.stages.len()), (1, 0), "{bench:?}");
    assert_eq!(cancelled.last, Some(Last::Ok));
}

#[test]
fn an_answer_is_cancelled_between_tokens_and_the_conversation_goes_on() {
    let story = "Tell me a story about a dog.";
    let whole = replies(&served(messages([ask(story)]), None), 1).remove(0);
    let cancel = frame(77, &Message::Cancel);
    let more = frame(2, &ask("What is 17 times 23?"));
    let sent = served(messages([ask(story)]), Some((5, [cancel, more].concat())));
    // The second question came while the first was worked on.
    let [cancelled, refused] = &replies(&sent, 2)[..] else { panic!() };
    assert_eq!(done(cancelled).stop, Stop::Cancelled);
    assert!(
        whole.text.starts_with(&cancelled.text) && cancelled.text.len() < whole.text.len(),
        "{cancelled:?}"
    );
    assert_eq!(refused.last, Some(Last::Refused(Refusal::Busy)));
}

#[test]
fn chains_vote_and_the_winner_stays_in_the_conversation() {
    let how = How { votes: 5, seed: 3, ..How::DEFAULT };
    let script =
        [Message::Ask { text: "What is 17 times 23?", how }, Message::Totals, ask("What is 2 plus 2?")];
    let replies = replies(&served(messages(script), None), script.len());
    let (answer, votes, chains) = replies[0].verdict.clone().unwrap();
    assert_eq!(chains, 5);
    assert!((1..=5).contains(&votes) && replies[0].text.contains(&answer), "{:?}", replies[0]);
    assert_eq!(totals(&replies[1]).turns, 1);
    done(&replies[2]);
    let too_many = How { votes: 9, ..how };
    let replies = self::replies(&served(messages([Message::Ask { text: "a", how: too_many }]), None), 1);
    assert!(matches!(replies[0].last, Some(Last::Refused(_))), "{replies:?}");
}

#[test]
fn conversations_outlive_their_context() {
    let how = How { history: true, ..How::DEFAULT };
    let turn = Message::Ask { text: WARM, how };
    let script: Vec<_> = (0..20).map(|_| turn).chain([Message::Totals, ask(WARM), Message::Totals]).collect();
    let replies = replies(&served(messages(script.iter().copied()), None), script.len());
    replies[..20].iter().for_each(|reply| _ = done(reply));
    let totals = totals(&replies[20]);
    assert!(totals.turns == 20 && totals.dropped_turns > 0, "{totals:?}");
    assert!(totals.read_tokens + totals.written_tokens > totals.context_tokens, "{totals:?}");
    // And end with a question that wants nothing of them.
    let (first, alone) = (done(&replies[0]), done(&replies[21]));
    assert_eq!((&replies[21].text, alone.read_tokens), (&replies[0].text, first.read_tokens));
    let after = self::totals(&replies[22]);
    assert!(after.turns == 21 && after.position < totals.position, "{after:?}");
}

#[test]
fn a_person_is_answered_on_the_same_wire() {
    let sent = served(vec![b"What is 17 times 23?\r".to_vec(), b"/stats\r".to_vec()], None);
    let said = String::from_utf8(sent).unwrap();
    assert!(said.starts_with("> What is 17 times 23?\r\n"), "{said:?}");
    assert!(said.contains("<<17*23=391>>"), "{said:?}");
    assert!(said.contains("turns 1, context "), "{said:?}");
}

#[test]
fn the_application_answers_what_noise_spares_once() {
    const MESSAGES: u32 = 600;
    let (mut random, mut sent) = (SplitMix(8), BTreeMap::new());
    let how = How { max_tokens: 2, ..How::DEFAULT };
    let chunks: Vec<Vec<u8>> = (1..=MESSAGES)
        .map(|number| {
            let message = match random.below(8) {
                0 => Message::Info,
                1 => Message::Reset,
                2 => Message::Totals,
                3 => Message::Sensors { lines: "temp=20" },
                4 => Message::Cancel,
                _ => Message::Ask { text: WARM, how },
            };
            let bytes = frame(number, &message);
            sent.insert(bytes[1..bytes.len() - 1].to_vec(), number);
            noisy(&bytes, &mut random)
        })
        .collect();
    let stream = chunks.concat();
    let arrived: BTreeSet<u32> = segments(&stream).filter_map(|segment| sent.get(segment)).copied().collect();
    assert!((300..590).contains(&arrived.len()), "{} arrived", arrived.len());
    let replies = replies(&served(chunks, None), MESSAGES as usize);
    let answered =
        replies.iter().zip(1..).filter(|(reply, _)| reply.last.is_some()).map(|(_, number)| number);
    assert_eq!(answered.collect::<BTreeSet<u32>>(), arrived);
    // Nothing went wrong in any of them.
    let failed = Some(Last::Refused(Refusal::Failed));
    assert!(replies.iter().all(|reply| reply.last != failed));
    assert!(replies.iter().filter(|reply| matches!(reply.last, Some(Last::Done(_)))).count() > 100);
}
