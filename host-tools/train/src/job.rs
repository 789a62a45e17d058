//! A training from files to files: tokenizer, corpus, steps, checkpoints, evaluation, the directory of the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::chats;
use crate::checkpoint;
use crate::corpus::Corpus;
use crate::evaluate::{Evaluation, evaluate};
use crate::export::{WriteFile, read_model, write_model, write_tokenizer};
use crate::tokenizer::Tokenizer;
use crate::trainer::{Plan, Step, Trainer};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Job {
    /// Files of chats to learn from.
    pub chats: Vec<PathBuf>,
    /// Files of chats to measure on.
    pub held_out: Vec<PathBuf>,
    /// The directory of the result.
    pub output: PathBuf,
    /// A tokenizer to use; otherwise one is trained on the chats.
    pub tokenizer: Option<PathBuf>,
    /// The directory of a trained model to begin with, and its tokenizer; otherwise with random weights.
    pub from: Option<PathBuf>,
    /// How to train. The vocabulary is that of the tokenizer, so at most the plan's.
    pub plan: Plan,
    /// Threads.
    pub threads: usize,
    /// Time between checkpoints.
    pub save_every: Duration,
    /// Whether to go on with the unfinished training in the directory.
    pub resume: bool,
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'e> {
    /// The training begins, or goes on.
    Begins(&'e Start),
    /// A step was done.
    Stepped {
        /// What it did.
        step: Step,
        /// The share of the budget that is used up.
        used: f64,
        /// Tokens a second since the training began or went on.
        tokens_per_second: f64,
    },
    /// A held-out file was measured.
    Measured(&'e Path, &'e Evaluation),
    /// A checkpoint was written.
    Saved,
}

/// What a training begins with.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// Parameters of the model.
    pub parameters: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Chats to learn from.
    pub chats: usize,
    /// Chats that are longer than the context.
    pub left_out: usize,
    /// Tokens of all chats.
    pub corpus_tokens: usize,
    /// Steps that were done before.
    pub resumed_at: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// What it began with.
    #[serde(flatten)]
    pub start: Start,
    /// Steps in all.
    pub steps: u64,
    /// Tokens read in all.
    pub tokens: u64,
    /// Seconds of all steps.
    pub seconds: f64,
    /// Tokens a second since the training began or went on.
    pub tokens_per_second: f64,
    /// Mean loss of the last tenth of the steps since then, in nats a learned token.
    pub loss: f64,
    /// Results on the held-out files.
    pub held_out: Vec<HeldOut>,
}

/// The result on a held-out file.
#[derive(Clone, Debug, Serialize)]
pub struct HeldOut {
    /// The file.
    pub file: PathBuf,
    /// The result.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

/// Trains.
///
/// # Errors
/// A file cannot be read or written or is not what it should be, the plan is impossible, the directory has an
/// unfinished training and `resume` was not asked for, or the training diverges.
pub fn train(job: &Job, write: WriteFile<'_>, tell: &mut dyn FnMut(Event<'_>)) -> Result<Summary> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(job.threads)
        .build()
        .with_context(|| format!("cannot start {} threads", job.threads))?;
    job.plan.shape.check()?;
    let directory = job.output.as_path();
    let is_unfinished = directory.join(checkpoint::FILE).exists();
    if is_unfinished && !job.resume {
        bail!(
            "{} has an unfinished training: go on with it (--resume), or remove {}",
            directory.display(),
            directory.join(checkpoint::FILE).display()
        );
    }
    if job.resume && !is_unfinished {
        bail!(
            "{} has no unfinished training to go on with: leave --resume out to begin one",
            directory.display()
        );
    }
    let files = Files::open(job, &pool)?;
    let (corpus, plan) = (&files.corpus, &files.plan);
    let checksum = corpus.checksum();
    let mut trainer = match job.resume {
        true => checkpoint::resume(directory, plan, corpus, checksum)?,
        false => {
            let trainer = Trainer::new(plan.clone(), corpus)?;
            job.from.iter().try_for_each(|directory| read_model(directory, &trainer.model))?;
            trainer
        }
    };
    let start = Start {
        parameters: plan.shape.parameters(),
        vocabulary: plan.shape.vocabulary,
        chats: corpus.len(),
        left_out: corpus.left_out,
        corpus_tokens: corpus.all_positions(),
        resumed_at: trainer.optimizer.steps,
    };
    tell(Event::Begins(&start));
    write_tokenizer(directory, &files.tokenizer, plan.shape.context, write)?;

    let (tokens_before, time_before) = (trainer.tokens, trainer.time);
    let speed = |trainer: &Trainer<'_>| {
        let time = (trainer.time - time_before).as_secs_f64();
        (trainer.tokens - tokens_before) as f64 / time.max(1e-9)
    };
    let mut losses = Vec::new();
    let mut saved = Instant::now();
    while trainer.used() < 1.0 {
        // Everything of a step happens on the pool's threads, which keep what they have allocated.
        let step = pool.install(|| trainer.step())?;
        losses.push(step.loss);
        tell(Event::Stepped { step, used: trainer.used(), tokens_per_second: speed(&trainer) });
        if saved.elapsed() >= job.save_every && trainer.used() < 1.0 {
            checkpoint::save(directory, &trainer, checksum, write)?;
            write_model(directory, &trainer.model, write)?;
            tell(Event::Saved);
            measure(&files, &trainer, &pool, tell)?;
            saved = Instant::now();
        }
    }
    write_model(directory, &trainer.model, write)?;
    if directory.join(checkpoint::FILE).exists() {
        fs::remove_file(directory.join(checkpoint::FILE)).context("cannot remove the last checkpoint")?;
    }
    let held_out = measure(&files, &trainer, &pool, tell)?;
    let last = &losses[losses.len() - losses.len().div_ceil(10)..];
    Ok(Summary {
        start,
        steps: trainer.optimizer.steps,
        tokens: trainer.tokens,
        seconds: trainer.time.as_secs_f64(),
        tokens_per_second: speed(&trainer),
        loss: last.iter().sum::<f64>() / last.len().max(1) as f64,
        held_out,
    })
}

/// What was read.
struct Files {
    tokenizer: Tokenizer,
    corpus: Corpus,
    held_out: Vec<(PathBuf, Corpus)>,
    plan: Plan,
}

impl Files {
    fn open(job: &Job, pool: &rayon::ThreadPool) -> Result<Self> {
        let chats = chats::read(&job.chats)?;
        let written = job.output.join("tokenizer.json");
        let learned = job.from.as_ref().map(|directory| directory.join("tokenizer.json"));
        let given = job.tokenizer.clone().or(learned).or_else(|| job.resume.then_some(written));
        let mut plan = job.plan.clone();
        let tokenizer = match given {
            Some(path) => Tokenizer::open(&path)?,
            None => pool.install(|| Tokenizer::train(&chats, plan.shape.vocabulary))?,
        };
        plan.shape.vocabulary = tokenizer.vocabulary();
        let encode =
            |chats: &[chats::Chat]| pool.install(|| Corpus::encode(chats, &tokenizer, plan.shape.context));
        let corpus = encode(&chats)?;
        let mut held_out = Vec::new();
        for path in &job.held_out {
            let encoded = encode(&chats::read(&[path])?).with_context(|| path.display().to_string())?;
            held_out.push((path.clone(), encoded));
        }
        Ok(Self { tokenizer, corpus, held_out, plan })
    }
}

/// Measures on all held-out files.
fn measure(
    files: &Files,
    trainer: &Trainer<'_>,
    pool: &rayon::ThreadPool,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<HeldOut>> {
    let mut results = Vec::new();
    for (path, corpus) in &files.held_out {
        let evaluation = pool.install(|| evaluate(&trainer.model, corpus, files.plan.micro_tokens))?;
        tell(Event::Measured(path, &evaluation));
        results.push(HeldOut { file: path.clone(), evaluation });
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::schedule::Budget;
    use crate::shape::Shape;
    use crate::trainer::tests::plan;

    fn job(directory: &Path, output: &str) -> Job {
        let file = directory.join("chats.jsonl");
        let chat = |i: usize| {
            let (a, b) = (i % 7, i / 7);
            let messages = serde_json::json!([
                { "role": "user", "content": format!("What is {a} and {b}?") },
                { "role": "assistant", "content": format!("<<{a}+{b}=") },
                { "role": "tool", "content": format!("{}>>", a + b) },
                { "role": "assistant", "content": format!(" #### {}", a + b) },
            ]);
            serde_json::json!({ "messages": messages }).to_string()
        };
        fs::write(&file, (0..70).map(chat).collect::<Vec<_>>().join("\n")).unwrap();
        Job {
            chats: vec![file.clone()],
            held_out: vec![file],
            output: directory.join(output),
            tokenizer: None,
            from: None,
            plan: Plan { budget: Budget::Tokens(4000), ..plan() },
            threads: 2,
            save_every: Duration::ZERO,
            resume: false,
        }
    }

    #[test]
    fn a_job_that_was_stopped_ends_with_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &Path, bytes: &[u8]| Ok(fs::write(path, bytes)?);
        let whole = train(&job(directory.path(), "whole"), &write, &mut |_| {}).unwrap();
        assert_eq!(whole.start.chats, 70);
        assert_eq!(whole.held_out[0].evaluation.chats, 70);

        let saved = Cell::new(0);
        let stop = |path: &Path, bytes: &[u8]| {
            saved.set(saved.get() + usize::from(path.ends_with(checkpoint::FILE)));
            match saved.get() {
                4 => bail!("stopped"),
                _ => write(path, bytes),
            }
        };
        let part = job(directory.path(), "part");
        let resumed = Job { resume: true, ..part.clone() };
        let ignore = &mut |_: Event<'_>| {};
        let error = train(&resumed, &write, ignore).unwrap_err().to_string();
        assert!(error.contains("no unfinished training"), "{error}");
        assert_eq!(train(&part, &stop, ignore).unwrap_err().to_string(), "stopped");
        let error = train(&part, &write, ignore).unwrap_err().to_string();
        assert!(error.contains("has an unfinished training"), "{error}");
        let end = train(&resumed, &write, ignore).unwrap();
        assert_eq!((end.start.resumed_at, end.steps), (3, whole.steps));

        let names = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
        for name in names.into_iter().chain(["tokenizer_config.json"]) {
            let read = |output| fs::read(directory.path().join(output).join(name)).unwrap();
            assert!(read("whole") == read("part"), "{name}");
        }
        assert!(!directory.path().join("part").join(checkpoint::FILE).exists());
    }

    #[test]
    fn a_trained_model_learns_on_from_where_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &Path, bytes: &[u8]| Ok(fs::write(path, bytes)?);
        let first = Job { held_out: Vec::new(), ..job(directory.path(), "first") };
        let mut losses = Vec::new();
        let mut learn = |job: &Job| {
            let mut all = Vec::new();
            let result = train(job, &write, &mut |event| {
                if let Event::Stepped { step, .. } = event {
                    all.push(step.loss);
                }
            });
            losses.push(all);
            result
        };
        learn(&first).unwrap();
        let from = Some(first.output.clone());
        let second = Job { from: from.clone(), output: directory.path().join("second"), ..first.clone() };
        learn(&second).unwrap();
        let read = |name: &str| fs::read(directory.path().join(name).join("tokenizer.json")).unwrap();
        assert!(read("first") == read("second"));
        let plan = Plan { shape: Shape { layers: 3, ..first.plan.shape.clone() }, ..first.plan.clone() };
        let other = Job { from, plan, output: directory.path().join("third"), ..first };
        let error = format!("{:#}", learn(&other).unwrap_err());
        assert!(error.contains("model.layers.2"), "{error}");
        // The first step's loss is taken before the step: it is near where the first training ended, not where it began.
        let (begun, ended, taken_up) = (losses[0][0], losses[0][losses[0].len() - 1], losses[1][0]);
        assert!((taken_up - ended).abs() < 0.2 * (begun - ended), "{begun} {ended} {taken_up}");
    }
}
