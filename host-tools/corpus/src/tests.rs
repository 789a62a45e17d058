//! The generator held to what it says is held out, and every answer to its question.

use std::collections::{HashMap, HashSet};

use crate::draw::holds_reserved;
use crate::{Chat, Check, Recipe, Role, facts, recipe, sets, wording, words};

fn training(examples: usize) -> Vec<Chat> {
    Recipe { seed: 3, examples, questions: 0 }.training().collect()
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[test]
fn no_reserved_number_is_in_training() {
    for chat in training(20_000) {
        assert!(!holds_reserved(chat.question()), "{chat:?}");
        assert!(!holds_reserved(&chat.answer()), "{chat:?}");
    }
}

#[test]
fn no_held_out_entity_is_in_training() {
    let held_out: HashSet<String> = words::held_out().flat_map(|word| [words::plural(&word), word]).collect();
    for chat in training(20_000) {
        for word in words_of(chat.question()).chain(words_of(&chat.answer())) {
            assert!(!held_out.contains(&word), "{word} in {chat:?}");
        }
    }
}

#[test]
fn no_held_out_wording_is_one_of_training() {
    // Slots of every name are alike, so that a frame is not new because of what fills it.
    let plain = |skeleton: &str| {
        let mut out = String::new();
        let mut within = false;
        for character in skeleton.chars() {
            match character {
                '{' => within = true,
                '}' => {
                    within = false;
                    out.push('*');
                }
                other if !within => out.push(other),
                _ => {}
            }
        }
        out.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches(['.', '?']).to_owned()
    };
    let mut trained: HashMap<String, &str> = HashMap::new();
    for (name, group) in wording::groups() {
        for template in &group.training {
            trained.extend(template.skeletons().iter().map(|skeleton| (plain(skeleton), name)));
        }
    }
    let mut wrong = Vec::new();
    for (name, group) in wording::groups() {
        for skeleton in group.held_out.iter().flat_map(wording::Template::skeletons) {
            if let Some(other) = trained.get(&plain(&skeleton)) {
                wrong.push(format!("{skeleton:?} is held out of {name}, but a wording of {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn held_out_wordings_are_made_of_words_of_training() {
    let mut known = HashSet::new();
    for (_, group) in wording::groups() {
        for skeleton in group.training.iter().flat_map(wording::Template::skeletons) {
            known.extend(words_of(&skeleton.replace("<3", "<")));
        }
    }
    let mut unknown = HashSet::new();
    for (name, group) in wording::groups() {
        for skeleton in group.held_out.iter().flat_map(wording::Template::skeletons) {
            unknown.extend(
                words_of(&skeleton.replace("<3", "<"))
                    .filter(|word| !known.contains(word))
                    .map(|word| (name, word)),
            );
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_set_holds_what_its_name_says() {
    let held_out: Vec<String> = words::held_out().collect();
    for (name, chats) in sets(120) {
        assert_eq!(chats.len(), 120, "{name}");
        for chat in &chats {
            let all = chat.question().to_lowercase() + &chat.answer();
            if name.ends_with("numbers") {
                assert!(holds_reserved(&all), "{name}: {chat:?}");
            } else if name.ends_with("entities") || name.ends_with("places") || name.ends_with("things") {
                assert!(held_out.iter().any(|word| all.contains(word)), "{name}: {chat:?}");
            } else if name.ends_with("as_trained") {
                assert!(!holds_reserved(chat.question()), "{name}: {chat:?}");
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_chats() {
    assert_eq!(training(300), training(300));
    assert_ne!(training(300), Recipe { seed: 4, examples: 300, questions: 0 }.training().collect::<Vec<_>>());
}

#[test]
fn chats_that_go_on_lose_nothing() {
    let apart = training(3_000);
    let together: Vec<Chat> = recipe::joined(3, apart.iter().cloned()).collect();
    let messages = |chats: &[Chat]| chats.iter().flat_map(|chat| chat.messages.clone()).collect::<Vec<_>>();
    assert_eq!(messages(&apart), messages(&together));
    let questions = |chat: &&Chat| chat.messages.iter().filter(|message| message.role == Role::User).count();
    let longer: Vec<_> = together.iter().filter(|chat| questions(chat) > 1).collect();
    assert!(longer.iter().all(|chat| chat.length() <= recipe::LONGEST));
    assert!((200..600).contains(&longer.len()), "{} of 3000 chats go on", longer.len());
}

#[test]
fn the_numbers_of_a_step_are_known_when_it_is_written() {
    // A number of an expression is in the question, comes from an earlier step, or is a unit's.
    const UNITS: [&str; 6] = ["2", "3", "7", "12", "60", "100"];
    let spelled =
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    for chat in training(8_000).iter().filter(|chat| chat.check == Check::Number) {
        let mut known: HashSet<String> = words_of(chat.question()).collect();
        for (index, word) in spelled.iter().enumerate() {
            if known.contains(*word) {
                known.insert((index + 2).to_string());
            }
        }
        known.extend(UNITS.map(Into::into));
        for message in &chat.messages[1..] {
            match message.role {
                Role::Assistant => {
                    let expression = message.content.split("<<").nth(1).unwrap_or("");
                    for number in words_of(expression) {
                        // In "17x23" the sign is a letter.
                        let within = chat.question().contains(&number);
                        assert!(known.contains(&number) || within, "{number} in {chat:?}");
                    }
                }
                _ => known.extend(words_of(&message.content)),
            }
        }
        assert!(known.contains(&chat.expect), "{chat:?}");
    }
}

#[test]
fn texts_are_clean() {
    let all = training(20_000).into_iter().chain(sets(100).into_iter().flat_map(|(_, chats)| chats));
    for chat in all {
        let text = chat.question().to_owned() + "|" + &chat.answer();
        assert!(!text.contains(['{', '}', '@', '~', '_']), "{text}");
        assert!(text.is_ascii(), "{text}");
        assert!(!text.contains("  ") && !text.contains(" and and "), "{text}");
        assert!(chat.question().len() < 480 && chat.answer().len() < 600, "{text}");
    }
}

#[test]
fn no_fact_contradicts_another() {
    let mut known = HashMap::new();
    for fact in facts::all() {
        let other = known.insert((fact.relation, &fact.subject), &fact.object);
        assert_eq!(other, None, "{fact:?}");
    }
    assert!(known.len() > 400);
}

/// Whether each expected text is one of the answer's words.
fn contains(expect: &str, answer: &str) -> bool {
    let words: HashSet<String> = words_of(answer).collect();
    expect.split('|').all(|word| words.contains(word))
}

#[test]
fn story_pairs_are_new_and_other_stories_fail_their_check() {
    let pair = |chat: &Chat| {
        let (hero, thing) = chat.expect.split_once('|').expect("a hero and a thing");
        crate::stories::is_kept(hero, thing)
    };
    let told = training(20_000).into_iter().filter(|chat| chat.skill == "story").collect::<Vec<_>>();
    assert!(told.len() > 300 && !told.iter().any(pair));
    let (_, asked) = sets(100).into_iter().find(|(name, _)| *name == "story_pairs").expect("the set");
    assert!(asked.iter().all(pair));
    let passed = |chat: &Chat, other: &Chat| contains(&chat.expect, &other.answer());
    assert!(asked.iter().all(|chat| passed(chat, chat)));
    // Also a judge that looks for letters rather than words is not deceived.
    let wrong = |chat: &Chat, other: &Chat| chat.expect.split('|').all(|word| other.answer().contains(word));
    let deceived = asked.iter().zip(&told).filter(|(chat, other)| wrong(chat, other)).count();
    assert!(deceived < 5, "{deceived} of 100 stories about something else pass");
}

#[test]
fn most_device_numbers_are_in_a_call() {
    let (_, chats) = sets(200).into_iter().find(|(name, _)| *name == "device_numbers").expect("the set");
    let calls = chats.iter().filter(|chat| holds_reserved(&chat.expect)).count();
    assert!(calls >= 140, "{calls} of 200 calls have a number that training has not");
}

#[test]
fn courtesy_is_around_verbs() {
    let frames =
        ["could you ", "can you ", "would you ", "will you ", "want you to ", "need you to ", "like you to "];
    let verbless = "lamp light lights fan ventilator heater heating pump buzzer alarm humidifier servo motor blind valve door \
        gate window red green blue white yellow relay timer on off it the temperature humidity noise kitchen co2 no";
    let chats = training(30_000).into_iter().chain(sets(200).into_iter().flat_map(|(_, chats)| chats));
    for chat in chats.filter(|chat| chat.skill == "device" || chat.skill == "refuse") {
        let text = chat.question().to_lowercase().replace("please ", "");
        for frame in frames {
            let Some((_, wrapped)) = text.split_once(frame) else { continue };
            let mut words = wrapped.split(' ');
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let verb = first != "light" || matches!(second, "up" | "the");
            assert!(
                !verbless.split_whitespace().any(|word| word == first) || (first == "light" && verb),
                "{chat:?}"
            );
            assert!(verb, "{chat:?}");
        }
    }
}

#[test]
fn a_thing_decides_what_is_refused() {
    let chats = training(30_000);
    let near: Vec<_> = chats.iter().filter(|chat| chat.kind.starts_with("near_")).collect();
    let refused = chats.iter().filter(|chat| chat.skill == "refuse").count();
    assert!(near.len() * 4 > refused, "{} near misses of {refused} refusals", near.len());
    let good: HashSet<&str> =
        chats.iter().filter(|chat| chat.skill == "device").map(Chat::question).collect();
    for chat in chats.iter().filter(|chat| chat.check == Check::Refusal) {
        assert!(!good.contains(chat.question()), "both served and refused: {chat:?}");
    }
}
