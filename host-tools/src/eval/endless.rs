//! A text that is longer than the context: what can be done when the cache is full, and what each way costs.
//!
//! The text is read as one, token by token as in generation, and every token is predicted from what the cache holds.
//! The perplexity over the position shows whether a model that slides holds on or loses its way, and the products how
//! much is computed for it.

use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use plotters::prelude::*;
use serde::Serialize;
use sprat::tokenizer::scratch_words;
use sprat::{Engine, Image, Kernels, Solo, Special};
use sprat_board_support::memory::limits_for_context;
use sprat_format::Limits;

use super::metrics::Distribution;
use crate::model::{Model, arena_for, engine};
use crate::output::write_whole;
use crate::table::{grouped, table};

/// Pieces of the text over which the perplexity is averaged.
const BINS: usize = 40;
const SIZE: (u32, u32) = (900, 520);
const INK: RGBColor = RGBColor(40, 40, 40);
const QUIET: RGBColor = RGBColor(120, 120, 120);

/// What is done when the cache is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Nothing more is read.
    Refuse,
    /// The oldest tokens but for the first are dropped, and the others read again.
    ReadAgain,
    /// The oldest tokens are dropped, and the others stay as they are.
    Slide,
    /// The same, but the first tokens stay: attention sinks.
    Sinks,
}

impl Policy {
    const ALL: [Self; 4] = [Self::Refuse, Self::ReadAgain, Self::Slide, Self::Sinks];

    const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::ReadAgain => "drop, read the rest again",
            Self::Slide => "slide without sinks",
            Self::Sinks => "slide with sinks",
        }
    }

    const fn color(self) -> RGBColor {
        match self {
            Self::Refuse => RGBColor(90, 90, 90),
            Self::ReadAgain => RGBColor(60, 140, 60),
            Self::Slide => RGBColor(190, 80, 30),
            Self::Sinks => RGBColor(20, 90, 160),
        }
    }
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct EndlessOptions {
    /// Tokens of the text.
    pub tokens: usize,
    /// Tokens of context; those it was packed for by default.
    pub context: Option<u32>,
    /// Tokens at the beginning that stay.
    pub sinks: usize,
    /// Tokens that are dropped at once.
    pub drop: usize,
    /// Threads: one a policy at most.
    pub threads: usize,
}

/// The outcome of one policy.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The policy.
    pub policy: Policy,
    /// Tokens that were predicted.
    pub predictions: usize,
    /// Exponential of the mean negative log-likelihood of a token.
    pub perplexity: f64,
    /// The same of the tokens behind the first context alone; absent where none was read.
    pub perplexity_behind: Option<f64>,
    /// The same for each piece of the text: the position of its end, and the perplexity.
    pub by_position: Vec<(usize, f64)>,
    /// Products (multiply-adds) a token.
    pub products_a_token: f64,
    /// Tokens that were in the cache at most.
    pub most_cached: usize,
    /// Bytes of the arena; nothing else grows with the text.
    pub arena_bytes: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The outcome for a model.
#[derive(Clone, Debug, Serialize)]
pub struct Endless {
    /// The model.
    pub model: String,
    /// Tokens of the text.
    pub tokens: usize,
    /// Tokens of context.
    pub context: u32,
    /// Tokens at the beginning that stay.
    pub sinks: usize,
    /// Tokens that are dropped at once.
    pub drop: usize,
    /// Policy by policy; those that the model cannot follow are left out.
    pub outcomes: Vec<Outcome>,
    /// Why a policy was left out.
    pub notes: Vec<String>,
}

/// Reads a text with every policy.
///
/// # Errors
/// No tokenizer, a text that is too short, or numbers that are impossible for the model.
pub fn endless(
    model: &Model,
    text: &str,
    options: &EndlessOptions,
    progress: &ProgressBar,
) -> Result<Endless> {
    let image = model.image()?;
    let tokens = tokens(&image, text, options.tokens)?;
    let context = options.context.unwrap_or(image.limits().context);
    let limits = Limits { logits_rows: 0, ..limits_for_context(image.limits(), context) };
    let (sinks, drop) = (options.sinks, options.drop);
    ensure!(
        drop > 0 && sinks + drop < context as usize,
        "{sinks} sinks and {drop} tokens to drop at once do not leave anything in a context of {context}"
    );
    progress.set_length((tokens.len() * Policy::ALL.len()) as u64);
    let read = |policy| read(&image, limits, &tokens, policy, options, progress);
    let mut found = Vec::new();
    for policies in Policy::ALL.chunks(options.threads.max(1)) {
        thread::scope(|scope| -> Result<()> {
            let threads: Vec<_> = policies.iter().map(|&policy| scope.spawn(move || read(policy))).collect();
            for thread in threads {
                found.push(thread.join().map_err(|_| anyhow!("a thread of the evaluation panicked"))??);
            }
            Ok(())
        })?;
    }
    let mut this = Endless {
        model: model.path().to_owned(),
        tokens: tokens.len(),
        context,
        sinks,
        drop,
        outcomes: Vec::new(),
        notes: Vec::new(),
    };
    for outcome in found {
        match outcome {
            Ok(outcome) => this.outcomes.push(outcome),
            Err(note) => this.notes.push(note),
        }
    }
    Ok(this)
}

/// The first tokens of the text, behind the one that begins a text if the model has one.
fn tokens(image: &Image<'_>, text: &str, wanted: usize) -> Result<Vec<u32>> {
    let tokenizer = image.tokenizer().context("the model has no tokenizer: give one with --tokenizer")?;
    let (mut scratch, mut ids) = (vec![0; scratch_words(text.len())], vec![0; text.len() + 2]);
    let count = tokenizer
        .encode(text, Special::AsText, &mut scratch, &mut ids)
        .map_err(|error| anyhow!("the text cannot be tokenized: {error}"))?;
    let all: Vec<u32> = image.meta().bos.into_iter().chain(ids[..count].iter().copied()).collect();
    ensure!(
        all.len() > wanted && wanted > 1,
        "{wanted} tokens and one more were asked for, at least 2, and the text has {}: give more with --max-bytes",
        all.len()
    );
    Ok(all[..wanted + 1].to_vec())
}

/// The sum of what tokens cost, in nats, and their number.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    nats: f64,
    tokens: usize,
}

impl Loss {
    fn add(&mut self, nats: f64) {
        self.nats += nats;
        self.tokens += 1;
    }

    fn perplexity(self) -> f64 {
        (self.nats / self.tokens as f64).exp()
    }
}

/// Reads with one policy; a policy that the model cannot follow gives a note instead.
fn read(
    image: &Image<'_>,
    limits: Limits,
    tokens: &[u32],
    policy: Policy,
    options: &EndlessOptions,
    progress: &ProgressBar,
) -> Result<std::result::Result<Outcome, String>> {
    let mut arena = arena_for(image, &limits, &Solo)?;
    let mut engine = engine(image, limits, &mut arena, Kernels::detect(), &Solo)?;
    let (context, drop) = (limits.context as usize, options.drop);
    let slid = match policy {
        Policy::Slide => engine.slide(0, drop),
        Policy::Sinks => engine.slide(options.sinks, drop),
        Policy::Refuse | Policy::ReadAgain => Ok(()),
    };
    if let Err(error) = slid {
        progress.inc(tokens.len() as u64);
        return Ok(Err(format!("{}: {error}", policy.name())));
    }
    let start = Instant::now();
    let (mut all, mut behind) = (Loss::default(), Loss::default());
    let read = tokens.len() - 1;
    let bin = read.div_ceil(BINS);
    let mut bins = vec![Loss::default(); read.div_ceil(bin)];
    let mut most_cached = 0;
    for (position, pair) in tokens.windows(2).enumerate() {
        progress.inc(1);
        if engine.room() == 0 {
            match policy {
                Policy::ReadAgain => {
                    let stay = options.sinks.min(position);
                    let from = position - (context - drop - stay);
                    read_again(&mut engine, &tokens[..stay], &tokens[from..position])?;
                }
                _ => break,
            }
        }
        engine.feed(&pair[..1]).map_err(|error| anyhow!("{error}"))?;
        let logits = engine.logits().map_err(|error| anyhow!("{error}"))?;
        let nats = -Distribution::of(logits).log_probability(pair[1]);
        all.add(nats);
        bins[position / bin].add(nats);
        if position >= context {
            behind.add(nats);
        }
        most_cached = most_cached.max(engine.position());
    }
    let full = bins.iter().enumerate().filter(|(_, loss)| loss.tokens > 0);
    Ok(Ok(Outcome {
        policy,
        predictions: all.tokens,
        perplexity: all.perplexity(),
        perplexity_behind: (behind.tokens > 0).then(|| behind.perplexity()),
        by_position: full.map(|(number, loss)| (number * bin + loss.tokens, loss.perplexity())).collect(),
        products_a_token: engine.products() as f64 / all.tokens.max(1) as f64,
        most_cached,
        arena_bytes: engine.plan().arena_bytes,
        seconds: start.elapsed().as_secs_f64(),
    }))
}

/// Begins anew with what stays and the rest.
fn read_again(engine: &mut Engine<'_, '_, '_>, stay: &[u32], rest: &[u32]) -> Result<()> {
    engine.truncate(0);
    for part in [stay, rest] {
        if !part.is_empty() {
            engine.feed(part).map_err(|error| anyhow!("{error}"))?;
        }
    }
    Ok(())
}

impl Endless {
    /// A table for a terminal.
    pub fn to_text(&self) -> String {
        let head = [
            "when the context is full",
            "predictions",
            "perplexity",
            "behind the first context",
            "products a token",
            "cached at most",
            "arena",
        ];
        let row = |outcome: &Outcome| {
            vec![
                outcome.policy.name().to_owned(),
                grouped(outcome.predictions as u64),
                format!("{:.4}", outcome.perplexity),
                outcome.perplexity_behind.map_or_else(String::new, |perplexity| format!("{perplexity:.4}")),
                grouped(outcome.products_a_token.round() as u64),
                grouped(outcome.most_cached as u64),
                grouped(outcome.arena_bytes as u64),
            ]
        };
        let rows: Vec<_> = self.outcomes.iter().map(row).collect();
        let mut out = table(&head, &rows, &[1, 2, 3, 4, 5, 6]);
        out += &format!(
            "\n{}: a text of {} tokens through a context of {}, {} sinks, {} tokens dropped at once\n",
            self.model,
            grouped(self.tokens as u64 - 1),
            self.context,
            self.sinks,
            self.drop
        );
        for note in &self.notes {
            out += &format!("note: {note}\n");
        }
        out
    }

    /// Draws the perplexity over the position for each policy into an SVG file.
    ///
    /// # Errors
    /// Nothing was measured, or the file cannot be written.
    pub fn write_chart(&self, path: &Path) -> Result<()> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
        write_whole(path, svg.as_bytes())
    }

    fn draw<'s>(&self, svg: &'s mut String) -> Result<(), Box<dyn std::error::Error + 's>> {
        let all = || self.outcomes.iter().flat_map(|outcome| outcome.by_position.iter().map(|point| point.1));
        let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        if most == 0.0 {
            return Err("nothing was measured".into());
        }
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw(&Text::new("A text without end", (16, 12), font(22, INK)))?;
        let subject = format!(
            "{}: context {}, {} sinks, {} tokens dropped at once",
            super::files::file_name(&self.model),
            self.context,
            self.sinks,
            self.drop
        );
        root.draw(&Text::new(subject, (16, 42), font(14, QUIET)))?;
        let (_, body) = root.split_vertically(66);
        let mut chart = ChartBuilder::on(&body)
            .set_label_area_size(LabelAreaPosition::Left, 70)
            .set_label_area_size(LabelAreaPosition::Bottom, 44)
            .margin_right(24)
            .build_cartesian_2d(0.0..self.tokens as f64, (least * 0.8..most * 1.6).log_scale().base(2.0))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(QUIET.mix(0.25))
            .label_style(font(12, QUIET))
            .x_label_formatter(&|tokens| grouped(*tokens as u64))
            .y_label_formatter(&|perplexity| format!("{perplexity:.1}"))
            .x_desc("position in the text, tokens")
            .y_desc("perplexity")
            .axis_desc_style(font(13, INK))
            .draw()?;
        for outcome in &self.outcomes {
            let color = outcome.policy.color();
            let points = || outcome.by_position.iter().map(|&(position, found)| (position as f64, found));
            chart.draw_series(points().map(|point| Circle::new(point, 2, color.filled())))?;
            let key = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2));
            let line = LineSeries::new(points(), color.stroke_width(2));
            chart.draw_series(line)?.label(outcome.policy.name()).legend(key);
        }
        let labels = font(12, INK);
        chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).label_font(labels).draw()?;
        root.present()?;
        Ok(())
    }
}

fn font(size: u32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

#[cfg(test)]
mod tests {
    use crate::fixture::{HuggingFace, VOCAB_SIZE, write_tokenizer_bin};
    use crate::import::{Dtype, OpenOptions};

    use super::*;

    fn read_with(model: HuggingFace, options: &EndlessOptions) -> Result<Endless> {
        let directory = tempfile::tempdir().unwrap();
        let path = model.write(directory.path(), "m", Dtype::F32).unwrap();
        let tokenizer = Some(write_tokenizer_bin(directory.path(), VOCAB_SIZE).unwrap());
        let open = OpenOptions { tokenizer, ..OpenOptions::default() };
        let model = Model::open(&path, &open, &ProgressBar::hidden()).unwrap();
        endless(&model, &"abc de ab c a ".repeat(30), options, &ProgressBar::hidden())
    }

    const OPTIONS: EndlessOptions =
        EndlessOptions { tokens: 100, context: Some(12), sinks: 2, drop: 4, threads: 3 };

    #[test]
    fn every_policy_reads_as_far_as_it_can_in_the_same_memory() {
        let found = read_with(HuggingFace::llama(1), &OPTIONS).unwrap();
        let policies: Vec<_> = found.outcomes.iter().map(|outcome| outcome.policy).collect();
        assert_eq!((policies, found.notes.len()), (Policy::ALL.to_vec(), 0));
        for outcome in &found.outcomes {
            let refuses = outcome.policy == Policy::Refuse;
            assert_eq!(outcome.predictions, if refuses { 12 } else { 100 }, "{outcome:?}");
            assert_eq!((outcome.most_cached, outcome.perplexity_behind.is_none()), (12, refuses));
            assert_eq!(outcome.arena_bytes, found.outcomes[0].arena_bytes);
            assert!(outcome.by_position.iter().all(|(_, found)| found.is_finite() && *found > 1.0));
            assert_eq!(outcome.by_position.last().map(|last| last.0), Some(outcome.predictions));
        }
        let [refuse, again, slide, sinks] = &found.outcomes[..] else { panic!("four policies") };
        assert_eq!(refuse.by_position[..4], sinks.by_position[..4], "until the context is full all are one");
        assert_ne!(slide.perplexity, sinks.perplexity);
        assert!(again.products_a_token > sinks.products_a_token);
        assert!(sinks.products_a_token > slide.products_a_token, "sinks are read again");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("endless.svg");
        found.write_chart(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(Policy::ALL.iter().all(|policy| svg.contains(policy.name())), "{svg}");
        assert!(found.to_text().contains("slide with sinks"), "{}", found.to_text());
    }

    #[test]
    fn what_a_model_cannot_do_is_said() {
        let found = read_with(HuggingFace::gpt2(1), &OPTIONS).unwrap();
        assert_eq!((found.outcomes.len(), found.notes.len()), (2, 2));
        assert!(found.notes[1].contains("embedding for each position"), "{:?}", found.notes);
        let message = |options| format!("{:#}", read_with(HuggingFace::llama(1), &options).unwrap_err());
        assert!(message(EndlessOptions { tokens: 9999, ..OPTIONS }).contains("--max-bytes"));
        assert!(message(EndlessOptions { drop: 10, ..OPTIONS }).contains("do not leave anything"));
    }
}
