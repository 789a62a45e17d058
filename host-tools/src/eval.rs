//! What packing costs: a packed model against its checkpoint, on a text.
//!
//! Both run through the device's code, token by token, in windows of the context that do not overlap; the
//! checkpoint in single precision with single-precision keys and values. Measured are perplexity, the
//! Kullback-Leibler divergence of the next token's distribution, and how often both think the same token most
//! likely.

mod chart;
mod metrics;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use serde::Serialize;
use sprat::tokenizer::scratch_words;
use sprat::{Engine, Image, Kernels, Solo, Special};
use sprat_board_support::memory::limits_for_context;
use sprat_format::{KvType, Limits};

use crate::map::PageBuffer;
use crate::model::{Model, arena_for, engine};
use crate::plan::kv_name;
use crate::table::{grouped, table};
use metrics::{Distribution, Tally};

pub use chart::write_chart;

/// The outcome for one model.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its file.
    pub model: String,
    /// Bytes of the packed file.
    pub bytes: u64,
    /// How keys and values are kept.
    pub kv: &'static str,
    /// Exponential of the mean negative log-likelihood of a token.
    pub perplexity: f64,
    /// Perplexity against the checkpoint's, in per cent more.
    pub perplexity_change_percent: f64,
    /// Mean divergence from the checkpoint in nats a token.
    pub kl_mean: f64,
    /// The divergence that 99 % of the tokens stay below.
    pub kl_p99: f64,
    /// Largest divergence.
    pub kl_max: f64,
    /// Tokens, in per cent, for which both think the same one most likely.
    pub top1_percent: f64,
}

/// The outcome for all models.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The checkpoint.
    pub reference: String,
    /// Its perplexity.
    pub reference_perplexity: f64,
    /// Bytes of text.
    pub text_bytes: usize,
    /// Tokens that were predicted.
    pub predictions: usize,
    /// Tokens of a window.
    pub window_tokens: usize,
    /// The models.
    pub outcomes: Vec<Outcome>,
}

/// Measures `models` against `reference` on `text`, with so many threads.
///
/// # Errors
/// The models are not of one kind, have no tokenizer, or cannot be run.
pub fn evaluate(
    models: &[Model],
    reference: &Model,
    text: &str,
    threads: usize,
    progress: &ProgressBar,
) -> Result<Evaluation> {
    let reference_image = reference.image()?;
    let images = models.iter().map(Model::image).collect::<Result<Vec<_>>>()?;
    for (model, image) in models.iter().zip(&images) {
        check_kinship(image, &reference_image)
            .with_context(|| format!("{} cannot be measured against {}", model.path(), reference.path()))?;
    }
    let context = images.iter().map(|image| image.limits().context).min();
    let context = context.unwrap_or(reference_image.limits().context);
    let windows = windows(&reference_image, text, context as usize)?;
    progress.set_length(windows.iter().map(|window| window.len() as u64).sum());

    let tallies = measure(&reference_image, &images, context, &windows, threads, progress)?;
    let predictions = tallies[0].predictions();
    ensure!(predictions > 0, "the text is too short: it has no token that could be predicted");
    let reference_perplexity = tallies[0].perplexity();
    let outcome = |(model, (image, tally)): (&Model, (&Image<'_>, &Tally))| Outcome {
        model: model.path().to_owned(),
        bytes: model.bytes().len() as u64,
        kv: kv_name(image.limits().kv),
        perplexity: tally.perplexity(),
        perplexity_change_percent: 100.0 * (tally.perplexity() / reference_perplexity - 1.0),
        kl_mean: tally.kl_mean(),
        kl_p99: tally.kl_quantile(0.99),
        kl_max: tally.kl_quantile(1.0),
        top1_percent: 100.0 * tally.top1(),
    };
    Ok(Evaluation {
        reference: reference.path().to_owned(),
        reference_perplexity,
        text_bytes: text.len(),
        predictions,
        window_tokens: context as usize,
        outcomes: models.iter().zip(images.iter().zip(&tallies[1..])).map(outcome).collect(),
    })
}

/// Refuses to compare models that do not speak of the same tokens.
fn check_kinship(image: &Image<'_>, reference: &Image<'_>) -> Result<()> {
    let (found, expected) = (image.config().vocab_size, reference.config().vocab_size);
    ensure!(found == expected, "its vocabulary has {found} tokens, the other's {expected}");
    ensure!(
        image.file().tokenizer_section() == reference.file().tokenizer_section(),
        "they have different tokenizers: pack both with the same one"
    );
    Ok(())
}

/// The text's tokens in windows of at most `context` tokens, each beginning with the token that begins a text
/// if the model has one.
fn windows(image: &Image<'_>, text: &str, context: usize) -> Result<Vec<Vec<u32>>> {
    let tokenizer = image.tokenizer().context("the model has no tokenizer: give one with --tokenizer")?;
    let mut scratch = vec![0; scratch_words(text.len())];
    let mut ids = vec![0; text.len() + 2];
    let count = tokenizer
        .encode(text, Special::AsText, &mut scratch, &mut ids)
        .map_err(|error| anyhow!("the text cannot be tokenized: {error}"))?;
    let bos = image.meta().bos;
    let room = context - usize::from(bos.is_some());
    ensure!(room > 0, "a context of {context} has no room for text");
    Ok(ids[..count].chunks(room).map(|chunk| bos.iter().chain(chunk).copied().collect()).collect())
}

/// One tally for the reference and one for each model. Windows are dealt out to threads; what is added up is
/// in the order of the windows, so the result does not depend on their number.
fn measure(
    reference: &Image<'_>,
    images: &[Image<'_>],
    context: u32,
    windows: &[Vec<u32>],
    threads: usize,
    progress: &ProgressBar,
) -> Result<Vec<Tally>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Vec<Tally>)>> = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        // Every logit is looked at.
        let limits =
            |image: &Image<'_>| Limits { logits_rows: 0, ..limits_for_context(image.limits(), context) };
        let exact = Limits { kv: KvType::F32, ..limits(reference) };
        let all: Vec<_> = [(reference, exact)]
            .into_iter()
            .chain(images.iter().map(|image| (image, limits(image))))
            .collect();
        let arenas = all.iter().map(|(image, limits)| arena_for(image, limits, &Solo));
        let mut arenas = arenas.collect::<Result<Vec<PageBuffer>>>()?;
        let engines = all.iter().zip(&mut arenas);
        let engines =
            engines.map(|((image, limits), arena)| engine(image, *limits, arena, Kernels::detect(), &Solo));
        let mut engines = engines.collect::<Result<Vec<_>>>()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(window) = windows.get(index) else { return Ok(()) };
            let tallies = measure_window(&mut engines, window, progress)?;
            if let Ok(mut done) = done.lock() {
                done.push((index, tallies));
            }
        }
    };
    let threads = threads.clamp(1, windows.len().max(1));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the evaluation panicked")))
        })
    })?;
    let mut done = done.into_inner().map_err(|_| anyhow!("a thread of the evaluation panicked"))?;
    done.sort_unstable_by_key(|(index, _)| *index);
    let mut tallies = vec![Tally::default(); images.len() + 1];
    for (_, window) in done {
        tallies.iter_mut().zip(window).for_each(|(tally, window)| tally.append(window));
    }
    Ok(tallies)
}

fn measure_window(
    engines: &mut [Engine<'_, '_, '_>],
    window: &[u32],
    progress: &ProgressBar,
) -> Result<Vec<Tally>> {
    let mut tallies = vec![Tally::default(); engines.len()];
    engines.iter_mut().for_each(|engine| engine.truncate(0));
    for pair in window.windows(2) {
        let (token, target) = (pair[0], pair[1] as usize);
        let mut reference: Option<Distribution> = None;
        for (engine, tally) in engines.iter_mut().zip(&mut tallies) {
            let logits = engine.feed(&[token]).and_then(|()| engine.logits());
            let found = Distribution::of(logits.map_err(|error| anyhow!("{error}"))?);
            let reference = reference.get_or_insert_with(|| found.clone());
            tally.add(reference, &found, target);
        }
        progress.inc(1);
    }
    progress.inc(1);
    Ok(tallies)
}

impl Evaluation {
    /// A table for a terminal.
    pub fn to_text(&self) -> String {
        let head = ["model", "bytes", "kv", "perplexity", "change", "KL mean", "KL 99 %", "top-1"];
        let row = |outcome: &Outcome| {
            vec![
                outcome.model.clone(),
                grouped(outcome.bytes),
                outcome.kv.to_owned(),
                format!("{:.4}", outcome.perplexity),
                format!("{:+.3} %", outcome.perplexity_change_percent),
                format!("{:.2e}", outcome.kl_mean),
                format!("{:.2e}", outcome.kl_p99),
                format!("{:.2} %", outcome.top1_percent),
            ]
        };
        let exact = vec![
            self.reference.clone(),
            String::new(),
            "f32".into(),
            format!("{:.4}", self.reference_perplexity),
        ];
        let exact = exact.into_iter().chain(std::iter::repeat_n(String::new(), 4)).collect();
        let rows: Vec<_> = std::iter::once(exact).chain(self.outcomes.iter().map(row)).collect();
        format!(
            "{}\n{} predictions in windows of {} tokens, {} bytes of text; KL in nats, against the first line\n",
            table(&head, &rows, &[1, 3, 4, 5, 6, 7]),
            grouped(self.predictions as u64),
            self.window_tokens,
            grouped(self.text_bytes as u64)
        )
    }
}
