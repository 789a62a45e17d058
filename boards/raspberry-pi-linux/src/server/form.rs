//! A request for a completion, as OpenAI's clients write it, and what of it can be done.
//!
//! What would change the answer and is not there is refused by name; what only describes the caller is passed over.

use std::hash::{BuildHasher as _, RandomState};

use serde::Deserialize;
use serde_json::Value;
use sprat::SamplerConfig;
use sprat::chat::Role;
use sprat::session::MOST_STOPS;

use super::failure::Failure;
use crate::question::{Message, Question};

/// Texts that end an answer, beside the one of the model's template.
const MOST_STOP_TEXTS: usize = MOST_STOPS - 1;
/// What OpenAI's clients may ask for.
const MOST_TEMPERATURE: f32 = 2.0;

/// The body of a request.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    model: Option<String>,
    messages: Vec<Said>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    n: Option<u64>,
    stop: Option<Stops>,
    // What cannot be done.
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    logprobs: Option<bool>,
    logit_bias: Option<Value>,
    response_format: Option<Value>,
    tools: Option<Value>,
    functions: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Said {
    role: String,
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stops {
    One(String),
    Several(Vec<String>),
}

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    /// Whether the answer is wanted piece by piece.
    pub(super) streams: bool,
    /// Whether the last piece is to say what it took.
    pub(super) with_usage: bool,
}

impl ChatRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(body).map_err(|error| {
            Failure::invalid(None, format!("the body is no request for a completion in JSON: {error}"))
        })
    }

    /// What is asked for, of the model that there is.
    pub(super) fn checked(self, served: &str) -> Result<Asked, Failure> {
        self.refuse_unknown()?;
        if let Some(model) = self.model.as_deref().filter(|&model| model != served) {
            return Err(Failure::no_model(model, served));
        }
        if self.messages.is_empty() {
            return Err(Failure::invalid(
                Some("messages"),
                "there are no messages, 1 was expected".to_owned(),
            ));
        }
        let between = |name, found: Option<f32>, low: f32, high: f32| match found {
            Some(value) if !(low..=high).contains(&value) => {
                Err(Failure::invalid(Some(name), format!("{name} is {value}, {low} to {high} was expected")))
            }
            found => Ok(found),
        };
        let temperature = between("temperature", self.temperature, 0.0, MOST_TEMPERATURE)?.unwrap_or(0.0);
        let top_p = between("top_p", self.top_p, 0.0, 1.0)?.unwrap_or(1.0);
        let sampler = SamplerConfig { temperature, top_p, ..SamplerConfig::greedy() };
        let most = self.max_completion_tokens.or(self.max_tokens);
        if most == Some(0) {
            return Err(Failure::invalid(
                Some("max_tokens"),
                "max_tokens is 0, 1 or more was expected".to_owned(),
            ));
        }
        let messages = self.messages.into_iter().map(Said::checked).collect::<Result<_, _>>()?;
        let mut question = Question::new(messages);
        if let Some(most) = most {
            question.max_tokens = usize::try_from(most).unwrap_or(usize::MAX);
        }
        question.sampler = sampler;
        // Any number will do where none is given, another one each time.
        question.seed = self.seed.map_or_else(|| RandomState::new().hash_one(0), i64::cast_unsigned);
        question.stops = stops(self.stop)?;
        let with_usage = self.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        Ok(Asked { question, streams: self.stream.unwrap_or(false), with_usage })
    }

    fn refuse_unknown(&self) -> Result<(), Failure> {
        let refuse = |param, message: String| Err(Failure::invalid(Some(param), message));
        if let Some(count) = self.n.filter(|&count| count != 1) {
            return refuse("n", format!("n is {count}; one answer at a time is given, leave it out"));
        }
        let is_something = |value: &Option<Value>| match value {
            None | Some(Value::Null) => false,
            Some(Value::Array(values)) => !values.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(_) => true,
        };
        let is_text = |format: &Value| format.get("type").and_then(Value::as_str) == Some("text");
        for (param, is_wanted) in [
            ("frequency_penalty", self.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
            ("presence_penalty", self.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
            ("logprobs", self.logprobs == Some(true)),
            ("logit_bias", is_something(&self.logit_bias)),
            ("response_format", self.response_format.as_ref().is_some_and(|format| !is_text(format))),
            ("tools", is_something(&self.tools)),
            ("functions", is_something(&self.functions)),
        ] {
            if is_wanted {
                return refuse(param, format!("{param} is not supported here: leave it out"));
            }
        }
        Ok(())
    }
}

impl Said {
    fn checked(self) -> Result<Message, Failure> {
        let invalid = |message| Failure::invalid(Some("messages"), message);
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            role => {
                let expected = "system, user or assistant was expected";
                return Err(invalid(format!("a message's role is {role:?}; {expected}")));
            }
        };
        let text = match self.content {
            Content::Text(text) => text,
            Content::Parts(parts) => {
                let text = |part: Part| match (part.r#type.as_str(), part.text) {
                    ("text", Some(text)) => Ok(text),
                    (kind, _) => {
                        Err(invalid(format!("a message has content of type {kind:?}; text was expected")))
                    }
                };
                parts.into_iter().map(text).collect::<Result<String, _>>()?
            }
        };
        Ok(Message { role, text })
    }
}

fn stops(stops: Option<Stops>) -> Result<Vec<String>, Failure> {
    let stops = match stops {
        None => return Ok(Vec::new()),
        Some(Stops::One(stop)) => vec![stop],
        Some(Stops::Several(stops)) => stops,
    };
    if stops.len() > MOST_STOP_TEXTS {
        let message = format!("stop has {} texts, at most {MOST_STOP_TEXTS} can be looked for", stops.len());
        return Err(Failure::invalid(Some("stop"), message));
    }
    if stops.iter().any(String::is_empty) {
        let message = "stop has an empty text, which stands everywhere: leave it out".to_owned();
        return Err(Failure::invalid(Some("stop"), message));
    }
    Ok(stops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Asked, String> {
        let checked = ChatRequest::parse(body.as_bytes()).and_then(|request| request.checked("tiny"));
        checked.map_err(|failure| serde_json::to_string(&failure.form()).unwrap())
    }

    fn with(fields: &str) -> Result<Asked, String> {
        parse(&format!(r#"{{"messages": [{{"role": "user", "content": "hello"}}]{fields}}}"#))
    }

    #[test]
    fn what_is_asked_for_is_what_is_done() {
        let Asked { question, streams, with_usage } = parse(
            r#"{"model": "tiny", "user": "somebody", "stream": true, "stream_options": {"include_usage": true},
                "messages": [{"role": "system", "content": "Be short."},
                             {"role": "user", "content": [{"type": "text", "text": "One"},
                                                          {"type": "text", "text": " two"}]},
                             {"role": "assistant", "content": "three"}, {"role": "user", "content": "four"}],
                "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": -1, "n": 1, "stop": ["a", "b"],
                "response_format": {"type": "text"}, "tools": [], "logit_bias": {}, "presence_penalty": 0}"#,
        )
        .unwrap();
        assert!(streams && with_usage);
        assert_eq!(
            question.messages,
            [
                Message::new(Role::System, "Be short."),
                Message::new(Role::User, "One two"),
                Message::new(Role::Assistant, "three"),
                Message::new(Role::User, "four"),
            ]
        );
        assert_eq!((question.max_tokens, question.seed), (7, u64::MAX));
        assert_eq!((question.sampler.temperature, question.sampler.top_p), (0.5, 0.9));
        assert_eq!(question.stops, ["a", "b"]);

        let Asked { question, streams, with_usage } = with("").unwrap();
        assert!(!streams && !with_usage && question.stops.is_empty());
        assert_eq!((question.max_tokens, question.sampler), (256, SamplerConfig::greedy()));
        assert_eq!(with(r#", "stop": "x""#).unwrap().question.stops, ["x"]);
        // The newer name of the limit goes first.
        let both = with(r#", "max_tokens": 9, "max_completion_tokens": 5"#).unwrap();
        assert_eq!(both.question.max_tokens, 5);
        // Without a seed there is another one each time.
        assert_ne!(with("").unwrap().question.seed, with("").unwrap().question.seed);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (fields, param) in [
            (r#", "n": 2"#, "n"),
            (r#", "temperature": 2.5"#, "temperature"),
            (r#", "temperature": -1"#, "temperature"),
            (r#", "top_p": 1.5"#, "top_p"),
            (r#", "max_tokens": 0"#, "max_tokens"),
            (r#", "stop": ["1", "2", "3", "4", "5", "6", "7", "8"]"#, "stop"),
            (r#", "stop": """#, "stop"),
            (r#", "frequency_penalty": 0.5"#, "frequency_penalty"),
            (r#", "logprobs": true"#, "logprobs"),
            (r#", "response_format": {"type": "json_object"}"#, "response_format"),
            (r#", "tools": [{"type": "function"}]"#, "tools"),
            (r#", "model": "other""#, "model"),
        ] {
            let error = with(fields).unwrap_err();
            assert!(error.contains(&format!(r#""param":"{param}""#)), "{fields}: {error}");
        }
    }

    #[test]
    fn messages_that_are_none_are_refused() {
        for (messages, found) in [
            ("[]", "no messages"),
            (r#"[{"role": "tool", "content": "x"}]"#, r#"role is \"tool\""#),
            (r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#, r#"type \"image_url\""#),
            (r#"[{"role": "user"}]"#, "missing field `content`"),
            (r#"[{"role": "user", "content": 3}]"#, "no request for a completion"),
            ("3", "invalid type"),
        ] {
            let error = parse(&format!(r#"{{"messages": {messages}}}"#)).unwrap_err();
            assert!(error.contains(found), "{messages}: {error}");
        }
        for body in ["", "{", "{}", "[]", "\u{0}", r#"{"messages": "#] {
            assert!(parse(body).unwrap_err().contains("no request for a completion"), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).unwrap_err().contains("no request for a completion"));
    }
}
