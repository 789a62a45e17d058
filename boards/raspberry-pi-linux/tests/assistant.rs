//! The assistant as a library: its answers are those of the runtime on any board, and no question disturbs another.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use raspberry_pi_linux::{
    AskError, Assistant, Chat, End, Event, Message, OpenError, Options, Piece, Question, Role, SamplerConfig,
    Told,
};
use sprat::session::Memory;
use sprat::{Engine, Image, Kernels, Plan};
use sprat_board_support::protocol::{Ask, Request};

const SENSORS: &str = "temp=21.5";
const QUESTIONS: [&str; 4] = [
    "What is 17 times 23?",
    "What is the temperature?",
    "What is the capital of France?",
    "Tell me a story about a dog.",
];

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/assistant/assistant-q8.sprat")
}

fn options() -> Options {
    // Tests run beside each other: none keeps a core for itself.
    Options { threads: 2, pinned: false, ..Options::default() }
}

fn opened(options: Options) -> Assistant {
    Assistant::open(model(), options, Told(SENSORS.to_owned())).unwrap()
}

/// What the boards' own code answers, which `sprat ask` and every firmware run, on one core.
fn on_a_board(question: &str, seed: u64, temperature: f32) -> (String, u32, u32) {
    let packed = std::fs::read(model()).unwrap();
    let image = Image::new(&packed).unwrap();
    let limits = *image.limits();
    let bytes = Plan::new(image.config(), &limits).unwrap().arena_bytes;
    // Elements of 16 bytes, as the arena begins at a multiple of 16.
    let mut arena = memmap2::MmapMut::map_anon(bytes).unwrap();
    let mut engine = Engine::new(&image, limits, &mut arena, Kernels::detect()).unwrap();
    let greedy = SamplerConfig::greedy();
    let asked = Ask { tools: true, sensors: SENSORS };
    let request = Request {
        prompt: question,
        special: false,
        max_tokens: 256,
        temperature,
        top_k: greedy.top_k,
        top_p: greedy.top_p,
        min_p: greedy.min_p,
        repetition_penalty: greedy.repetition_penalty,
        seed,
        hash_logits: false,
        ask: Some(asked),
    };
    let memory = Memory { message_bytes: 2048, ..sprat_board_support::ask::MEMORY };
    let (mut lent, mut text) = (vec![0; memory.bytes()], String::new());
    let mut on = |event: sprat::session::Event<'_>| match event {
        sprat::session::Event::Text(piece) | sprat::session::Event::Result { inserted: piece, .. } => {
            text += piece;
        }
        _ => {}
    };
    let answer =
        sprat_board_support::ask::ask(&mut engine, &request, &asked, (memory, &mut lent), &mut || 0, &mut on);
    let answer = answer.unwrap();
    (text, answer.prompt_tokens, answer.answer_tokens)
}

#[test]
fn answers_are_those_of_every_board() {
    let assistant = opened(options());
    for question in QUESTIONS {
        let answer = assistant.ask(question).unwrap();
        let took = (answer.text, answer.read_tokens, answer.written_tokens);
        assert_eq!(took, on_a_board(question, 0, 0.0));
    }
    for seed in 0..3 {
        let mut question = Question::from(QUESTIONS[3]);
        (question.seed, question.sampler.temperature) = (seed, 0.9);
        assert_eq!(assistant.ask(question).unwrap().text, on_a_board(QUESTIONS[3], seed, 0.9).0);
    }
    // One pinned thread says the same.
    let alone = opened(Options { threads: 1, ..Options::default() });
    assert_eq!(alone.ask(QUESTIONS[0]).unwrap(), assistant.ask(QUESTIONS[0]).unwrap());
}

#[test]
fn pieces_make_the_answer_and_calls_are_told() {
    let assistant = opened(options());
    let mut answering = assistant.answer(QUESTIONS[0]).unwrap();
    let (mut text, mut calls) = (String::new(), Vec::new());
    for piece in answering.by_ref() {
        match piece {
            Piece::Text(piece) => text += &piece,
            Piece::Call { name, arguments, result } => calls.push((name, arguments, result)),
        }
    }
    let answer = answering.finish().unwrap();
    assert_eq!(answer.text, text);
    assert_eq!((answer.end, answer.calls), (End::EndToken, 1));
    assert_eq!(calls, [(String::new(), "17*23".to_owned(), "391".to_owned())]);
}

#[test]
fn limits_and_stops_end_an_answer() {
    let assistant = opened(options());
    let whole = assistant.ask(QUESTIONS[3]).unwrap();
    let short = assistant.ask(Question { max_tokens: 4, ..QUESTIONS[3].into() }).unwrap();
    assert_eq!((short.end, short.written_tokens), (End::Limit, 4));
    assert!(whole.text.starts_with(&short.text));
    let word = whole.text.split_whitespace().nth(3).unwrap();
    let stopped = assistant.ask(Question { stops: vec![word.to_owned()], ..QUESTIONS[3].into() }).unwrap();
    assert_eq!(stopped.end, End::StopText);
    assert_eq!(stopped.text, whole.text.split_once(word).unwrap().0);
}

#[test]
fn whoever_goes_cancels_and_the_next_is_answered() {
    let assistant = opened(Options { waiting: 1, ..options() });
    let expected = assistant.ask(QUESTIONS[0]).unwrap();
    // One that is being answered for as long as this test wants, and whoever waits.
    let ((begun, has_begun), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel::<()>());
    let (end, ended) = mpsc::channel();
    let on = move |event| {
        match event {
            Event::Begun => {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
            }
            Event::Token => return ControlFlow::Break(()),
            Event::End(answer) => end.send(answer).unwrap(),
            Event::Piece(_) => {}
        }
        ControlFlow::Continue(())
    };
    assistant.submit(QUESTIONS[3], on).unwrap();
    has_begun.recv().unwrap();
    let waits = assistant.answer(QUESTIONS[3]).unwrap();
    assert_eq!(assistant.ask(QUESTIONS[0]), Err(AskError::Full { waiting: 1 }));
    drop(waits);
    go_on.send(()).unwrap();
    let cancelled = ended.recv().unwrap().unwrap();
    assert_eq!((cancelled.end, cancelled.written_tokens), (End::Cancelled, 1));
    // There is room again as soon as the one that waited is seen to be gone.
    let next = (0..1000).find_map(|_| match assistant.ask(QUESTIONS[0]) {
        Err(AskError::Full { .. }) => {
            std::thread::sleep(std::time::Duration::from_millis(5));
            None
        }
        answered => Some(answered),
    });
    assert_eq!(next, Some(Ok(expected)));
}

#[test]
fn the_last_handle_ends_what_is_asked() {
    let assistant = opened(options());
    let (begun, has_begun) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let on = move |event| {
        match event {
            Event::Begun => begun.send(()).unwrap(),
            Event::End(answer) => _ = end.send(answer),
            Event::Token | Event::Piece(_) => {}
        }
        ControlFlow::Continue(())
    };
    assistant.submit(QUESTIONS[3], on).unwrap();
    let waits = assistant.answer(QUESTIONS[0]).unwrap();
    has_begun.recv().unwrap();
    drop(assistant);
    // Neither is told of an end any more; both are let go.
    assert!(ended.recv().is_err());
    assert_eq!(waits.finish(), Err(AskError::Stopped));
}

#[test]
fn what_does_not_fit_is_said_with_numbers_and_loses_nothing() {
    let assistant = opened(options());
    let expected = assistant.ask(QUESTIONS[0]);
    let long = "word ".repeat(300);
    let Err(AskError::TooLong { need, have: 256 }) = assistant.ask(&*long) else { panic!() };
    assert!(need > 256, "{need}");
    let longer = "word ".repeat(3000);
    let Err(AskError::TooManyBytes { need, have }) = assistant.ask(&*longer) else { panic!() };
    assert!(need >= longer.len() && have < need, "{need} {have}");
    // Together they are too long, and none alone.
    let turns = [(Role::User, "word ".repeat(60)), (Role::Assistant, "Yes.".to_owned())];
    let turns = turns.iter().map(|(role, text)| Message::new(*role, &**text)).cycle().take(7);
    let Err(AskError::TooLong { need, .. }) = assistant.ask(Question::new(turns.collect())) else { panic!() };
    assert!(need > 256, "{need}");
    let refused = assistant.ask(Question::new(vec![Message::new(Role::Assistant, "Hello.")]));
    assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
    assert!(matches!(assistant.ask(Question::new(Vec::new())), Err(AskError::Refused(_))));
    assert_eq!(assistant.ask(QUESTIONS[0]), expected);
}

#[test]
fn a_chat_remembers_and_forgets_its_oldest_turns() {
    let assistant = opened(options());
    let mut chat = Chat::new(&assistant);
    let first = chat.say(QUESTIONS[0]).unwrap();
    assert_eq!(first, assistant.ask(QUESTIONS[0]).unwrap());
    assert_eq!(
        chat.messages(),
        [Message::new(Role::User, QUESTIONS[0]), Message::new(Role::Assistant, first.text)]
    );
    let second = chat.say(QUESTIONS[2]).unwrap();
    assert!(second.read_tokens > assistant.ask(QUESTIONS[2]).unwrap().read_tokens);
    for _ in 0..8 {
        chat.say(&"word ".repeat(40)).unwrap();
        assert!(chat.messages().len().is_multiple_of(2));
    }
    assert!(chat.messages().len() < 20);
    let before = chat.messages().to_vec();
    assert!(matches!(chat.say(&"word ".repeat(300)), Err(AskError::TooLong { .. })));
    assert_eq!(chat.messages(), before);

    // What is pinned stays.
    let example = [Message::new(Role::User, "What is blue?"), Message::new(Role::Assistant, "A color.")];
    let mut chat = Chat::new(&assistant).with(Question::new(example.to_vec()));
    for _ in 0..6 {
        chat.say(&"word ".repeat(40)).unwrap();
        assert_eq!(chat.messages()[..2], example);
    }
    assert!(chat.messages().len() < 14);
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path, options| Assistant::open(path, options, Told::default()).unwrap_err();
    let missing = folder.path().join("missing.sprat");
    assert!(matches!(open(&missing, options()), OpenError::Read { .. }));
    assert!(matches!(open(folder.path(), options()), OpenError::Read { .. }));
    let empty = folder.path().join("empty.sprat");
    std::fs::write(&empty, []).unwrap();
    assert!(open(&empty, options()).to_string().contains("empty (0 bytes)"));
    let damaged = folder.path().join("damaged.sprat");
    let mut bytes = std::fs::read(model()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();
    assert!(matches!(open(&damaged, options()), OpenError::Model { .. }));
    let too_much = Options { context: Some(1 << 20), ..options() };
    assert!(matches!(open(&model(), too_much), OpenError::Plan(_)));
    assert!(matches!(open(&model(), Options { threads: 0, ..options() }), OpenError::Threads(_)));
}
