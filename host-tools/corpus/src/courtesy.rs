//! Words of courtesy around a request, as its form allows.
//!
//! "Could you" suits "turn the lamp on", but not "lamp on"; who learns from the latter learns wrong English.

use crate::Draw;

/// Words that begin a request, so that "could you" suits it.
const VERBS: &str = "activate adjust answer begin blink blow book bring buy call catch change check clean close color \
    cook copy count create cut deactivate delete dim disable display do draw drive enable end feed find fix flash flip \
    get give go have heat help install keep kill let lift lock look lower make measure move open order paint pay play \
    point post power print pull push put raise read record remember remind repair report ring rotate run save say \
    search see send set share shine show shut sing spin start stop switch take tell throw time translate turn unlock use \
    wait wake walk warm wash write";

/// Whether a request begins with a verb, as "turn the lamp on" does and "lamp on" does not.
pub fn begins_with_verb(text: &str) -> bool {
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        // "Light up" and "light the led", but not "light in the kitchen".
        (Some("light"), Some("up" | "the")) => true,
        // A thing's name, as in "call on".
        (Some(_), Some("on" | "off")) if text.split_whitespace().count() == 2 => false,
        // "Do my homework", but not "do you know".
        (Some("do"), Some("you" | "we" | "I" | "the")) => false,
        (Some(first), _) => VERBS.split_whitespace().any(|verb| verb == first),
        _ => false,
    }
}

/// A request within words of courtesy that suit its form.
pub fn framed(draw: &mut Draw, text: &str) -> String {
    let text = text.trim();
    let first = text.split_whitespace().next().unwrap_or_default();
    let group = if begins_with_verb(text) {
        "polite"
    } else if text.ends_with('?') {
        "greeted"
    } else if matches!(
        first,
        "I" | "I'd" | "we" | "it" | "the" | "there" | "my" | "do" | "in" | "on" | "after" | "when"
    ) {
        "stated"
    } else {
        "terse"
    };
    let framed = draw.phrase(group, &|_| text.to_owned());
    // A request may bring its own courtesy.
    let framed = framed.replace("please, please", "please").replace("please please", "please");
    framed.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with "an" for "a" before a vowel, for words that were put into a wording after its article.
pub fn articles(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let next = words.iter().skip(1).map(Some).chain([None]);
    words
        .iter()
        .zip(next)
        .map(|(word, next)| {
            let vowel = next.is_some_and(|next| next.starts_with(['a', 'e', 'i', 'o', 'u']));
            if *word == "a" && vowel { "an" } else { word }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
