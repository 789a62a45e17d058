//! Turns of a conversation: what ends an answer, what changes the choice, what a full context does.

use super::models::{END, assistant, noise};
use super::*;

/// One answer of the noise model.
fn noise_answer(options: Options<'_>, sampler: Sampler) -> (End, Heard) {
    with_engine(noise(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        let mut session = Session::new(engine, sampler, &mut memory, Memory::SMALL, options).unwrap();
        session.say(Role::User, "hello").unwrap();
        let mut heard = Heard::default();
        let end = session.answer(&mut Tools::none(), |event| heard.hear(event)).unwrap();
        (end, heard)
    })
}

/// Never an end token.
const GO_ON: [(u32, f32); 1] = [(END, f32::NEG_INFINITY)];

#[test]
fn an_answer_ends_at_its_limit_or_at_the_first_stop_text() {
    let free = Options { max_tokens: 60, bias: &GO_ON, ..Options::DEFAULT };
    let (end, heard) = noise_answer(free, random(3));
    assert_eq!((end, heard.tokens.len()), (End::Limit, 60));
    // Some text in the middle; it may stand further ahead, too.
    let characters: Vec<_> = heard.text.char_indices().collect();
    let (from, to) = (characters[characters.len() / 2].0, characters[characters.len() / 2 + 4].0);
    let stop = &heard.text[from..to];
    let (end, stopped) = noise_answer(Options { stops: &["never to be seen", stop], ..free }, random(3));
    assert_eq!(end, End::StopText);
    assert_eq!(stopped.text, heard.text[..heard.text.find(stop).unwrap()]);
    let stops = ["x"; 9];
    with_engine(noise(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        let options = Options { stops: &stops, ..Options::DEFAULT };
        let error = Session::new(engine, greedy(), &mut memory, Memory::SMALL, options).err();
        assert_eq!(error, Some(SessionError::Stops { found: 9, most: 8 }));
    });
}

#[test]
fn masks_and_bias_choose_the_tokens() {
    // The ten digits of the default tokenizer.
    let mut digits = [0u32; 832 / 32];
    (26..36).for_each(|token| digits[token / 32] |= 1 << (token % 32));
    let options = Options { max_tokens: 50, allowed: Some(&digits), ..Options::DEFAULT };
    let (end, heard) = noise_answer(options, random(1));
    assert_eq!(end, End::Limit);
    assert!(heard.text.len() == 50 && heard.text.bytes().all(|byte| byte.is_ascii_digit()), "{}", heard.text);
    let options = Options { bias: &[(31, 100.0), (32, 100.0), (32, -200.0)], ..options };
    assert_eq!(noise_answer(options, random(1)).1.text, "5".repeat(50));
}

#[test]
fn a_caller_can_cancel_and_go_on() {
    with_engine(noise(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        let options = Options { bias: &GO_ON, ..Options::DEFAULT };
        let mut session = Session::new(engine, random(2), &mut memory, Memory::SMALL, options).unwrap();
        session.say(Role::User, "hello").unwrap();
        let mut tokens = 0;
        let end = session.answer(&mut Tools::none(), |event| {
            tokens += usize::from(matches!(event, Event::Token(_)));
            if tokens == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((end, tokens), (Ok(End::Cancelled), 5));
        session.say(Role::User, "go on").unwrap();
        session.options_mut().max_tokens = 3;
        assert_eq!(session.answer(&mut Tools::none(), |_| ControlFlow::Continue(())), Ok(End::Limit));
        assert_eq!(session.statistics().written_tokens, 8);
    });
}

#[test]
fn a_conversation_that_begins_anew_keeps_what_is_pinned_and_nothing_else() {
    let (france, japan) = ("What is the capital of France?", "What is the capital of Japan?");
    for pinned in [None, Some("Here is a question.")] {
        with_engine(&assistant(), |engine| {
            let mut memory = [0; Memory::SMALL.bytes()];
            let options = Options { max_tokens: 20, ..Options::DEFAULT };
            let mut session = Session::new(engine, greedy(), &mut memory, Memory::SMALL, options).unwrap();
            if let Some(text) = pinned {
                session.say(Role::User, text).unwrap();
                session.say(Role::Assistant, "Ask it.").unwrap();
                session.pin().unwrap();
            }
            let kept = session.engine().position();
            assert_eq!(kept > 0, pinned.is_some());
            let answer = |session: &mut Session<'_, '_, '_, '_, '_>| {
                session.say(Role::User, france).unwrap();
                let mut heard = Heard::default();
                session.answer(&mut Tools::none(), |event| heard.hear(event)).unwrap();
                (session.engine().position(), heard.tokens)
            };
            let first = answer(&mut session);
            assert!(answer(&mut session).0 > first.0);
            // A message that was not read yet is forgotten, too.
            session.say(Role::User, japan).unwrap();
            session.begin_anew().unwrap();
            assert_eq!(session.engine().position(), kept);
            assert_eq!(answer(&mut session), first);
            assert!(session.statistics().written_tokens > 2 * first.1.len() as u32);
        });
    }
}

#[test]
fn a_mark_gives_the_same_chance_again() {
    with_engine(&assistant(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        let options = Options { max_tokens: 30, ..Options::DEFAULT };
        let mut session = Session::new(engine, random(7), &mut memory, Memory::SMALL, options).unwrap();
        session.say(Role::User, "A story about a fox, please.").unwrap();
        let mark = session.mark().unwrap();
        let answer = |session: &mut Session<'_, '_, '_, '_, '_>| {
            let mut heard = Heard::default();
            session.answer(&mut Tools::none(), |event| heard.hear(event)).unwrap();
            heard.tokens
        };
        let first = answer(&mut session);
        session.rewind(&mark, random(7)).unwrap();
        let again = answer(&mut session);
        session.rewind(&mark, random(8)).unwrap();
        let other = answer(&mut session);
        assert_eq!(first, again);
        assert_ne!(first, other);
    });
    // And an answer behind a mark is the one that would have been given without it.
    let plain = |marks: bool| {
        with_engine(&assistant(), |engine| {
            let mut memory = [0; Memory::SMALL.bytes()];
            let mut session =
                Session::new(engine, greedy(), &mut memory, Memory::SMALL, Options::DEFAULT).unwrap();
            session.say(Role::User, "What is the capital of France?").unwrap();
            if marks {
                let mark = session.mark().unwrap();
                session.rewind(&mark, greedy()).unwrap();
            }
            let mut heard = Heard::default();
            session.answer(&mut Tools::none(), |event| heard.hear(event)).unwrap();
            heard.text
        })
    };
    assert_eq!(plain(true), "The capital of France is Paris.");
    assert_eq!(plain(false), plain(true));
}

const ROOMY: Memory = Memory { message_bytes: 256, call_bytes: 64, result_bytes: 32, history_bytes: 2048 };

#[test]
fn a_full_context_refuses_or_drops_the_oldest_turns() {
    let talk = |when_full, turns: usize| {
        with_engine(noise(), |engine| {
            let mut memory = vec![0; ROOMY.bytes()];
            let options = Options { max_tokens: 20, bias: &GO_ON, when_full, ..Options::DEFAULT };
            let mut session = Session::new(engine, random(4), &mut memory, ROOMY, options).unwrap();
            for turn in 0..turns {
                session.say(Role::User, &format!("question number {turn}"))?;
                match session.answer(&mut Tools::none(), |_| ControlFlow::Continue(()))? {
                    End::Limit => {}
                    end => return Ok((turn, end, *session.statistics())),
                }
                assert!(session.engine().position() <= 256);
            }
            Ok::<_, SessionError>((turns, End::Limit, *session.statistics()))
        })
    };
    let refused = talk(WhenFull::Refuse, 40);
    match refused {
        Ok((turn, end, statistics)) => {
            assert!(turn < 12 && end == End::ContextFull, "{turn} {end:?}");
            assert_eq!(statistics.dropped_turns, 0);
        }
        Err(error) => assert!(matches!(error, SessionError::Engine(_)), "{error}"),
    }
    let (turns, _, statistics) = talk(WhenFull::DropOldestTurn, 40).unwrap();
    assert_eq!((turns, statistics.written_tokens), (40, 800));
    assert!(statistics.dropped_turns >= 20 && statistics.reread_tokens > 1000, "{statistics:?}");
}

#[test]
fn a_context_that_slides_has_no_end() {
    with_engine(noise(), |engine| {
        engine.slide(4, 32).unwrap();
        let mut memory = vec![0; ROOMY.bytes()];
        let options = Options { max_tokens: 20, bias: &GO_ON, ..Options::DEFAULT };
        let mut session = Session::new(engine, random(4), &mut memory, ROOMY, options).unwrap();
        session.say(Role::User, "question").unwrap();
        let mark = session.mark().unwrap();
        for turn in 0..40 {
            let end = session.answer(&mut Tools::none(), |_| ControlFlow::Continue(())).unwrap();
            assert_eq!(end, End::Limit);
            assert!(session.engine().position() <= 256);
            session.say(Role::User, &format!("question number {turn}")).unwrap();
            if turn == 0 {
                session.rewind(&mark, random(5)).unwrap();
            }
        }
        let statistics = *session.statistics();
        assert_eq!((statistics.written_tokens, statistics.dropped_turns), (800, 0));
        let dropped = session.engine().dropped();
        assert!(dropped > 500 && dropped.is_multiple_of(32), "{dropped} tokens were dropped");
        // What was before the mark is not there any more, however far the conversation has come again.
        assert_eq!(session.rewind(&mark, random(5)), Err(SessionError::Forgotten));
    });
}

#[test]
fn what_stays_is_what_a_new_conversation_would_have_read() {
    // The default model's answers depend on what it has read.
    let question = |turn: usize| match turn % 2 {
        0 => format!("What is {} * {}?", turn + 20, turn + 3),
        _ => "What is the capital of France?".to_owned(),
    };
    let answer = |session: &mut Session<'_, '_, '_, '_, '_>| {
        let (mut calculator, mut heard) = (Calculator::new(), Heard::default());
        let mut tools = Tools::none().with_calculator(&mut calculator);
        session.answer(&mut tools, |event| heard.hear(event)).unwrap();
        (heard.text, session.engine().position())
    };
    with_engine(&assistant(), |engine| {
        let (mut answers, mut dropped_before, mut memory) = (Vec::new(), 0, vec![0; ROOMY.bytes()]);
        let options = Options { when_full: WhenFull::DropOldestTurn, ..Options::DEFAULT };
        let mut session = Session::new(engine, greedy(), &mut memory, ROOMY, options).unwrap();
        // Until an answer was begun and ended after turns were dropped.
        loop {
            session.say(Role::User, &question(answers.len())).unwrap();
            answers.push(answer(&mut session));
            let dropped = session.statistics().dropped_turns;
            if dropped > 0 && dropped == dropped_before {
                break;
            }
            dropped_before = dropped;
            assert!(answers.len() < 40);
        }
        engine.truncate(0);
        // The turns that stayed, said anew.
        let mut session = Session::new(engine, greedy(), &mut memory, ROOMY, Options::DEFAULT).unwrap();
        let last = answers.len() - 1;
        for turn in dropped_before as usize..last {
            session.say(Role::User, &question(turn)).unwrap();
            session.say(Role::Assistant, &answers[turn].0).unwrap();
        }
        session.say(Role::User, &question(last)).unwrap();
        assert_eq!(answer(&mut session), answers[last]);
    });
}

#[test]
fn what_does_not_fit_at_all_begins_anew_behind_what_is_pinned() {
    with_engine(noise(), |engine| {
        let mut memory = vec![0; ROOMY.bytes()];
        let options =
            Options { max_tokens: 4, bias: &GO_ON, when_full: WhenFull::DropOldestTurn, ..Options::DEFAULT };
        let mut session = Session::new(engine, random(5), &mut memory, ROOMY, options).unwrap();
        session.say(Role::User, &"an example ".repeat(4)).unwrap();
        session.say(Role::Assistant, "an answer").unwrap();
        session.pin().unwrap();
        let pinned = session.engine().position();
        assert!(pinned > 4);
        session.say(Role::User, "a turn").unwrap();
        session.answer(&mut Tools::none(), |_| ControlFlow::Continue(())).unwrap();
        // Characters without a token of their own: a token a byte.
        session.say(Role::User, &"\u{1F980}".repeat(60)).unwrap();
        let error = session.answer(&mut Tools::none(), |_| ControlFlow::Continue(()));
        assert!(matches!(error, Err(SessionError::Engine(_))), "{error:?}");
        assert_eq!(session.engine().position(), pinned);
        session.say(Role::User, "short").unwrap();
        assert_eq!(session.answer(&mut Tools::none(), |_| ControlFlow::Continue(())), Ok(End::Limit));
    });
}

#[test]
fn a_refused_message_changes_nothing() {
    with_engine(&assistant(), |engine| {
        let mut memory = [0; Memory::SMALL.bytes()];
        let mut session =
            Session::new(engine, greedy(), &mut memory, Memory::SMALL, Options::DEFAULT).unwrap();
        assert!(matches!(session.say(Role::User, &"long ".repeat(200)), Err(SessionError::Chat(_))));
        assert!(matches!(
            session.answer(&mut Tools::none(), |_| ControlFlow::Continue(())),
            Err(SessionError::Chat(_))
        ));
        session.say(Role::User, "What is the capital of France?").unwrap();
        let mut heard = Heard::default();
        session.answer(&mut Tools::none(), |event| heard.hear(event)).unwrap();
        assert_eq!(heard.text, "The capital of France is Paris.");
    });
}
