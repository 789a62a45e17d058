//! Questions with known answers, from files of JSON lines, and how an answer is judged.
//!
//! A line is a chat as `sprat train` takes it: the first message is the question, the others are the wanted answer. What
//! is judged is said by `check` and `expect`, or else follows from the wanted answer.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::chain::{CallReport, calls_in};
use super::chains::{Said, normalized};

/// How an answer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The number after `####` is the expected one.
    Number,
    /// The first call, without its brackets, is the expected text.
    Call,
    /// The whole answer is the expected text.
    Exact,
    /// The whole answer is the refusal.
    Refusal,
    /// Each of the expected texts, separated by `|`, is in the answer, as one of its words.
    Contains,
}

/// A question and what is expected.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is asked.
    pub question: String,
    /// How an answer is judged.
    pub check: Check,
    /// What is expected.
    pub expect: String,
    /// What sensors read, as [`Ask`](sprat_board_support::protocol::Ask) has it: what the expected call answers.
    pub sensors: String,
}

/// The questions of a file.
#[derive(Clone, Debug)]
pub struct QuestionSet {
    /// The file's name without its ending.
    pub name: String,
    /// Its questions.
    pub questions: Vec<Known>,
}

#[derive(Deserialize)]
struct Line {
    messages: Vec<Message>,
    check: Option<Check>,
    expect: Option<String>,
    result: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl QuestionSet {
    /// Reads at most `most` questions of a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no chat, with its number.
    pub fn read(path: &Path, most: usize) -> Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).take(most);
        let questions: Vec<Known> = lines
            .map(|(number, line)| {
                known(line).with_context(|| {
                    format!(
                        "line {} of {shown} is no question with its answer: expected {{\"messages\": [{{\"role\": \
                         \"user\", \"content\": ...}}, {{\"role\": \"assistant\", ...}}]}}",
                        number + 1
                    )
                })
            })
            .collect::<Result<_>>()?;
        if questions.is_empty() {
            bail!("{shown} has no questions: expected a line of JSON for each");
        }
        let name = path.file_stem().map_or_else(|| shown.to_string(), |stem| stem.to_string_lossy().into());
        Ok(Self { name, questions })
    }
}

fn known(line: &str) -> Result<Known> {
    let line: Line = serde_json::from_str(line)?;
    let [question, answer @ ..] = line.messages.as_slice() else { bail!("it has no messages") };
    let wanted: String = answer.iter().map(|message| message.content.as_str()).collect();
    let calls = calls_in(&wanted);
    let (check, expect) = match (line.check, line.expect, wanted.rsplit_once("####"), calls.first()) {
        (Some(check), Some(expect), ..) => (check, expect),
        _ if wanted.trim().is_empty() => bail!("it has no answer"),
        (.., Some((_, number)), _) => (Check::Number, number.trim().to_owned()),
        (.., Some(call)) if !call.name.is_empty() => (Check::Call, call.written()),
        _ => (Check::Exact, wanted.trim().to_owned()),
    };
    let result = line.result.or_else(|| Some(calls.first()?.result.clone())).unwrap_or_default();
    let sensors = match expect.strip_prefix("read(").and_then(|rest| rest.strip_suffix(')')) {
        Some(sensor) if check == Check::Call && result != "error" => format!("{sensor}={result}"),
        _ => String::new(),
    };
    Ok(Known { question: question.content.clone(), check, expect, sensors })
}

impl Known {
    /// The part of an answer that is judged, and that chains vote on.
    pub fn judged(&self, said: &Said) -> String {
        match self.check {
            Check::Number => said.text.rsplit_once("####").map_or("", |(_, number)| number).trim().to_owned(),
            Check::Call => said.calls.first().map_or_else(String::new, CallReport::written),
            Check::Exact | Check::Refusal | Check::Contains => said.text.trim().to_owned(),
        }
    }

    /// Whether what is [judged](Self::judged) is right.
    pub fn is_right(&self, judged: &str) -> bool {
        match self.check {
            Check::Number => normalized(judged) == normalized(&self.expect),
            Check::Call | Check::Exact | Check::Refusal => judged == self.expect.trim(),
            Check::Contains => self.expect.split('|').all(|text| holds(judged, text)),
        }
    }

    /// The same of a vote's answer, in the form in which votes compare answers.
    pub fn is_right_normalized(&self, answer: &str) -> bool {
        match self.check {
            Check::Contains => self.expect.split('|').all(|text| holds(answer, &normalized(text))),
            _ => answer == normalized(&self.expect),
        }
    }
}

/// Whether `word` is in a text, and not only as a part of another word.
fn holds(text: &str, word: &str) -> bool {
    let is_part = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + word.len()..]);
        !is_part(before.chars().next_back()) && !is_part(behind.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_follows_from_the_wanted_answer() {
        let line = r#"{"messages": [{"role": "user", "content": "How warm is it?"},
            {"role": "assistant", "content": "[work]read(temp,hall)[/work]"}, {"role": "tool", "content": "=> 20\n"},
            {"role": "assistant", "content": "It is 20 degrees."}]}"#;
        let question = known(line).unwrap();
        assert_eq!((question.check, question.expect.as_str()), (Check::Call, "read(temp,hall)"));
        assert_eq!(question.sensors, "temp,hall=20");
        let number = |content: &str| {
            let line = serde_json::json!({"messages": [{"content": "q"}, {"content": content}]});
            known(&line.to_string()).unwrap()
        };
        let question = number("all: <<2*3=6>>6 \n#### 6");
        assert_eq!((question.check, question.expect.as_str()), (Check::Number, "6"));
        assert_eq!(number("Paris.\n").check, Check::Exact);
        assert!(known(r#"{"messages": [{"content": "q"}]}"#).is_err());
    }

    #[test]
    fn a_line_that_is_no_question_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.jsonl");
        let read = |text: &str, most| {
            fs::write(&path, text).unwrap();
            QuestionSet::read(&path, most)
        };
        let good = r#"{"messages": [{"content": "1+1"}, {"content": "2"}]}"#;
        let set = read(&format!("{good}\n\n{good}\n{good}\n"), 2).unwrap();
        assert_eq!((set.name.as_str(), set.questions.len()), ("set", 2));
        let error = format!("{:#}", read(&format!("{good}\nhello\n"), 9).unwrap_err());
        assert!(error.contains("line 2 of") && error.contains("messages"), "{error}");
        assert!(read("\n", 9).unwrap_err().to_string().contains("has no questions"));
    }

    #[test]
    fn only_what_is_right_is_right() {
        let known = |check, expect: &str| Known {
            question: String::new(),
            check,
            expect: expect.into(),
            sensors: String::new(),
        };
        let said = |text: &str, calls: Vec<CallReport>| Said { text: text.into(), calls, tokens: 1 };
        let number = known(Check::Number, "1250");
        assert!(number.is_right(&number.judged(&said("a: <<5*250=1250>>1250 \n#### 1250.0", vec![]))));
        assert!(!number.is_right(&number.judged(&said("1250", vec![]))));
        let call = known(Check::Call, "set(lamp,on)");
        let right = CallReport::new("set", "lamp,on");
        let wrong = CallReport::new("set", "lamp,off");
        assert!(call.is_right(&call.judged(&said("", vec![right.clone(), wrong.clone()]))));
        assert!(!call.is_right(&call.judged(&said("", vec![wrong, right]))));
        let contains = known(Check::Contains, "fox|Moon");
        assert!(contains.is_right("A fox saw the Moon.") && !contains.is_right("A fox saw the moon."));
        assert!(!contains.is_right("Foxes and a foxglove saw the Moon."), "a part of a word is not the word");
        assert!(contains.is_right_normalized("a fox saw the moon"));
        assert!(known(Check::Refusal, "No.").is_right("No.") && !known(Check::Exact, "No.").is_right("no"));
    }
}
