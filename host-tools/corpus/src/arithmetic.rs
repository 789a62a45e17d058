//! Word problems and calculations, with their steps.
//!
//! Each step has a one-word label, which says what it is for before it is written: a plan that costs a token.

mod compare;
mod direct;
mod events;
mod measures;

use crate::chat::{Chat, Check, Role};
use crate::draw::holds_reserved;
use crate::{Draw, Scene, Split, words};

/// The largest number that a problem may hold.
const LARGEST: u64 = 9999;

/// A question and its steps.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The family of the problem.
    pub kind: &'static str,
    /// The question.
    pub question: String,
    /// Label, expression and value of each step; the last value is the answer.
    pub steps: Vec<Step>,
}

/// One calculation.
#[derive(Debug, Clone)]
pub struct Step {
    label: &'static str,
    expression: String,
    value: String,
}

impl Step {
    /// A step with a whole number as its value.
    pub fn new(label: &'static str, expression: String, value: u64) -> Self {
        Self { label, expression, value: value.to_string() }
    }
}

type Family = fn(&mut Draw) -> Option<Problem>;

const FAMILIES: &[(Family, usize)] = &[
    (events::chain, 34),
    (compare::people, 17),
    (compare::parts, 11),
    (measures::purchase, 13),
    (measures::rates, 10),
    (measures::units, 8),
    (direct::calculation, 11),
];

/// A problem of any family.
pub fn chat(draw: &mut Draw) -> Chat {
    loop {
        draw.begin();
        let family = draw.weighted(FAMILIES);
        let Some(problem) = family(draw) else { continue };
        if problem.steps.iter().any(|step| step.value.parse::<u64>().is_ok_and(|value| value > LARGEST)) {
            continue;
        }
        let question =
            if draw.split() == Split::Train { styled(draw, &problem.question) } else { problem.question };
        let chat = written(problem.kind, question, &problem.steps);
        let fits = match draw.split() {
            Split::Numbers => holds_reserved(chat.question()),
            Split::Frames => draw.has_held_out_wording() && !holds_reserved(chat.question()),
            Split::Entities => {
                crate::words::held_out().any(|word| chat.question().to_lowercase().contains(&word))
            }
            Split::Train => !holds_reserved(chat.question()) && !holds_reserved(&chat.answer()),
        };
        if fits && chat.question().len() < 420 {
            return chat;
        }
    }
}

/// The chat: `all: <<4*12=` | `48>>` | ` left: <<48-5=` | `43>>` | ` \n#### 43`.
fn written(kind: &'static str, question: String, steps: &[Step]) -> Chat {
    let answer = steps.last().map_or("", |step| &step.value);
    let mut chat = Chat::asked("arith", kind, question, Check::Number, answer.into());
    for (index, step) in steps.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        chat.push(Role::Assistant, format!("{space}{}: <<{}=", step.label, step.expression));
        chat.push(Role::Tool, format!("{}>>", step.value));
    }
    chat.push(Role::Assistant, format!(" \n#### {answer}"));
    chat
}

/// The small ways in which people write differently.
fn styled(draw: &mut Draw, question: &str) -> String {
    let mut text = question.to_owned();
    if draw.chance(10) {
        let mut scene = Scene::new(draw, true);
        let preface = scene.say(draw, "preface");
        text = words::sentences(&format!("{preface} {text}"));
    }
    if draw.chance(8) {
        text = text.to_lowercase();
    }
    if draw.chance(6) {
        text = text.trim_end_matches(['.', '?']).to_owned();
    }
    if draw.chance(2) {
        text = mistyped(draw, &text);
    }
    text
}

/// Two neighbouring letters of one long word change places.
fn mistyped(draw: &mut Draw, text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(Into::into).collect();
    let chosen = draw.below(words.len());
    let word = &mut words[chosen];
    if word.len() > 4 && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        let at = 1 + draw.below(word.len() - 2);
        let mut bytes = word.clone().into_bytes();
        bytes.swap(at, at + 1);
        *word = String::from_utf8_lossy(&bytes).into_owned();
    }
    words.join(" ")
}

/// A number as it is written in a question: now and then a small one in letters.
fn spelled(draw: &mut Draw, number: u64) -> String {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    match usize::try_from(number).ok().and_then(|index| WORDS.get(index)) {
        Some(word) if number > 1 && draw.chance(5) => (*word).into(),
        _ => number.to_string(),
    }
}

/// How large the numbers of a problem are.
fn size(draw: &mut Draw) -> u64 {
    draw.weighted(&[(12, 10), (20, 12), (30, 14), (50, 16), (99, 30), (300, 10), (999, 8)])
}
