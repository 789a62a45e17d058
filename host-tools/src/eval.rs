//! What packing costs: packed models against their checkpoint, on a text.
//!
//! All run through the device's code, in windows of the context that do not overlap; the checkpoint in single precision
//! with single-precision keys and values. Measured are perplexity, the Kullback-Leibler divergence of the next token's
//! distribution (in nats, checkpoint against packed model), how often both think the same token most likely, the
//! predictions that differ most, and how the residual stream drifts from layer to layer.
//!
//! Tokens are read a few at a time and compared at once: of the logits of all models no more than those are ever in
//! memory. Windows are dealt out to threads; the result does not depend on their number.
//!
//! # JSON
//!
//! `--json` writes an [`Evaluation`], every field by its name: `schema` is [`SCHEMA`], and grows when a field changes
//! its meaning or goes away (new fields may come at any time). Divergences are in nats a token, shares from 0 to 1,
//! fields that end in `percent` in per cent.

mod chart;
mod endless;
mod figures;
mod files;
mod html;
mod layers;
mod metrics;
mod worst;

use std::path::Path;
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
use crate::output::write_whole;
use crate::plan::kv_name;
use crate::table::{grouped, table};
use layers::{LayerErrors, Residuals};
use metrics::{Distribution, Tally};
use worst::Place;

pub use endless::{Endless, EndlessOptions, Outcome as PolicyOutcome, Policy, endless};
pub use files::FileSum;
pub use html::to_html;
pub use metrics::{HistogramBin, PositionBin};
pub use worst::{Choice, WorstToken};

/// Version of the JSON.
pub const SCHEMA: u32 = 1;
/// Tokens that are read at once: their distributions are in memory together.
const CHUNK: usize = 16;
/// Ranges of positions over which divergences are averaged.
const POSITION_BINS: usize = 24;

/// The outcome for one model.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its file.
    pub model: String,
    /// Bytes of the packed file.
    pub bytes: u64,
    /// How keys and values are kept.
    pub kv: &'static str,
    /// Program that packed it.
    pub tool: String,
    /// How its weights were quantized, as far as the file says.
    pub recipe: String,
    /// Exponential of the mean negative log-likelihood of a token.
    pub perplexity: f64,
    /// Perplexity against the checkpoint's, in per cent more.
    pub perplexity_change_percent: f64,
    /// Mean divergence from the checkpoint in nats a token.
    pub kl_mean: f64,
    /// The divergence that half of the tokens stay below.
    pub kl_p50: f64,
    /// The divergence that 99 % of the tokens stay below.
    pub kl_p99: f64,
    /// Largest divergence.
    pub kl_max: f64,
    /// Tokens, in per cent, for which both think the same one most likely.
    pub top1_percent: f64,
    /// Relative error of the residual stream after each layer.
    pub layer_errors: Vec<f64>,
    /// Mean divergence by position in the window.
    pub kl_by_position: Vec<PositionBin>,
    /// How many predictions have which divergence.
    pub kl_histogram: Vec<HistogramBin>,
    /// The predictions with the largest divergence, the worst first.
    pub worst_tokens: Vec<WorstToken>,
}

/// The outcome for all models.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Version of this structure as JSON.
    pub schema: u32,
    /// Program that measured.
    pub tool: String,
    /// Command that produced this; empty when it was no command.
    pub command: String,
    /// The checkpoint.
    pub reference: String,
    /// Its perplexity.
    pub reference_perplexity: f64,
    /// Bytes of text.
    pub text_bytes: usize,
    /// Windows that the text was cut into.
    pub windows: usize,
    /// Tokens that were predicted.
    pub predictions: usize,
    /// Tokens of a window.
    pub window_tokens: usize,
    /// The models.
    pub outcomes: Vec<Outcome>,
    /// All files that took part, with their checksums; empty unless they were asked for.
    pub files: Vec<FileSum>,
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

    let findings = measure(&reference_image, &images, context, &windows, threads, progress)?;
    let predictions = findings[0].tally.predictions();
    ensure!(predictions > 0, "the text is too short: it has no token that could be predicted");
    let reference_perplexity = findings[0].tally.perplexity();
    let tokenizer = reference_image.tokenizer().context("the model has no tokenizer")?;
    let outcome = |(model, (image, findings)): (&Model, (&Image<'_>, &Findings))| {
        let tally = &findings.tally;
        let [kl_p50, kl_p99, kl_max] = tally.kl_quantiles([0.5, 0.99, 1.0]);
        Outcome {
            model: model.path().to_owned(),
            bytes: model.bytes().len() as u64,
            kv: kv_name(image.limits().kv),
            tool: image.meta().tool.to_owned(),
            recipe: image.meta().recipe.to_owned(),
            perplexity: tally.perplexity(),
            perplexity_change_percent: 100.0 * (tally.perplexity() / reference_perplexity - 1.0),
            kl_mean: tally.kl_mean(),
            kl_p50,
            kl_p99,
            kl_max,
            top1_percent: 100.0 * tally.top1(),
            layer_errors: findings.layers.relative(),
            kl_by_position: tally.by_position(POSITION_BINS),
            kl_histogram: tally.histogram(),
            worst_tokens: worst::spelled(tally.worst(), &windows, tokenizer),
        }
    };
    Ok(Evaluation {
        schema: SCHEMA,
        tool: crate::pack::TOOL.to_owned(),
        command: String::new(),
        reference: reference.path().to_owned(),
        reference_perplexity,
        text_bytes: text.len(),
        windows: windows.len(),
        predictions,
        window_tokens: context as usize,
        outcomes: models.iter().zip(images.iter().zip(&findings[1..])).map(outcome).collect(),
        files: Vec::new(),
    })
}

/// Refuses to compare models that do not speak of the same tokens.
fn check_kinship(image: &Image<'_>, reference: &Image<'_>) -> Result<()> {
    let (found, expected) = (image.config().vocab_size, reference.config().vocab_size);
    ensure!(
        found == expected,
        "its vocabulary has {found} tokens, the other's {expected}; expected the same tokens: compare files of one \
         checkpoint, and one that was trimmed (--trim-vocab) with another that was trimmed by the same text \
         (sprat pack SRC --trim-vocab TEXT --weights f32 -o REFERENCE.sprat)"
    );
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

/// What was found of one model.
#[derive(Clone, Debug, Default)]
struct Findings {
    tally: Tally,
    layers: LayerErrors,
}

/// Findings for the reference and for each model. Windows are dealt out to threads; what is added up is in the order
/// of the windows, so the result does not depend on their number.
fn measure(
    reference: &Image<'_>,
    images: &[Image<'_>],
    context: u32,
    windows: &[Vec<u32>],
    threads: usize,
    progress: &ProgressBar,
) -> Result<Vec<Findings>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Vec<Findings>)>> = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        // Every logit is looked at.
        let limits = |image: &Image<'_>| Limits {
            logits_rows: 0,
            prefill_chunk: CHUNK as u32,
            ..limits_for_context(image.limits(), context)
        };
        let exact = Limits { kv: KvType::F32, ..limits(reference) };
        let all: Vec<_> = [(reference, exact)]
            .into_iter()
            .chain(images.iter().map(|image| (image, limits(image))))
            .collect();
        let residuals: Vec<Residuals> = all.iter().map(|_| Residuals::default()).collect();
        let arenas = all.iter().map(|(image, limits)| arena_for(image, limits, &Solo));
        let mut arenas = arenas.collect::<Result<Vec<PageBuffer>>>()?;
        let engines = all.iter().zip(&mut arenas).zip(&residuals);
        let engines = engines.map(|(((image, limits), arena), residuals)| {
            let mut engine = engine(image, *limits, arena, Kernels::detect(), &Solo)?;
            engine.set_tap(residuals);
            Ok(engine)
        });
        let mut engines = engines.collect::<Result<Vec<_>>>()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(window) = windows.get(index) else { return Ok(()) };
            let findings = measure_window(&mut engines, &residuals, index, window, progress)?;
            if let Ok(mut done) = done.lock() {
                done.push((index, findings));
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
    let mut findings = vec![Findings::default(); images.len() + 1];
    for (_, window) in done {
        for (all, window) in findings.iter_mut().zip(window) {
            all.tally.append(window.tally);
            all.layers.append(&window.layers);
        }
    }
    Ok(findings)
}

fn measure_window(
    engines: &mut [Engine<'_, '_, '_>],
    residuals: &[Residuals],
    number: usize,
    window: &[u32],
    progress: &ProgressBar,
) -> Result<Vec<Findings>> {
    let mut findings = vec![Findings::default(); engines.len()];
    engines.iter_mut().for_each(|engine| engine.truncate(0));
    let read = &window[..window.len().saturating_sub(1)];
    for (index, chunk) in read.chunks(CHUNK).enumerate() {
        let first = index * CHUNK;
        let mut reference: Vec<Distribution> = Vec::with_capacity(CHUNK);
        let all = engines.iter_mut().zip(residuals).zip(&mut findings);
        for (model, ((engine, residual), findings)) in all.enumerate() {
            let fed = engine.feed_each(chunk, |at, logits| {
                let found = Distribution::of(logits);
                if model == 0 {
                    reference.push(found.clone());
                }
                let position = first + at;
                let place = Place { window: number, position, target: window[position + 1] };
                findings.tally.add(&reference[at], &found, place);
            });
            fed.map_err(|error| anyhow!("{error}"))?;
            if model > 0 {
                findings.layers.add(&residuals[0], residual);
            }
        }
        progress.inc(chunk.len() as u64);
    }
    progress.inc(1);
    Ok(findings)
}

impl Evaluation {
    /// A table for a terminal.
    pub fn to_text(&self) -> String {
        let head = ["model", "bytes", "kv", "perplexity", "change", "KL mean", "KL 99 %", "KL max", "top-1"];
        let row = |outcome: &Outcome| {
            vec![
                outcome.model.clone(),
                grouped(outcome.bytes),
                outcome.kv.to_owned(),
                format!("{:.4}", outcome.perplexity),
                format!("{:+.3} %", outcome.perplexity_change_percent),
                format!("{:.2e}", outcome.kl_mean),
                format!("{:.2e}", outcome.kl_p99),
                format!("{:.2e}", outcome.kl_max),
                format!("{:.2} %", outcome.top1_percent),
            ]
        };
        let exact = vec![
            self.reference.clone(),
            String::new(),
            "f32".into(),
            format!("{:.4}", self.reference_perplexity),
        ];
        let exact = exact.into_iter().chain(std::iter::repeat_n(String::new(), 5)).collect();
        let rows: Vec<_> = std::iter::once(exact).chain(self.outcomes.iter().map(row)).collect();
        let mut out = format!(
            "{}\n{} predictions in {} windows of {} tokens, {} bytes of text; KL in nats, against the first line\n",
            table(&head, &rows, &[1, 3, 4, 5, 6, 7, 8]),
            grouped(self.predictions as u64),
            grouped(self.windows as u64),
            self.window_tokens,
            grouped(self.text_bytes as u64)
        );
        for outcome in &self.outcomes {
            out += &outcome.worst_text();
        }
        out
    }

    /// Names the command and the files that this came from, with their checksums.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn attribute(&mut self, command: String, files: &[&Path]) -> Result<()> {
        self.command = command;
        self.files = files.iter().map(|path| files::sums(path)).collect::<Result<Vec<_>>>()?.concat();
        Ok(())
    }

    /// Draws the divergence and the perplexity of every model into an SVG file.
    ///
    /// # Errors
    /// Nothing was measured, or the file cannot be written.
    pub fn write_chart(&self, path: &Path) -> Result<()> {
        write_whole(path, chart::draw(self)?.as_bytes())
    }

    /// Writes everything as one HTML page that needs no other file.
    ///
    /// # Errors
    /// Nothing was measured, or the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        write_whole(path, to_html(self)?.as_bytes())
    }
}

/// Worst tokens that a terminal is shown.
const WORST_SHOWN: usize = 3;

impl Outcome {
    /// The worst predictions for a terminal.
    fn worst_text(&self) -> String {
        let choice = |choices: &[Choice]| {
            let choice = choices.first().map(|choice| (choice.text.as_str(), 100.0 * choice.probability));
            choice.map_or_else(String::new, |(text, percent)| format!("{text:?} {percent:.1} %"))
        };
        let row = |worst: &WorstToken| {
            let tail: Vec<char> = worst.context.chars().rev().take(32).collect();
            let context: String = tail.into_iter().rev().collect();
            vec![
                format!("{:.2e}", worst.kl),
                format!("{}:{}", worst.window, worst.position),
                format!("{context:?}"),
                format!("{:?}", worst.target),
                choice(&worst.reference),
                choice(&worst.found),
            ]
        };
        let rows: Vec<_> = self.worst_tokens.iter().take(WORST_SHOWN).map(row).collect();
        let head = ["KL", "window:token", "after", "text has", "checkpoint says", "packed says"];
        format!("\nworst tokens of {}\n{}", self.model, table(&head, &rows, &[0]))
    }
}
