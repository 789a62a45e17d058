//! Wordings: sentence patterns with choices and slots, read from the text files in `wordings/`.
//!
//! | notation | meaning |
//! | --- | --- |
//! | `== name` | begins a group |
//! | a line | one wording of the group |
//! | `~` at the line's beginning | the wording is held out of training |
//! | `[a\|b\|]` | one of several texts, each of which may hold choices and slots |
//! | `{slot}` | filled by the one who renders |
//! | `<verb>` | the verb in the form that the subject `{A}` and the tense need, `<one\|other>` one of several; `<3verb>` for one other person, `<verb@p>` for several |
//! | `@@ note` at the line's end | a note that is no part of the text |
//! | `#` at the line's beginning | a comment |

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Draw;

/// One wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// What stands after `@@`.
    pub note: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(String),
    Verb(String),
    Choice(Vec<Vec<Part>>),
}

/// The wordings of one meaning.
#[derive(Debug, Default)]
pub struct Group {
    /// Those that training has.
    pub training: Vec<Template>,
    /// Those that it never has.
    pub held_out: Vec<Template>,
}

static GROUPS: LazyLock<HashMap<&'static str, Group>> = LazyLock::new(|| {
    let mut groups = HashMap::new();
    for file in [
        include_str!("../wordings/arith.txt"),
        include_str!("../wordings/money.txt"),
        include_str!("../wordings/facts.txt"),
        include_str!("../wordings/device.txt"),
        include_str!("../wordings/other.txt"),
    ] {
        read(file, &mut groups);
    }
    groups
});

fn read(file: &'static str, groups: &mut HashMap<&'static str, Group>) {
    let mut name = "";
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(new) = line.strip_prefix("== ") {
            name = new;
            continue;
        }
        let (line, note) = line.split_once(" @@ ").unwrap_or((line, ""));
        let group = groups.entry(name).or_default();
        match line.strip_prefix('~') {
            Some(line) => group.held_out.push(Template::parse(line, note)),
            None => group.training.push(Template::parse(line, note)),
        }
    }
}

/// The group of a name.
///
/// # Panics
/// No file has it.
pub fn group(name: &str) -> &'static Group {
    GROUPS.get(name).unwrap_or_else(|| panic!("no wordings are called {name}"))
}

/// All groups, by name.
pub fn groups() -> impl Iterator<Item = (&'static str, &'static Group)> {
    GROUPS.iter().map(|(name, group)| (*name, group))
}

impl Template {
    fn parse(line: &str, note: &'static str) -> Self {
        let mut rest = line;
        let parts = parse(&mut rest, false);
        assert!(rest.is_empty(), "an unmatched bracket in the wording {line:?}");
        Self { parts, note }
    }

    /// The text, with choices drawn; `fill` is given each slot, and each verb (with `true`) as it is written.
    pub fn render(&self, draw: &mut Draw, fill: &mut dyn FnMut(&str, bool) -> String) -> String {
        let mut out = String::new();
        render(&self.parts, draw, fill, &mut out);
        out
    }

    /// Every text that the choices allow, with slots and verbs as they are written.
    pub fn skeletons(&self) -> Vec<String> {
        skeletons(&self.parts)
    }
}

/// Reads up to the end, or within a choice up to `|` or `]`.
fn parse(rest: &mut &str, within: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    while let Some(first) = rest.chars().next() {
        if within && (first == '|' || first == ']') {
            break;
        }
        *rest = &rest[first.len_utf8()..];
        let part = match first {
            '{' => Part::Slot(until(rest, '}')),
            '<' => verbs(&until(rest, '>')),
            '[' => Part::Choice(parse_choices(rest)),
            other => {
                text.push(other);
                continue;
            }
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(part);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

fn parse_choices(rest: &mut &str) -> Vec<Vec<Part>> {
    let mut choices = Vec::new();
    loop {
        choices.push(parse(rest, true));
        let end = rest.starts_with(']');
        assert!(!rest.is_empty(), "a choice without its end");
        *rest = &rest[1..];
        if end {
            return choices;
        }
    }
}

/// One verb, or the choice between several.
fn verbs(names: &str) -> Part {
    let mut verbs: Vec<Vec<Part>> = names.split('|').map(|name| vec![Part::Verb(name.to_owned())]).collect();
    match verbs.pop().and_then(|mut only| {
        if verbs.is_empty() {
            only.pop()
        } else {
            verbs.push(only);
            None
        }
    }) {
        Some(only) => only,
        None => Part::Choice(verbs),
    }
}

fn until(rest: &mut &str, end: char) -> String {
    let (name, after) = rest.split_once(end).unwrap_or_else(|| panic!("a slot without its {end}: {rest}"));
    *rest = after;
    name.to_owned()
}

fn render(parts: &[Part], draw: &mut Draw, fill: &mut dyn FnMut(&str, bool) -> String, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Slot(name) => out.push_str(&fill(name, false)),
            Part::Verb(name) => out.push_str(&fill(name, true)),
            Part::Choice(choices) => {
                let chosen = draw.below(choices.len());
                render(&choices[chosen], draw, fill, out);
            }
        }
    }
}

fn skeletons(parts: &[Part]) -> Vec<String> {
    let mut all = vec![String::new()];
    for part in parts {
        let ways = match part {
            Part::Text(text) => vec![text.clone()],
            Part::Slot(name) => vec![format!("{{{name}}}")],
            Part::Verb(name) => vec![format!("<{name}>")],
            Part::Choice(choices) => choices.iter().flat_map(|choice| skeletons(choice)).collect(),
        };
        all = all.iter().flat_map(|before| ways.iter().map(move |way| format!("{before}{way}"))).collect();
    }
    all
}
