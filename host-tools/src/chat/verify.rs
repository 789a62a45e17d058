//! Holding the small form to the template: random conversations, the same text from both.
//!
//! The conversations are drawn from a fixed stream, so a template compiles or does not, whoever tries.

use std::fmt;

use anyhow::Result;
use sprat_format::chat::Role;

use super::form::{Form, text_of};
use super::{Message, Renderer};

/// Conversations that are compared.
const CONVERSATIONS: usize = 300;
/// The most messages of one.
const MOST_MESSAGES: u64 = 9;
/// Contents that templates are known to stumble on: nothing, white space, Jinja's and markup's signs, quotes.
const CONTENTS: [&str; 16] = [
    "",
    " ",
    "\n",
    "Hello",
    "two words",
    "  led by spaces",
    "ending in spaces  ",
    "\n\nlines\n\n",
    "\t\u{A0}mixed \u{3000}\n",
    "{{ braces }} {% if x %}",
    "{# none #} {",
    "<b>&amp;</b> \"quoted\" 'single'",
    "a\r\nb",
    "ünï 😀 東京",
    "None",
    "\\n %s $1",
];

/// Those of them, at the beginning, that are nothing or white space.
const BLANK: usize = 3;

/// A conversation that came out differently.
#[derive(Clone, Debug)]
pub(super) struct Mismatch {
    messages: Vec<Message>,
    add_generation_prompt: bool,
    template: String,
    form: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<_> = self
            .messages
            .iter()
            .map(|message| format!("{} {:?}", message.role.name(), message.content))
            .collect();
        write!(
            f,
            "it is more than texts between messages: with the messages {}{} it gives {:?}, such texts {:?}",
            messages.join(", "),
            if self.add_generation_prompt { " and an answer to open" } else { "" },
            self.template,
            self.form.as_deref().unwrap_or_default()
        )
    }
}

/// Numbers that are random enough (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// Compares conversations that end in an answer to open, or that are finished, with blank messages among them or not.
/// The inner error is the shortest found.
///
/// # Errors
/// The form makes no section.
pub(super) fn verify(
    renderer: &Renderer,
    form: &Form,
    add_generation_prompt: bool,
    blank: bool,
) -> Result<std::result::Result<(), Mismatch>> {
    let section = form.section()?;
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut shortest: Option<Mismatch> = None;
    let ends = if add_generation_prompt { &form.open } else { &form.close };
    for _ in 0..CONVERSATIONS {
        let messages = conversation(form, &mut random, ends, blank);
        let Some(last) = messages.last() else { continue };
        if ends[last.role as usize].is_none() {
            continue;
        }
        let template = match renderer.render(&messages, add_generation_prompt) {
            Ok(text) => text,
            Err(error) => format!("an error: {error:#}"),
        };
        let found = text_of(&section, &messages, add_generation_prompt);
        let longer = shortest.as_ref().is_some_and(|shortest| shortest.messages.len() <= messages.len());
        if found.as_ref() != Some(&template) && !longer {
            shortest = Some(Mismatch { messages, add_generation_prompt, template, form: found });
        }
    }
    Ok(shortest.map_or(Ok(()), Err))
}

/// A conversation that the form allows, which ends where `ends` has a text unless it becomes too long.
fn conversation(form: &Form, random: &mut Random, ends: &[Option<String>; 4], blank: bool) -> Vec<Message> {
    let wanted = 1 + random.below(MOST_MESSAGES) as usize;
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let last = messages.last().map(|message| message.role);
        let can_end = last.is_some_and(|last| ends[last as usize].is_some() && last != Role::System);
        if messages.len() >= wanted && can_end || messages.len() > 2 * MOST_MESSAGES as usize {
            return messages;
        }
        let next: Vec<_> = form.next(last).collect();
        if next.is_empty() {
            return messages;
        }
        let role = next[random.below(next.len() as u64) as usize];
        let contents = if blank { &CONTENTS[..] } else { &CONTENTS[BLANK..] };
        let content = contents[random.below(contents.len() as u64) as usize].to_owned();
        messages.push(Message { role, content });
    }
}

/// Whether an answer that begins with what was thought is shown to later turns without.
pub(super) fn drops_thoughts(renderer: &Renderer, section: &[u8]) -> bool {
    let said = [(Role::User, "a"), (Role::Assistant, "<think>\nb\n</think>\n\nc"), (Role::User, "d")];
    let messages = said.map(|(role, content)| Message { role, content: content.to_owned() });
    let template = renderer.render(&messages, true).ok();
    template.is_some() && template != text_of(section, &messages, true)
}
