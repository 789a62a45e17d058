//! How much of what, and the files it goes to.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::chat::Tested;
use crate::{Chat, Draw, Split, arithmetic, copying, device, facts, refusals, stories};

/// What a chat trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skill {
    /// Word problems and calculations.
    Arithmetic,
    /// Requests to the device.
    Device,
    /// Questions about facts.
    Fact,
    /// Requests to refuse.
    Refusal,
    /// Words to copy.
    Copying,
    /// Stories.
    Story,
}

impl Skill {
    /// A chat of this skill.
    pub fn chat(self, draw: &mut Draw) -> Chat {
        match self {
            Self::Arithmetic => arithmetic::chat(draw),
            Self::Device => device::chat(draw),
            Self::Fact => facts::chat(draw),
            Self::Refusal => refusals::chat(draw),
            Self::Copying => copying::chat(draw),
            Self::Story => stories::chat(draw),
        }
    }
}

/// Chats of each skill in a thousand. An arithmetic chat has about three times the tokens of a fact.
const SHARES: &[(Skill, usize)] = &[
    (Skill::Arithmetic, 400),
    (Skill::Fact, 180),
    (Skill::Device, 220),
    (Skill::Refusal, 80),
    (Skill::Copying, 90),
    (Skill::Story, 30),
];

/// Chats of a hundred that another one follows on the same line, as long as all of it has at most [`LONGEST`] bytes.
const GOES_ON: usize = 18;
pub(crate) const LONGEST: usize = 480;

/// How a corpus is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// The same seed gives the same corpus.
    pub seed: u64,
    /// Chats to train on.
    pub examples: usize,
    /// Questions in each held-out set.
    pub questions: usize,
}

impl Recipe {
    /// The chats to train on.
    pub fn training(self) -> impl Iterator<Item = Chat> {
        let mut draw = Draw::new(self.seed, 0, Split::Train);
        (0..self.examples).map(move |_| draw.weighted(SHARES).chat(&mut draw))
    }
}

/// Some chats go on as the next one. What a person asks has mostly nothing to do with what was asked before, and the
/// model is to see that. The messages are the same as without, in the same order.
pub(crate) fn joined(seed: u64, mut chats: impl Iterator<Item = Chat>) -> impl Iterator<Item = Chat> {
    let mut draw = Draw::new(seed, u64::MAX, Split::Train);
    let mut next = None;
    std::iter::from_fn(move || {
        let mut chat = next.take().or_else(|| chats.next())?;
        while draw.chance(GOES_ON) {
            let Some(other) = chats.next() else { break };
            if chat.length() + other.length() > LONGEST {
                next = Some(other);
                break;
            }
            chat.messages.extend(other.messages);
        }
        Some(chat)
    })
}

/// The held-out sets: the name and the questions of each.
///
/// `…_as_trained` are new questions of the kind that training has; the others are described in the crate's
/// documentation. The seed of training is no part of it: the sets stay the same when the corpus grows.
pub fn sets(questions: usize) -> Vec<(&'static str, Vec<Chat>)> {
    let plans = [
        ("arith_as_trained", Skill::Arithmetic, Split::Train),
        ("arith_numbers", Skill::Arithmetic, Split::Numbers),
        ("arith_entities", Skill::Arithmetic, Split::Entities),
        ("arith_frames", Skill::Arithmetic, Split::Frames),
        ("device_as_trained", Skill::Device, Split::Train),
        ("device_numbers", Skill::Device, Split::Numbers),
        ("device_places", Skill::Device, Split::Entities),
        ("device_frames", Skill::Device, Split::Frames),
        ("facts_as_trained", Skill::Fact, Split::Train),
        ("facts_frames", Skill::Fact, Split::Frames),
        ("refuse_as_trained", Skill::Refusal, Split::Train),
        ("refuse_things", Skill::Refusal, Split::Entities),
        ("refuse_frames", Skill::Refusal, Split::Frames),
        ("copy_as_trained", Skill::Copying, Split::Train),
        ("copy_frames", Skill::Copying, Split::Frames),
        ("story_pairs", Skill::Story, Split::Entities),
    ];
    let sets = plans.into_iter().enumerate().map(|(index, (name, skill, split))| {
        let mut draw = Draw::new(0x5e75, 1 + index as u64, split);
        if skill == Skill::Fact {
            // Every fact as often as every other.
            let facts = facts::all();
            let count = questions.max(facts.len().min(questions));
            return (
                name,
                (0..count).map(|at| facts::about(&mut draw, &facts[at * 7 % facts.len()])).collect(),
            );
        }
        (name, (0..questions).map(|_| skill.chat(&mut draw)).collect())
    });
    sets.collect()
}

/// Writes `train.jsonl` and the held-out sets of a recipe into a folder, which is made where it is missing.
///
/// # Errors
/// A file cannot be written.
pub fn write(recipe: Recipe, folder: &Path) -> Result<()> {
    let held_out = folder.join("held-out");
    std::fs::create_dir_all(&held_out)
        .with_context(|| format!("cannot make the folder {}", held_out.display()))?;
    write_lines(&folder.join("train.jsonl"), joined(recipe.seed, recipe.training()))?;
    for (name, chats) in sets(recipe.questions) {
        let tested = chats.iter().map(|chat| Tested::new(chat, name));
        write_lines(&held_out.join(format!("{name}.jsonl")), tested)?;
    }
    Ok(())
}

/// A line of JSON for each item, in a file that appears when it is whole.
fn write_lines<T: serde::Serialize>(path: &Path, items: impl Iterator<Item = T>) -> Result<()> {
    let about = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = BufWriter::new(NamedTempFile::new_in(folder).with_context(about)?);
    for item in items {
        serde_json::to_writer(&mut file, &item).with_context(about)?;
        file.write_all(b"\n").with_context(about)?;
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(about)?;
    file.persist(path).with_context(about)?;
    Ok(())
}
