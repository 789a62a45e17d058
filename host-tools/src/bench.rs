//! How fast a model runs here: tokens, bytes and products a second, by kernels, threads and stage.
//!
//! Two numbers stand beside the tokens, both measured in the same run: what a plain loop reads from memory with as many
//! threads, since a written token reads every weight once, and how long a core's cycle is, since a prompt is bound by
//! products. Every number is the median of several rounds and comes with the least and the most.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use indicatif::ProgressBar;
use serde::Serialize;
use sprat::{Engine, Image, Kernels, Sampler, SamplerConfig, Team};
use sprat_board_support::memory::limits_for_context;
use sprat_board_support::serve::{WeightBytes, weight_bytes};
use sprat_format::Limits;

use crate::fixture::Numbers;
use crate::model::{Model, arena_for, engine};
use crate::threads::Threads;

mod clock;
mod growth;
mod memory;
mod report;
mod shape;

use clock::StageClock;
pub use growth::{Growth, GrowthPoint, growth};
pub use shape::{Family, Shape};

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub answer_tokens: usize,
    /// Times that everything is measured.
    pub rounds: usize,
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// Tables of kernels.
    pub kernels: Vec<&'static Kernels>,
    /// Tokens of a prompt for each pass over the weights.
    pub prefill_chunk: u32,
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    /// The model, or its shape.
    pub model: String,
    /// Bytes of weights that one written token reads.
    pub weight_bytes: u64,
    /// Cycles a second of a core, by a chain of dependent additions.
    pub cycles_per_second: f64,
    /// What was read from memory by a plain loop.
    pub memory: Vec<Reading>,
    /// What was measured, prompts and answers.
    pub runs: Vec<Run>,
}

/// How fast memory is read with so many threads.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// Threads, each with its own part.
    pub threads: usize,
    /// Bytes a second from a buffer that no cache holds.
    pub bytes_per_second: f64,
    /// Bytes a second from the model's own bytes, which a cache may hold.
    pub model_bytes_per_second: f64,
}

/// A number measured several times.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// As many were larger as smaller.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// Time of one stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageTime {
    /// Its name.
    pub stage: &'static str,
    /// Microseconds a token.
    pub microseconds: f64,
    /// Of the whole time.
    pub percent: f64,
}

/// One kind of work with one table and number of threads.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The table of kernels.
    pub kernels: &'static str,
    /// Threads.
    pub threads: usize,
    /// `prefill`: a prompt; `decode`: one token after the other, each the most likely one.
    pub phase: &'static str,
    /// Tokens of a round.
    pub tokens: usize,
    /// Tokens a second.
    pub tokens_per_second: Spread,
    /// Bytes of weights a second, by the median.
    pub bytes_per_second: f64,
    /// The same against what a plain loop reads with as many threads.
    pub share_of_memory: f64,
    /// Products (multiply-adds) of a round, counted by the runtime.
    pub products: u64,
    /// Products a cycle of one thread, by the median.
    pub products_per_cycle: f64,
    /// Where the time goes, in a round of its own.
    pub stages: Vec<StageTime>,
}

impl Spread {
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |index: usize| numbers.get(index).copied().unwrap_or(f64::NAN);
        let median = (at(numbers.len().saturating_sub(1) / 2) + at(numbers.len() / 2)) / 2.0;
        Self { median, least: at(0), most: at(numbers.len().saturating_sub(1)) }
    }
}

/// A model under measurement.
struct Subject<'e, 'i, 'm, 'a> {
    engine: &'e mut Engine<'i, 'm, 'a>,
    prompt: Vec<u32>,
    answer_tokens: usize,
}

impl Subject<'_, '_, '_, '_> {
    /// Seconds that the prompt takes.
    fn prefill(&mut self) -> Result<f64> {
        self.engine.truncate(0);
        let begun = Instant::now();
        self.engine.feed(&self.prompt).map_err(|error| anyhow!("{error}"))?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Seconds that the answer takes, from an empty context.
    fn decode(&mut self) -> Result<f64> {
        self.engine.truncate(0);
        let mut sampler = Sampler::new(SamplerConfig::greedy(), 0);
        let mut token = self.prompt[0];
        let begun = Instant::now();
        for _ in 0..self.answer_tokens {
            self.engine.feed(&[token]).map_err(|error| anyhow!("{error}"))?;
            token = self.engine.sample(&mut sampler, None).map_err(|error| anyhow!("{error}"))?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// Measures a model.
///
/// # Errors
/// The model cannot be run under these options.
pub fn bench(model: &Model, options: &BenchOptions, progress: &ProgressBar) -> Result<Bench> {
    let image = model.image()?;
    let BenchOptions { prompt_tokens, answer_tokens, rounds, prefill_chunk, .. } = *options;
    ensure!(
        prompt_tokens > 0 && answer_tokens > 0 && rounds > 0,
        "{prompt_tokens} tokens of prompt, {answer_tokens} of answer and {rounds} rounds were asked for; expected \
         at least 1 of each"
    );
    let context = prompt_tokens.max(answer_tokens) as u32;
    let limits = Limits { prefill_chunk, ..limits_for_context(image.limits(), context) };
    progress.set_length((options.threads.len() * (1 + options.kernels.len() * rounds)) as u64);
    let WeightBytes { layers: layer_bytes, head: head_bytes } = weight_bytes(&image);
    let mut bench = Bench {
        model: model.path().to_owned(),
        weight_bytes: layer_bytes + head_bytes,
        cycles_per_second: clock::cycles_per_second(),
        memory: Vec::new(),
        runs: Vec::new(),
    };
    for &threads in &options.threads {
        let team = Threads::new(threads)?;
        let bytes_per_second = memory::bandwidth(&team)?;
        let model_bytes_per_second = memory::read(&team, model.bytes());
        bench.memory.push(Reading { threads, bytes_per_second, model_bytes_per_second });
        progress.inc(1);
        for kernels in &options.kernels {
            let measured = measure(&image, limits, kernels, &team, options, progress)?;
            for (phase, tokens, bytes, measured) in [
                (
                    "prefill",
                    prompt_tokens,
                    prompt_tokens.div_ceil(prefill_chunk as usize) as u64 * layer_bytes + head_bytes,
                    &measured[0],
                ),
                ("decode", answer_tokens, answer_tokens as u64 * (layer_bytes + head_bytes), &measured[1]),
            ] {
                let speed = Spread::of(measured.seconds.iter().map(|s| tokens as f64 / s).collect());
                let rounds_per_second = speed.median / tokens as f64;
                let cycles = bench.cycles_per_second * threads as f64;
                let microseconds = |seconds: f64| seconds * 1e6 / tokens as f64;
                let total: f64 = measured.stages.iter().map(|(_, seconds)| seconds).sum();
                let stages = measured.stages.iter().map(|(stage, seconds)| StageTime {
                    stage: stage.name(),
                    microseconds: microseconds(*seconds),
                    percent: 100.0 * seconds / total,
                });
                bench.runs.push(Run {
                    kernels: kernels.name(),
                    threads,
                    phase,
                    tokens,
                    tokens_per_second: speed,
                    bytes_per_second: bytes as f64 * rounds_per_second,
                    share_of_memory: bytes as f64 * rounds_per_second / bytes_per_second,
                    products: measured.products,
                    products_per_cycle: measured.products as f64 * rounds_per_second / cycles,
                    stages: stages.collect(),
                });
            }
        }
    }
    Ok(bench)
}

/// What was measured of one kind of work.
struct Measured {
    /// Of each round.
    seconds: Vec<f64>,
    products: u64,
    stages: Vec<(sprat::Stage, f64)>,
}

/// Prompt and answer with one table and team.
fn measure(
    image: &Image<'_>,
    limits: Limits,
    kernels: &'static Kernels,
    team: &dyn Team,
    options: &BenchOptions,
    progress: &ProgressBar,
) -> Result<[Measured; 2]> {
    let clock = StageClock::default();
    let mut arena = arena_for(image, &limits, team)?;
    let mut engine = engine(image, limits, &mut arena, kernels, team)?;
    let mut numbers = Numbers(7);
    let vocab_size = u64::from(image.config().vocab_size);
    let prompt = (0..options.prompt_tokens).map(|_| (numbers.bits() % vocab_size) as u32).collect();
    let mut subject = Subject { engine: &mut engine, prompt, answer_tokens: options.answer_tokens };
    // The first round warms up and counts products; its time does not matter.
    let [mut prefill, mut decode] = [Vec::new(), Vec::new()];
    subject.prefill()?;
    let prompt_products = subject.engine.products();
    subject.decode()?;
    let answer_products = subject.engine.products() - prompt_products;
    for _ in 0..options.rounds {
        prefill.push(subject.prefill()?);
        decode.push(subject.decode()?);
        progress.inc(1);
    }
    subject.engine.set_probe(&clock);
    clock.reset();
    subject.prefill()?;
    let prompt_stages = clock.seconds();
    clock.reset();
    subject.decode()?;
    Ok([
        Measured { seconds: prefill, products: prompt_products, stages: prompt_stages },
        Measured { seconds: decode, products: answer_products, stages: clock.seconds() },
    ])
}
