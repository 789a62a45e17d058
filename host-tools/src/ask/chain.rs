//! What is in the text of an answer: the calls with their results, and the answer itself.

use serde::Serialize;

/// A call and its result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallReport {
    /// The tool's name; empty for a calculation.
    pub name: String,
    /// What it was called with.
    pub arguments: String,
    /// What it answered.
    pub result: String,
}

impl CallReport {
    /// A call without a result yet.
    pub fn new(name: &str, arguments: &str) -> Self {
        Self { name: name.to_owned(), arguments: arguments.to_owned(), result: String::new() }
    }

    /// The call as a model writes it, without its brackets.
    pub fn written(&self) -> String {
        match self.name.is_empty() {
            true => self.arguments.clone(),
            false => format!("{}({})", self.name, self.arguments),
        }
    }
}

/// The calls in the text of an answer, in order: for a board, which sends nothing but the text.
pub(super) fn calls_in(text: &str) -> Vec<CallReport> {
    let (mut calls, mut rest) = (Vec::new(), text);
    loop {
        let (calculation, work) = (rest.find("<<"), rest.find("[work]"));
        let found = match (calculation, work) {
            (Some(calculation), work) if work.is_none_or(|work| calculation < work) => {
                split(&rest[calculation + 2..], "=", ">>").map(|(expression, result, rest)| {
                    (CallReport { result: result.to_owned(), ..CallReport::new("", expression) }, rest)
                })
            }
            (_, Some(work)) => {
                split(&rest[work + 6..], "[/work]=> ", "\n").and_then(|(call, result, rest)| {
                    let (name, arguments) = call.strip_suffix(')')?.split_once('(')?;
                    Some((CallReport { result: result.to_owned(), ..CallReport::new(name, arguments) }, rest))
                })
            }
            _ => None,
        };
        let Some((call, behind)) = found else { return calls };
        calls.push(call);
        rest = behind;
    }
}

/// What stands before `first`, between it and `second`, and behind that.
fn split<'t>(text: &'t str, first: &str, second: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let (before, rest) = text.split_once(first)?;
    let (between, behind) = rest.split_once(second)?;
    Some((before, between, behind))
}

/// The answer in the text of a chain: what stands behind `####`, or else behind the last result, or else all.
pub fn final_answer(chain: &str, calls: &[CallReport]) -> String {
    if let Some((_, answer)) = chain.rsplit_once("####") {
        return answer.trim().to_owned();
    }
    let behind = calls.last().and_then(|call| {
        let inserted = match call.name.is_empty() {
            true => format!("{}>>", call.result),
            false => format!("=> {}\n", call.result),
        };
        chain.rsplit_once(&inserted).map(|(_, behind)| behind.trim())
    });
    behind.filter(|behind| !behind.is_empty()).unwrap_or(chain.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_the_answer_are_found_in_a_text() {
        let text = "all: <<4*12=48>>48 left: <<48-5=43>>43 \n#### 43";
        let calls = calls_in(text);
        let expected = [("4*12", "48"), ("48-5", "43")].map(|(expression, result)| CallReport {
            result: result.into(),
            ..CallReport::new("", expression)
        });
        assert_eq!(calls, expected);
        assert_eq!(final_answer(text, &calls), "43");

        let text = "[work]read(temp,kitchen)[/work]=> 23.4\nIt is 23.4 degrees in the kitchen.";
        let calls = calls_in(text);
        assert_eq!(calls, [CallReport { result: "23.4".into(), ..CallReport::new("read", "temp,kitchen") }]);
        assert_eq!(final_answer(text, &calls), "It is 23.4 degrees in the kitchen.");

        assert_eq!(final_answer("The capital of France is Paris.", &[]), "The capital of France is Paris.");
        assert_eq!(final_answer("<<1+1=2>>", &calls_in("<<1+1=2>>")), "<<1+1=2>>");
        assert_eq!(calls_in("a << b [work] c"), []);
    }
}
