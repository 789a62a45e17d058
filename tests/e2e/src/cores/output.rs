//! What a test program printed, understood.
//!
//! The form is described where it is printed, in `tests/on-target/src/job.rs`.

use anyhow::{Context as _, Result, bail};

/// What a test program printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The kernels that the core chose.
    pub kernels: String,
    /// Tables compared with the portable one, and in how many cases each.
    pub batteries: Vec<(String, u64)>,
    /// What was counted.
    pub counts: Vec<Count>,
    /// An answer of a model.
    pub answer: Option<Answer>,
}

/// Instructions of one call of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What it was given to do.
    pub workload: String,
    /// Products, or elements where nothing is multiplied.
    pub units: u64,
    /// Instructions.
    pub instructions: u64,
}

/// An answer of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The text written.
    pub text: String,
    /// Tokens read before.
    pub prompt_tokens: u64,
    /// Tokens of the text.
    pub tokens: u64,
    /// Hash of all logits that tokens were chosen from.
    pub logits_hash: String,
    /// Instructions for checking the model and laying out the arena.
    pub load: u64,
    /// Instructions for reading the prompt.
    pub prefill: u64,
    /// Instructions for the tokens of the text.
    pub decode: u64,
}

impl Output {
    pub(super) fn parse(printed: &str) -> Result<Self> {
        let mut output = Self::default();
        let mut text = Vec::new();
        for line in printed.lines() {
            let understood = match line.split_once(' ') {
                Some(("kernels", name)) => {
                    name.clone_into(&mut output.kernels);
                    Some(())
                }
                Some(("battery", rest)) => battery(rest).map(|battery| output.batteries.push(battery)),
                Some(("count", rest)) => count(rest).map(|count| output.counts.push(count)),
                Some(("text", digits)) => bytes(digits).map(|bytes| text.extend(bytes)),
                Some(("answer", rest)) => answer(rest).map(|answer| output.answer = Some(answer)),
                _ => None,
            };
            if understood.is_none() {
                bail!("the test program printed {line:?}");
            }
        }
        if let Some(answer) = &mut output.answer {
            answer.text = String::from_utf8(text).context("the answer is not UTF-8")?;
        }
        Ok(output)
    }

    /// Puts in what was counted from outside: the instructions between the first and the second mark, between the
    /// second and the third, and so on.
    pub(super) fn set_counts(&mut self, between: &[u64]) -> Result<()> {
        if let Some(answer) = &mut self.answer {
            let [load, prefill, rest @ ..] = between else { bail!("{} counts are too few", between.len()) };
            (answer.load, answer.prefill) = (*load, *prefill);
            // Two marks for each token, so every second number lies between the two.
            answer.decode = rest.iter().skip(1).step_by(2).sum();
        }
        let counted = between.iter().step_by(2).copied();
        if !self.counts.is_empty() && counted.len() != self.counts.len() {
            bail!("{} counts for {} workloads", counted.len(), self.counts.len());
        }
        self.counts
            .iter_mut()
            .zip(counted)
            .for_each(|(count, instructions)| count.instructions = instructions);
        Ok(())
    }
}

fn battery(rest: &str) -> Option<(String, u64)> {
    let (name, cases) = rest.split_once(' ')?;
    Some((name.to_owned(), cases.parse().ok()?))
}

fn count(rest: &str) -> Option<Count> {
    let (units, rest) = rest.split_once(' ')?;
    let (instructions, workload) = rest.split_once(' ')?;
    // `MatmulQ8 { rows: 64, layout: Rows }` as `MatmulQ8 rows 64, layout Rows`.
    let workload = workload.replace(" {", "").replace(" }", "").replace(": ", " ");
    Some(Count { workload, units: units.parse().ok()?, instructions: instructions.parse().ok()? })
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

fn answer(rest: &str) -> Option<Answer> {
    let words: Vec<_> = rest.split(' ').collect();
    let [prompt_tokens, tokens, hash, load, prefill, decode] = words[..] else { return None };
    Some(Answer {
        text: String::new(),
        prompt_tokens: prompt_tokens.parse().ok()?,
        tokens: tokens.parse().ok()?,
        logits_hash: hash.to_owned(),
        load: load.parse().ok()?,
        prefill: prefill.parse().ok()?,
        decode: decode.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_or_refused() {
        let printed = "kernels dsp\nbattery dsp 3949\ncount 64 70 Prepare { cols: 64, layout: Rows }\n\
                       text 61c3\ntext a9\nanswer 3 2 00ff 10 20 30\n";
        let output = Output::parse(printed).unwrap();
        assert_eq!(
            (output.kernels.as_str(), &output.batteries[..]),
            ("dsp", &[("dsp".to_owned(), 3949)][..])
        );
        let count = &output.counts[0];
        let expected = ("Prepare cols 64, layout Rows", 64, 70);
        assert_eq!((count.workload.as_str(), count.units, count.instructions), expected);
        let answer = output.answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.tokens, answer.decode), ("a\u{e9}", 2, 30));
        assert!(Output::parse("hard fault").unwrap_err().to_string().contains("hard fault"));
    }

    #[test]
    fn counts_from_outside_go_where_they_belong() {
        let mut kernels = Output::parse("count 8 0 A\ncount 9 0 B").unwrap();
        kernels.set_counts(&[5, 1000, 7]).unwrap();
        assert_eq!(kernels.counts.iter().map(|count| count.instructions).collect::<Vec<_>>(), [5, 7]);
        assert!(kernels.set_counts(&[5]).is_err());
        let mut model = Output::parse("answer 3 2 00ff 0 0 0").unwrap();
        model.set_counts(&[10, 20, 999, 3, 999, 4, 999, 5]).unwrap();
        let answer = model.answer.unwrap();
        assert_eq!((answer.load, answer.prefill, answer.decode), (10, 20, 12));
    }
}
