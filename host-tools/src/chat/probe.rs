//! Finding the texts of a template by conversations of marked contents.
//!
//! The marks are words that no template has. From a conversation that ends in a role, each role that may come next is
//! tried; what stands between the last two marks is the text of that pair. A system message may show only together
//! with the message behind it (Llama-2), so one more message is tried where the last does not show.

use anyhow::{Result, bail};
use sprat_format::chat::{Role, Trim};

use super::form::{Form, row, text_of};
use super::{Message, Renderer};

/// Which conversations are compiled. Templates that put a system message or a tool's answer elsewhere than in its turn
/// are compiled without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Everything,
    SystemFirst,
    WithoutTools,
    UserAndAssistant,
}

impl Policy {
    pub const ALL: [Self; 4] =
        [Self::Everything, Self::SystemFirst, Self::WithoutTools, Self::UserAndAssistant];

    fn allows(self, after: Option<Role>, role: Role) -> bool {
        match role {
            Role::System if self != Self::Everything && after.is_some() => false,
            Role::System => self != Self::UserAndAssistant,
            Role::Tool => matches!(self, Self::Everything | Self::SystemFirst),
            Role::User | Role::Assistant => true,
        }
    }

    /// What was left out.
    pub const fn note(self) -> &'static str {
        match self {
            Self::Everything => "the chat template is compiled as a whole",
            Self::SystemFirst => "the chat template is compiled with system messages at the beginning only",
            Self::WithoutTools => "the chat template is compiled without tools, a system message first",
            Self::UserAndAssistant => "the chat template is compiled without system messages and tools",
        }
    }
}

/// A word that no template has.
fn mark(index: usize) -> String {
    format!("qzx{index}xzq")
}

fn marked(roles: &[Role]) -> Vec<Message> {
    let message = |(index, &role)| Message { role, content: mark(index) };
    roles.iter().enumerate().map(message).collect()
}

/// The texts before, between and behind the marks of `count` messages; `None` unless each shows once and in order.
fn split(text: &str, count: usize) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut rest = text;
    for index in 0..count {
        let (before, after) = rest.split_once(&mark(index))?;
        parts.push(before);
        rest = after;
    }
    parts.push(rest);
    parts.iter().all(|part| !part.contains("xzq")).then_some(parts)
}

/// Finds out what a template does.
///
/// # Errors
/// It shows no message of the user, or none of the assistant, or opens no answer.
pub(super) fn probe(renderer: &Renderer, policy: Policy) -> Result<Form> {
    let mut form = Form::default();
    // A conversation that ends in each role, the first one found; and the roles from which to go on.
    let mut reached: [Option<Vec<Role>>; 4] = Default::default();
    let mut open = vec![Vec::new()];
    let mut refusal = None;
    while let Some(roles) = open.pop() {
        let after = roles.last().copied();
        for role in Role::ALL.into_iter().filter(|&role| policy.allows(after, role)) {
            let longer = [&roles[..], &[role]].concat();
            match text_before_last(renderer, &longer) {
                Ok(Some(text)) => form.between[row(after)][role as usize] = Some(text),
                Ok(None) => continue,
                Err(error) => {
                    refusal.get_or_insert(error);
                    continue;
                }
            }
            let place = &mut reached[role as usize];
            if place.is_none() {
                *place = Some(longer.clone());
                open.insert(0, longer);
            }
        }
    }
    for role in [Role::User, Role::Assistant] {
        if reached[role as usize].is_none() {
            match refusal {
                Some(error) => bail!("no message of {} is shown: {error:#}", role.name()),
                None => bail!("no message of {} is shown", role.name()),
            }
        }
    }
    for (role, roles) in Role::ALL.into_iter().zip(&reached) {
        let Some(roles) = roles else { continue };
        let tail = |add_generation_prompt| {
            let text = renderer.render(&marked(roles), add_generation_prompt).ok()?;
            Some((*split(&text, roles.len())?.last()?).to_owned())
        };
        // What is answered are messages of the user and of tools.
        form.open[role as usize] = matches!(role, Role::User | Role::Tool).then(|| tail(true)).flatten();
        form.close[role as usize] = tail(false);
        let (before, open) =
            (&form.between[row(Some(role))][Role::Assistant as usize], &form.open[role as usize]);
        form.rewrites |=
            before.as_ref().zip(open.as_ref()).is_some_and(|(before, open)| !before.starts_with(open));
    }
    if form.open[Role::User as usize].is_none() {
        bail!("it opens no answer to a message of user");
    }
    for after in [None].into_iter().chain(Role::ALL.map(Some)) {
        let before = after.map_or(Some(&[][..]), |after| reached[after as usize].as_deref());
        let Some(before) = before else { continue };
        for role in Role::ALL {
            if form.between[row(after)][role as usize].is_some() {
                let roles = [before, &[role]].concat();
                form.trims[row(after)][role as usize] = trim(renderer, &form, &roles)?;
            }
        }
    }
    form.empty_system_is_none = leaves_empty_system_out(renderer);
    Ok(form)
}

/// The text before the last message; `None` if that does not show as it should.
fn text_before_last(renderer: &Renderer, roles: &[Role]) -> Result<Option<String>> {
    let mut refusal = None;
    // An answer may be shown otherwise where it is the last message.
    let follows = match roles.last() {
        Some(Role::Assistant) => [Some(Role::User), None, Some(Role::Assistant)],
        _ => [None, Some(Role::User), Some(Role::Assistant)],
    };
    for next in follows {
        let longer: Vec<_> = roles.iter().copied().chain(next).collect();
        match renderer.render(&marked(&longer), false) {
            Ok(text) => {
                if let Some(parts) = split(&text, longer.len()) {
                    return Ok(Some(parts[roles.len() - 1].to_owned()));
                }
            }
            Err(error) => _ = refusal.get_or_insert(error),
        }
    }
    refusal.map_or(Ok(None), Err)
}

/// What is taken off the ends of the last message; nothing where that is not known, which the comparison will show.
fn trim(renderer: &Renderer, form: &Form, roles: &[Role]) -> Result<Trim> {
    let (last, before) = roles.split_last().map_or((Role::User, &[][..]), |(last, before)| (*last, before));
    let mut messages = marked(roles);
    messages[before.len()].content = "\n \t\n y \n\t y\n \n".to_owned();
    // An answer may be shown otherwise where it is the last message, so another one follows if it may.
    let follows = form.next(Some(last)).find(|&next| next == Role::User && last != Role::User);
    messages.extend(follows.map(|role| Message { role, content: "x".into() }));
    let opens = form.open[messages.last().map_or(last, |message| message.role) as usize].is_some();
    let Ok(expected) = renderer.render(&messages, opens) else { return Ok(Trim::None) };
    for candidate in Trim::ALL {
        let mut tried = form.clone();
        tried.trims[row(before.last().copied())][last as usize] = candidate;
        if text_of(&tried.section()?, &messages, opens).as_ref() == Some(&expected) {
            return Ok(candidate);
        }
    }
    Ok(Trim::None)
}

/// Whether an empty system message is as none.
fn leaves_empty_system_out(renderer: &Renderer) -> bool {
    let user = Message { role: Role::User, content: mark(0) };
    let system = Message { role: Role::System, content: String::new() };
    let without = renderer.render(std::slice::from_ref(&user), true);
    let with = renderer.render(&[system, user], true);
    without.ok().zip(with.ok()).is_some_and(|(without, with)| without == with)
}
