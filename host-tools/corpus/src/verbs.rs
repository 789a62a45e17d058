//! Forms of English verbs and nouns, as far as the wordings need them.

/// Verbs whose past is not made by rule.
const IRREGULAR: &[(&str, &str)] = &[
    ("have", "had"),
    ("do", "did"),
    ("give", "gave"),
    ("get", "got"),
    ("buy", "bought"),
    ("find", "found"),
    ("make", "made"),
    ("sell", "sold"),
    ("lose", "lost"),
    ("break", "broke"),
    ("throw", "threw"),
    ("take", "took"),
    ("come", "came"),
    ("go", "went"),
    ("send", "sent"),
    ("lend", "lent"),
    ("bring", "brought"),
    ("put", "put"),
    ("hold", "held"),
    ("keep", "kept"),
    ("begin", "began"),
    ("see", "saw"),
    ("know", "knew"),
    ("stand", "stood"),
    ("lie", "lay"),
    ("steal", "stole"),
    ("leave", "left"),
    ("spend", "spent"),
    ("build", "built"),
    ("draw", "drew"),
    ("grow", "grew"),
    ("catch", "caught"),
    ("pay", "paid"),
    ("read", "read"),
    ("write", "wrote"),
    ("let", "let"),
    ("win", "won"),
    ("fall", "fell"),
    ("drop", "dropped"),
    ("grab", "grabbed"),
    ("ship", "shipped"),
    ("sleep", "slept"),
    ("spin", "spun"),
    ("stop", "stopped"),
    ("split", "split"),
    ("run", "ran"),
];

/// Who a verb speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// I.
    Me,
    /// We, they, or several things.
    Several,
    /// One other.
    One,
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tense {
    /// Now.
    Present,
    /// Before.
    Past,
}

/// The form of a verb.
pub fn inflect(verb: &str, person: Person, tense: Tense) -> String {
    match (verb, person, tense) {
        ("be", Person::Me, Tense::Present) => "am".into(),
        ("be", Person::Several, Tense::Present) => "are".into(),
        ("be", Person::One, Tense::Present) => "is".into(),
        ("be", Person::Several, Tense::Past) => "were".into(),
        ("be", _, Tense::Past) => "was".into(),
        ("have", Person::One, Tense::Present) => "has".into(),
        (_, Person::One, Tense::Present) => with_s(verb),
        (_, _, Tense::Present) => verb.into(),
        (_, _, Tense::Past) => past(verb),
    }
}

fn past(verb: &str) -> String {
    if let Some((_, past)) = IRREGULAR.iter().find(|(base, _)| *base == verb) {
        return (*past).into();
    }
    match verb.as_bytes() {
        [.., b'e'] => format!("{verb}d"),
        [.., before, b'y'] if !b"aeou".contains(before) => format!("{}ied", &verb[..verb.len() - 1]),
        _ => format!("{verb}ed"),
    }
}

/// A noun with the s of the plural, or a verb with that of the third person.
pub fn with_s(word: &str) -> String {
    match word.as_bytes() {
        [.., b's' | b'x' | b'z'] | [.., b's' | b'c', b'h'] => format!("{word}es"),
        [.., b'g', b'o'] | [.., b'd', b'o'] | [.., b't', b'o'] => format!("{word}es"),
        [.., before, b'y'] if !b"aeou".contains(before) => format!("{}ies", &word[..word.len() - 1]),
        [.., b'l', b'f'] => format!("{}ves", &word[..word.len() - 1]),
        _ => format!("{word}s"),
    }
}

/// A word with its indefinite article.
pub fn with_article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}
