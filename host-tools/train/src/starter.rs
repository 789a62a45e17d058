//! A corpus to begin with: the commands of a device, with comments, for a person to change.
//!
//! It is written by combining words, so that every thing meets every place, and some combinations are held out. The
//! person gets the chats and not this code: a corpus is changed by editing lines.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::export::WriteFile;

const README: &str = include_str!("starter/README.md");

const PLACES: [&str; 8] = ["kitchen", "hall", "bedroom", "bathroom", "office", "garage", "cellar", "garden"];
const THINGS: [&str; 5] = ["lamp", "fan", "heater", "radio", "pump"];
/// What is read, how it is asked for, how it is told.
const SENSORS: [(&str, [&str; 4], &str); 2] = [
    (
        "temp",
        [
            "How warm is it in the PLACE?",
            "What is the temperature in the PLACE?",
            "Tell me the temperature of the PLACE.",
            "Is it warm in the PLACE?",
        ],
        "It is VALUE degrees in the PLACE.",
    ),
    (
        "humidity",
        [
            "How humid is it in the PLACE?",
            "What is the humidity in the PLACE?",
            "Tell me the humidity of the PLACE.",
            "Is the air in the PLACE dry?",
        ],
        "The humidity in the PLACE is VALUE percent.",
    ),
];
const SWITCHING: [&str; 7] = [
    "Switch STATE the THING in the PLACE.",
    "Switch the THING in the PLACE STATE.",
    "Turn STATE the PLACE THING.",
    "Turn the THING in the PLACE STATE, please.",
    "Please switch STATE the THING in the PLACE.",
    "Can you turn the PLACE THING STATE?",
    "THING in the PLACE STATE",
];
const REFUSED: [&str; 8] = [
    "Tell me a story.",
    "What is the news?",
    "Who won the game?",
    "Order a pizza.",
    "Sing a song.",
    "Call my mother.",
    "What will the weather be tomorrow?",
    "Book a table for two.",
];
const REFUSAL: &str = "I cannot do that. I switch things and read sensors.";

/// A message: whose it is, and its text.
type Line = (&'static str, String);

/// A part of the corpus: its comment and its chats.
struct Section {
    comment: &'static str,
    chats: Vec<Vec<Line>>,
}

/// Writes the folder `directory`: chats, held-out chats, a README.
///
/// # Errors
/// Something is there already, or nothing can be written there.
pub fn write(directory: &Path, write: WriteFile<'_>) -> Result<()> {
    let shown = directory.display();
    if directory.exists() {
        bail!("{shown} exists already: give another name");
    }
    let name = directory.file_name().with_context(|| format!("{shown} is not the name of a folder"))?;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {shown}"))?;
    let [chats, held_out] = corpus();
    write(&directory.join("chats.jsonl"), chats.as_bytes())?;
    write(&directory.join("held-out.jsonl"), held_out.as_bytes())?;
    write(&directory.join("README.md"), README.replace("NAME", &name.to_string_lossy()).as_bytes())
}

/// What is learned and what is held out, as files.
fn corpus() -> [String; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut files = [
        "# Chats to learn from, one a line. README.md says how to make them yours.\n".to_owned(),
        "# Chats to measure on: combinations of words that chats.jsonl does not have.\n".to_owned(),
    ];
    for Section { comment, mut chats } in [switching(), reading(&mut random), refusing(), talking()] {
        // Small sections are learned whole.
        let held_out = if chats.len() > 20 { chats.len() / 10 } else { 0 };
        chats.shuffle(&mut random);
        let (held_out, learned) = chats.split_at(held_out);
        for (file, chats) in files.iter_mut().zip([learned, held_out]) {
            if chats.is_empty() {
                continue;
            }
            // Writing to a string cannot fail.
            _ = writeln!(file, "\n# {comment}");
            for chat in chats {
                let message = |(role, content): &Line| json!({ "role": role, "content": content });
                let messages: Vec<_> = chat.iter().map(message).collect();
                _ = writeln!(file, "{}", json!({ "messages": messages }));
            }
        }
    }
    files
}

fn switching() -> Section {
    let mut chats = Vec::new();
    for place in PLACES {
        for thing in THINGS {
            for state in ["on", "off"] {
                for frame in SWITCHING {
                    let fill = |text: &str| {
                        text.replace("PLACE", place).replace("THING", thing).replace("STATE", state)
                    };
                    chats.push(vec![
                        ("user", capitalized(&fill(frame))),
                        ("assistant", fill("[work]set(PLACE,THING,STATE)[/work]")),
                        ("tool", "=> ok\n".to_owned()),
                        ("assistant", fill("The THING in the PLACE is STATE.")),
                    ]);
                }
            }
        }
    }
    Section {
        comment: "Switching: what stands between [work] and [/work] is the call that your program gets.",
        chats,
    }
}

fn reading(random: &mut ChaCha8Rng) -> Section {
    let mut chats = Vec::new();
    for (sensor, questions, answer) in SENSORS {
        for place in PLACES {
            for question in questions {
                let value = format!("{}.{}", random.random_range(10..80), random.random_range(0..10));
                let fill = |text: &str| text.replace("PLACE", place).replace("VALUE", &value);
                chats.push(vec![
                    ("user", fill(question)),
                    ("assistant", format!("[work]read({sensor},{place})[/work]")),
                    ("tool", format!("=> {value}\n")),
                    ("assistant", fill(answer)),
                ]);
            }
        }
    }
    Section {
        comment: "Reading: the tool answers with the value, and the model repeats it. Give many different values.",
        chats,
    }
}

fn refusing() -> Section {
    let chat = |question: &&str| vec![("user", (*question).to_owned()), ("assistant", REFUSAL.to_owned())];
    Section {
        comment: "What the device cannot do. Without these it will switch something whatever it is asked.",
        chats: REFUSED.iter().map(chat).collect(),
    }
}

fn talking() -> Section {
    let greeting = "Hello. Ask me to switch something or to read a sensor.";
    let chats = [
        ("Hello.", greeting),
        ("Hi!", greeting),
        ("Thank you.", "You are welcome."),
        ("Thanks!", "You are welcome."),
    ];
    let chat = |(question, answer): (&str, &str)| {
        vec![("user", question.to_owned()), ("assistant", answer.to_owned())]
    };
    Section { comment: "Small talk.", chats: chats.map(chat).to_vec() }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::chats;

    #[test]
    fn the_folder_is_a_corpus_whose_held_out_chats_are_not_learned() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("my-device");
        let write_file = |path: &Path, bytes: &[u8]| Ok(std::fs::write(path, bytes)?);
        write(&folder, &write_file).unwrap();
        let read = |name: &str| chats::read(&[folder.join(name)]).unwrap();
        let (learned, held_out) = (read("chats.jsonl"), read("held-out.jsonl"));
        assert!(learned.len() > 500 && held_out.len() > 50, "{} {}", learned.len(), held_out.len());
        let questions: HashSet<_> = learned.iter().map(|chat| &chat.messages[0].content).collect();
        assert!(held_out.iter().all(|chat| !questions.contains(&chat.messages[0].content)));
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.contains("sprat train my-device/chats.jsonl") && !readme.contains("NAME"));
        assert!(write(&folder, &write_file).unwrap_err().to_string().contains("exists already"));
    }
}
