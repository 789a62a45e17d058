//! Facts, asked in many wordings and answered in one that names the subject.
//!
//! A question is either one of a relation's own, or a carrier ("tell me …") around one of the relation's noun phrases,
//! so that what is learned of a carrier with one relation serves the others.

use std::sync::LazyLock;

use crate::chat::Chat;
use crate::draw::is_reserved;
use crate::words::{capitalized, invent, sentences};
use crate::{Draw, Split};

/// The answer to a question about what is not known.
pub const UNKNOWN: &str = "I do not know that.";

/// What is known of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The name of the relation, which is that of its group of wordings.
    pub relation: &'static str,
    /// Of what.
    pub subject: String,
    /// The value.
    pub object: String,
}

static FACTS: LazyLock<Vec<Fact>> = LazyLock::new(|| {
    let mut facts = Vec::new();
    let mut add = |relation, subject: &str, object: &str| {
        if object != "-" {
            facts.push(Fact { relation, subject: subject.into(), object: object.into() });
        }
    };
    for [country, capital, currency, language, continent] in rows(include_str!("../facts/countries.txt")) {
        add("capital", country, capital);
        add("currency", country, currency);
        add("language", country, language);
        add("continent", country, continent);
        add("country", capital, country);
    }
    for [element, symbol, number] in rows(include_str!("../facts/elements.txt")) {
        add("symbol", element, symbol);
        if number.parse().is_ok_and(|number: u64| !is_reserved(number)) {
            add("number", element, number);
        }
    }
    facts
});

/// The lines of a table; one with another number of columns is a mistake in it.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let columns: Vec<&str> = line.split('|').collect();
        columns.try_into().unwrap_or_else(|_| panic!("not {N} columns in {line:?}"))
    })
}

/// All that is known.
pub fn all() -> &'static [Fact] {
    &FACTS
}

/// A question about one fact, or in one of twenty about what nobody knows.
pub fn chat(draw: &mut Draw) -> Chat {
    if draw.split() == Split::Train && draw.chance(5) {
        let relation =
            draw.choose(&["capital", "currency", "language", "continent", "country", "symbol", "number"]);
        let subject = invent(draw);
        let subject = if matches!(relation, "symbol" | "number") { subject } else { capitalized(&subject) };
        let question = asked(draw, relation, &subject);
        return Chat::plain("fact", "unknown", question, UNKNOWN.into());
    }
    let fact = &FACTS[draw.below(FACTS.len())];
    about(draw, fact)
}

/// A question about a fact.
pub fn about(draw: &mut Draw, fact: &Fact) -> Chat {
    loop {
        draw.begin();
        let question = asked(draw, fact.relation, &fact.subject);
        if draw.split() != Split::Frames || draw.has_held_out_wording() {
            return Chat::plain("fact", fact.relation, question, answered(fact));
        }
    }
}

fn asked(draw: &mut Draw, relation: &'static str, subject: &str) -> String {
    // "The Netherlands", but "Netherlands: capital?" as well.
    let subject =
        if has_article(subject) && draw.chance(80) { format!("the {subject}") } else { subject.to_owned() };
    let text = if draw.chance(55) {
        let phrase = draw.phrase(&format!("{relation}_np"), &|_| subject.clone());
        draw.phrase("carrier", &|_| phrase.clone())
    } else {
        draw.phrase(relation, &|_| subject.clone())
    };
    let text = sentences(&text);
    match draw.below(100) {
        0..10 => text.to_lowercase(),
        10..16 => text.trim_end_matches(['.', '?']).to_owned(),
        _ => text,
    }
}

/// Whether a country's name has an article within a sentence.
fn has_article(country: &str) -> bool {
    matches!(country, "Netherlands" | "United Kingdom" | "United States" | "Philippines")
}

/// The sentence that states a fact.
pub fn answered(fact: &Fact) -> String {
    let Fact { relation, subject, object } = fact;
    let the = if has_article(subject) { "the " } else { "" };
    match *relation {
        "capital" => format!("The capital of {the}{subject} is {object}."),
        "currency" => format!("The currency of {the}{subject} is {object}."),
        "language" => format!("The main language of {the}{subject} is {object}."),
        "continent" => sentences(&format!("{the}{subject} is in {object}.")),
        "country" if has_article(object) => format!("{subject} is the capital of the {object}."),
        "country" => format!("{subject} is the capital of {object}."),
        "symbol" => format!("The symbol of {subject} is {object}."),
        _ => format!("The atomic number of {subject} is {object}."),
    }
}
