//! How many questions of a set a model answers rightly: with its best tokens, and by a vote of sampled chains.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use serde::Serialize;
use sprat::{Sampler, SamplerConfig};
use sprat_board_support::memory::limits_for_context;
use sprat_board_support::protocol::Ask;

use super::AskOptions;
use super::chains::{Question, chains, samplers, vote};
use super::questions::{Check, Known, QuestionSet};
use crate::model::{Model, arena_for, engine, host_limits, kernels};
use crate::table::table;
use crate::threads::Threads;

/// The confidence from which on answers are counted by themselves.
pub const CONFIDENT: f32 = 0.75;
/// Standard deviations of a two-sided interval of 95 %.
const DEVIATIONS: f64 = 1.959_964;

/// How to score.
#[derive(Clone, Debug)]
pub struct ScoreOptions {
    /// How to ask; its question and sensors are not used.
    pub ask: AskOptions,
    /// Wrong answers to keep of each set.
    pub wrong: usize,
}

/// Right answers among some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Answers.
    pub answers: usize,
    /// Right ones.
    pub right: usize,
    /// The share of right ones; 0 of none.
    pub share: f64,
    /// Wilson's interval of 95 % of that share (Wilson 1927).
    pub interval: (f64, f64),
}

impl Score {
    fn of(answers: impl IntoIterator<Item = bool>) -> Self {
        let (mut count, mut right) = (0, 0);
        for is_right in answers {
            count += 1;
            right += usize::from(is_right);
        }
        let (share, interval) = match count {
            0 => (0.0, (0.0, 1.0)),
            _ => (right as f64 / count as f64, wilson(right, count)),
        };
        Self { answers: count, right, share, interval }
    }

    fn shown(&self) -> String {
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let (low, high) = self.interval;
        format!("{} ({} to {})", percent(self.share), percent(low), percent(high))
    }
}

fn wilson(right: usize, answers: usize) -> (f64, f64) {
    let (n, p, z) = (answers as f64, right as f64 / answers as f64, DEVIATIONS);
    let middle = p + z * z / (2.0 * n);
    let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - reach) / scale).max(0.0), ((middle + reach) / scale).min(1.0))
}

/// An answer that is not the expected one.
#[derive(Clone, Debug, Serialize)]
pub struct Wrong {
    /// What was asked.
    pub question: String,
    /// What was expected.
    pub expected: String,
    /// All that the model said.
    pub said: String,
}

/// What votes are worth.
#[derive(Clone, Debug, Serialize)]
pub struct VoteScore {
    /// Chains of each question.
    pub chains: u32,
    /// The answers of most chains.
    pub all: Score,
    /// The answers of most of the longer half of the chains.
    pub longest: Score,
    /// Questions that only the vote of all answers rightly, not the best tokens.
    pub gained: usize,
    /// Questions that only the best tokens answer rightly, not the vote of all.
    pub lost: usize,
    /// The answers of more than three quarters of all chains.
    pub confident: Score,
}

/// The result of a set.
#[derive(Clone, Debug, Serialize)]
pub struct SetScore {
    /// The set.
    pub set: String,
    /// Answers of the most likely tokens.
    pub best: Score,
    /// Questions that can be served and were refused, if some set has refusals.
    pub refused: Option<usize>,
    /// Votes, if any.
    pub votes: Option<VoteScore>,
    /// The first wrong answers.
    pub wrong: Vec<Wrong>,
}

/// What one question came to.
struct Outcome {
    said: String,
    is_right: bool,
    vote: Option<Voted>,
}

struct Voted {
    all: bool,
    longest: bool,
    confidence: f32,
}

/// Asks a model all questions of some sets, on as many threads as the options say, each question on one.
///
/// # Errors
/// The model cannot be asked, or a question does not fit.
pub fn score(
    model: &Model,
    sets: &[QuestionSet],
    options: &ScoreOptions,
    progress: &ProgressBar,
) -> Result<Vec<SetScore>> {
    let all: Vec<&Known> = sets.iter().flat_map(|set| &set.questions).collect();
    progress.set_length(all.len() as u64);
    let next = AtomicUsize::new(0);
    let take = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let known = *all.get(index)?;
        progress.inc(1);
        Some((index, known))
    };
    let mut outcomes = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..options.ask.threads.max(1)).map(|_| scope.spawn(|| answer(model, options, take))).collect();
        let mut outcomes = Vec::new();
        for worker in workers {
            outcomes.extend(worker.join().map_err(|_| anyhow!("a thread that asks questions failed"))??);
        }
        anyhow::Ok(outcomes)
    })?;
    outcomes.sort_by_key(|(index, _)| *index);
    let mut outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let refusal = all.iter().find(|known| known.check == Check::Refusal).map(|known| known.expect.as_str());
    let mut scores = Vec::new();
    for set in sets {
        let rest = outcomes.split_off(set.questions.len());
        scores.push(of_set(set, &outcomes, refusal, options));
        outcomes = rest;
    }
    Ok(scores)
}

/// Answers one question after the other, as `take` gives them with their numbers.
fn answer<'q>(
    model: &Model,
    options: &ScoreOptions,
    take: impl Fn() -> Option<(usize, &'q Known)>,
) -> Result<Vec<(usize, Outcome)>> {
    let ask = &options.ask;
    let image = model.image()?;
    let limits = ask.context.map_or(*image.limits(), |context| limits_for_context(image.limits(), context));
    let limits = host_limits(&limits);
    let team = Threads::new(1)?;
    let mut arena = arena_for(&image, &limits, &team)?;
    let mut engine = engine(&image, limits, &mut arena, kernels(ask.kernels.as_deref())?, &team)?;
    let mut outcomes = Vec::new();
    while let Some((index, known)) = take() {
        let asked = Ask { tools: ask.tools, sensors: &known.sensors };
        let question = Question { text: &known.question, asked, max_tokens: ask.max_tokens };
        let greedy = Sampler::new(SamplerConfig::greedy(), 0);
        let all = [greedy].into_iter().chain(samplers(ask.sampler, ask.seed, options.ask.chains));
        let said = chains(&mut engine, &question, all)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("{} cannot be asked {:?}", model.path(), known.question))?;
        let [best, sampled @ ..] = said.as_slice() else { continue };
        let judged: Vec<String> = sampled.iter().map(|said| known.judged(said)).collect();
        let answers = judged.iter().zip(sampled).map(|(judged, said)| (judged.as_str(), said.tokens));
        let voted = (!sampled.is_empty()).then(|| {
            vote(answers, |all, longest| Voted {
                all: all.is_some_and(|all| known.is_right_normalized(all.answer)),
                longest: longest.is_some_and(|longest| known.is_right_normalized(longest.answer)),
                confidence: all.map_or(0.0, |all| all.confidence()),
            })
        });
        let is_right = known.is_right(&known.judged(best));
        outcomes.push((index, Outcome { said: best.text.clone(), is_right, vote: voted }));
    }
    Ok(outcomes)
}

fn of_set(
    set: &QuestionSet,
    outcomes: &[Outcome],
    refusal: Option<&str>,
    options: &ScoreOptions,
) -> SetScore {
    let votes = || outcomes.iter().filter_map(|outcome| Some((outcome.is_right, outcome.vote.as_ref()?)));
    let refused = refusal.map(|refusal| {
        let pairs = set.questions.iter().zip(outcomes);
        pairs
            .filter(|(known, outcome)| known.check != Check::Refusal && outcome.said.trim() == refusal)
            .count()
    });
    let wrong = set.questions.iter().zip(outcomes).filter(|(_, outcome)| !outcome.is_right);
    SetScore {
        set: set.name.clone(),
        best: Score::of(outcomes.iter().map(|outcome| outcome.is_right)),
        refused,
        votes: (options.ask.chains > 0).then(|| VoteScore {
            chains: options.ask.chains,
            all: Score::of(votes().map(|(_, vote)| vote.all)),
            longest: Score::of(votes().map(|(_, vote)| vote.longest)),
            gained: votes().filter(|(best, vote)| !best && vote.all).count(),
            lost: votes().filter(|(best, vote)| *best && !vote.all).count(),
            confident: Score::of(
                votes().filter(|(_, vote)| vote.confidence > CONFIDENT).map(|(_, vote)| vote.all),
            ),
        }),
        wrong: wrong
            .take(options.wrong)
            .map(|(known, outcome)| Wrong {
                question: known.question.clone(),
                expected: known.expect.clone(),
                said: outcome.said.clone(),
            })
            .collect(),
    }
}

/// A table of the scores, in percent with intervals of 95 %.
pub fn shown(scores: &[SetScore]) -> String {
    let has_votes = scores.iter().any(|score| score.votes.is_some());
    let mut head = vec!["set", "questions", "right", "refused"];
    if has_votes {
        head.extend(["vote", "longer half", "gained", "lost", "confident", "of these right"]);
    }
    let rows: Vec<Vec<String>> = scores
        .iter()
        .map(|score| {
            let refused = score.refused.map_or_else(|| "-".into(), |count| count.to_string());
            let mut row =
                vec![score.set.clone(), score.best.answers.to_string(), score.best.shown(), refused];
            if let Some(votes) = &score.votes {
                let confident = votes.confident.answers.to_string();
                row.extend([votes.all.shown(), votes.longest.shown()]);
                row.extend([votes.gained.to_string(), votes.lost.to_string(), confident]);
                row.push(votes.confident.shown());
            }
            row
        })
        .collect();
    let numbers: Vec<usize> = (1..head.len()).collect();
    let mut out = table(&head, &rows, &numbers);
    for (set, wrong) in scores.iter().flat_map(|score| score.wrong.iter().map(|wrong| (&score.set, wrong))) {
        out += &format!(
            "\n{set}: {}\n  expected {}\n  said     {}\n",
            wrong.question, wrong.expected, wrong.said
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // Newcombe 1998, table I, method 3, in four decimals.
        let published = [
            (81, 263, "0.2553 to 0.3662"),
            (15, 148, "0.0624 to 0.1605"),
            (0, 20, "0.0000 to 0.1611"),
            (1, 29, "0.0061 to 0.1718"),
        ];
        for (right, answers, interval) in published {
            let (low, high) = wilson(right, answers);
            assert_eq!(format!("{low:.4} to {high:.4}"), interval);
        }
        assert_eq!(Score::of([]).interval, (0.0, 1.0));
        assert_eq!(Score::of([true, false]).share, 0.5);
    }
}
