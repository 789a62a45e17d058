//! Templates in Jinja, run as Hugging Face's `apply_chat_template` runs them.
//!
//! The same settings (blocks are trimmed), the same globals (`raise_exception`, `strftime_now`, special tokens by name),
//! Python's methods of strings and dictionaries. What a template may compute is bounded: it comes with a file that
//! somebody downloaded.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use sprat_format::chat::Role;

/// Steps that a rendering may take.
const FUEL: u64 = 2_000_000;
/// The date of templates that insist on one: a device has no clock, and a packed file can be reproduced.
const FIXED_DATE: &str = "2024-07-26";
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Special tokens by the names that templates know them by, such as `bos_token`.
pub type TemplateTokens = BTreeMap<String, String>;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A template ready to be rendered.
pub struct Renderer {
    environment: Environment<'static>,
    tokens: TemplateTokens,
    uses_fixed_date: bool,
}

impl Renderer {
    /// Parses a template. With a date (`YYYY-MM-DD`) the template gets it; without one it is left to its own default,
    /// and only one that has none gets a fixed date.
    ///
    /// # Errors
    /// It is not Jinja, or the date is none.
    pub fn new(jinja: &str, tokens: &TemplateTokens, date: Option<&str>) -> Result<Self> {
        let given = date.map(Date::parse).transpose()?;
        let mut renderer = Self::with_date(jinja, tokens, given)?;
        if given.is_none() && renderer.misses_clock() {
            renderer = Self::with_date(jinja, tokens, Some(Date::parse(FIXED_DATE)?))?;
            renderer.uses_fixed_date = true;
        }
        Ok(renderer)
    }

    fn with_date(jinja: &str, tokens: &TemplateTokens, date: Option<Date>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        if let Some(date) = date {
            environment.add_function("strftime_now", move |format: String| date.format(&format));
            environment.add_global("date_string", date.format("%d %b %Y"));
        }
        environment.add_template_owned("chat", without_generation_tags(jinja)).context("it is not Jinja")?;
        Ok(Self { environment, tokens: tokens.clone(), uses_fixed_date: false })
    }

    /// Whether the template calls for the time and fails without.
    fn misses_clock(&self) -> bool {
        let one = [Message { role: Role::User, content: "x".into() }];
        self.render(&one, true).is_err_and(|error| format!("{error:#}").contains("strftime_now"))
    }

    /// What a person should know.
    pub fn notes(&self) -> impl Iterator<Item = &'static str> {
        self.uses_fixed_date
            .then_some(
                "the chat template shows today's date, which is fixed as 2024-07-26 (--chat-date YYYY-MM-DD)",
            )
            .into_iter()
    }

    /// The text of a conversation.
    ///
    /// # Errors
    /// What the template raises: it refuses the conversation, or does what is not supported.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let message = |message: &Message| {
            Value::from_pairs([("role", message.role.name()), ("content", &message.content)])
        };
        let messages: Vec<_> = messages.iter().map(message).collect();
        let values = [
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        let tokens = self.tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
        let values = Value::from_pairs(values.into_iter().chain(tokens));
        let text = self.environment.get_template("chat")?.render(values);
        text.map_err(|error| anyhow::anyhow!("{}", error.to_string().replace(" (in chat:", " (in line ")))
    }
}

/// Transformers marks an answer's tokens by `{% generation %}`; the text is the same without.
fn without_generation_tags(jinja: &str) -> String {
    let mut out = String::with_capacity(jinja.len());
    let mut rest = jinja;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        let Some(end) = tag.find("%}") else { break };
        let (tag, after) = tag.split_at(end);
        let word = tag[2..].trim_matches(|c: char| c.is_whitespace() || c == '-');
        out += before;
        out += &match word {
            "generation" => tag.replace(word, "if true"),
            "endgeneration" => tag.replace(word, "endif"),
            _ => tag.to_owned(),
        };
        rest = after;
    }
    out + rest
}

#[derive(Clone, Copy)]
struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    fn parse(text: &str) -> Result<Self> {
        let parts: Vec<u32> = text.split('-').map_while(|part| part.parse().ok()).collect();
        match parts[..] {
            [year, month @ 1..=12, day @ 1..=31] if text.len() == 10 => Ok(Self { year, month, day }),
            _ => bail!("the date is {text:?}, expected YYYY-MM-DD"),
        }
    }

    /// The fields that templates use: day, month by number or name, year.
    fn format(self, format: &str) -> String {
        let name = MONTHS[self.month as usize - 1];
        format
            .replace("%d", &format!("{:02}", self.day))
            .replace("%m", &format!("{:02}", self.month))
            .replace("%B", name)
            .replace("%b", &name[..3])
            .replace("%Y", &self.year.to_string())
    }
}
