//! What calibration measures, through the runtime: the divergence from the checkpoint, and the numbers on the way.
//!
//! The text is cut into windows. Three of four are what the weights are fitted to; every fourth is only looked at to
//! decide between ways, so that no decision is made on the text that it was fitted to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use rayon::prelude::*;
use sprat::tokenizer::scratch_words;
use sprat::{Engine, Image, Kernels, Solo, Special, Tap};
use sprat_board_support::memory::limits_for_context;
use sprat_format::{KvType, Limits, PackedFile, Role};

use super::draft::Key;
use crate::map::PageBuffer;
use crate::model::{arena_for, host_limits};

/// Tokens of a window, or the context if that is less: what shorter windows do not show is the far past.
const WINDOW: usize = 512;
/// Tokens that are used at most, however small the model.
const MOST_TOKENS: usize = 12 << 10;
/// Tokens that are used if there are as many, however large the model.
const LEAST_TOKENS: usize = 2 << 10;
/// Products of one pass over the text, about, that a person waits for.
const MOST_PRODUCTS: usize = 40_000_000_000;
/// Numbers that are kept of the checkpoint's logits.
const MOST_LOGITS: usize = 64 << 20;
/// One window of so many is for decisions.
const CHECK_EVERY: usize = 4;

/// The text and what the checkpoint says of it.
pub(super) struct Text {
    windows: Vec<Vec<u32>>,
    /// Of each window for decisions (T x V): logarithms of probabilities.
    expected: Vec<Vec<f32>>,
}

/// Rows that matrices multiplied, by the first matrix that reads them; queries and keys by layer.
#[derive(Default)]
pub(super) struct Seen {
    /// T x columns.
    pub inputs: BTreeMap<Key, Vec<f32>>,
    /// T x heads*head_dim and T x kv_heads*head_dim.
    pub heads: BTreeMap<u16, (Vec<f32>, Vec<f32>)>,
}

/// Logarithms of the probabilities that logits stand for.
fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().fold(f32::NEG_INFINITY, |most, &logit| most.max(logit));
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
    let normalizer = most + sum.ln() as f32;
    logits.iter().map(|logit| logit - normalizer).collect()
}

/// Kullback-Leibler divergence of q from p, of which logarithms are given.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let terms = p.iter().zip(q).map(|(&p, &q)| f64::from(p).exp() * (f64::from(p) - f64::from(q)));
    terms.sum::<f64>().max(0.0)
}

impl Text {
    /// Cuts a text into the windows of a model whose exact form is `exact`, and remembers what that says.
    pub fn new(text: &str, exact: &PageBuffer, parameters: usize) -> Result<Self> {
        let image = image(exact)?;
        let tokenizer = image.tokenizer().context("the model has no tokenizer: give one with --tokenizer")?;
        let vocabulary = image.config().vocab_size as usize;
        let affordable = (MOST_PRODUCTS / parameters.max(1)).max(LEAST_TOKENS);
        let tokens = MOST_TOKENS.min(affordable).min(CHECK_EVERY * MOST_LOGITS / vocabulary);
        // A token is rarely more than 32 bytes long, and the rest of a longer text is not needed.
        let text = &text[..text.floor_char_boundary(tokens.saturating_mul(32))];
        let mut scratch = vec![0; scratch_words(text.len())];
        let mut ids = vec![0; text.len() + 2];
        let count = tokenizer
            .encode(text, Special::Parse, &mut scratch, &mut ids)
            .map_err(|error| anyhow!("the text cannot be tokenized: {error}"))?;
        let bos = image.meta().bos;
        let window = WINDOW.min(image.limits().context as usize);
        let room = window.saturating_sub(usize::from(bos.is_some())).max(1);
        let ids = &ids[..count.min(tokens)];
        let windows: Vec<Vec<u32>> =
            ids.chunks(room).map(|chunk| bos.iter().chain(chunk).copied().collect()).collect();
        ensure!(
            windows.len() >= CHECK_EVERY && ids.len() >= 1000,
            "the calibration text has {} tokens, which make {} windows of {window}: give at least {}",
            ids.len(),
            windows.len(),
            1000.max(CHECK_EVERY * room)
        );
        Self::of_windows(windows, exact)
    }

    /// The same of windows of tokens.
    pub fn of_windows(windows: Vec<Vec<u32>>, exact: &PageBuffer) -> Result<Self> {
        let image = image(exact)?;
        let vocabulary = image.config().vocab_size as usize;
        let mut text = Self { windows, expected: Vec::new() };
        text.expected = text.each(true, |window| {
            let mut expected = Vec::with_capacity(window.len() * vocabulary);
            run(&image, KvType::F32, window, None, |logits| expected.extend(log_softmax(logits)))?;
            Ok(expected)
        })?;
        Ok(text)
    }

    /// Tokens in all windows.
    pub fn tokens(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }

    /// Calls `work` for each window of one kind, in parallel; the results come in the windows' order.
    fn each<T: Send>(
        &self,
        for_decisions: bool,
        work: impl Fn(&[u32]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let chosen = self.windows.iter().enumerate();
        let chosen: Vec<_> = chosen
            .filter(|(number, _)| (number % CHECK_EVERY == CHECK_EVERY - 1) == for_decisions)
            .map(|(_, window)| window)
            .collect();
        chosen.par_iter().map(|window| work(window)).collect()
    }

    /// Mean divergence of a packed model from the checkpoint, in nats a token, on the windows for decisions.
    pub fn divergence(&self, bytes: &PageBuffer) -> Result<f64> {
        let image = image(bytes)?;
        let vocabulary = image.config().vocab_size as usize;
        let windows = self.windows.iter().skip(CHECK_EVERY - 1).step_by(CHECK_EVERY);
        let pairs: Vec<_> = self.expected.iter().zip(windows).collect();
        let sums: Vec<f64> = pairs
            .par_iter()
            .map(|(expected, window)| {
                let (mut sum, mut rows) = (0.0, expected.chunks_exact(vocabulary));
                run(&image, image.limits().kv, window, None, |logits| {
                    sum += divergence(rows.next().unwrap_or_default(), &log_softmax(logits));
                })?;
                Ok(sum)
            })
            .collect::<Result<_>>()?;
        let tokens: usize = pairs.iter().map(|(_, window)| window.len()).sum();
        Ok(sums.iter().sum::<f64>() / tokens as f64)
    }

    /// What the matrices of which `wanted` is true multiply, and queries and keys where it is true of the queries' matrix,
    /// on the windows that are fitted to.
    pub fn see(&self, bytes: &PageBuffer, kv: KvType, wanted: impl Fn(Key) -> bool + Sync) -> Result<Seen> {
        let image = image(bytes)?;
        let addresses: BTreeMap<usize, Key> = addresses(image.file(), &wanted);
        let every = self.each(false, |window| {
            let watcher = Watcher { addresses: &addresses, seen: Mutex::default() };
            run(&image, kv, window, Some(&watcher), |_| {})?;
            Ok(watcher.seen.into_inner().unwrap_or_else(PoisonError::into_inner))
        })?;
        let mut all = Seen::default();
        for seen in every {
            for (key, rows) in seen.inputs {
                all.inputs.entry(key).or_default().extend(rows);
            }
            for (layer, (queries, keys)) in seen.heads {
                let both = all.heads.entry(layer).or_default();
                both.0.extend(queries);
                both.1.extend(keys);
            }
        }
        Ok(all)
    }
}

/// Where the wanted matrices begin.
fn addresses(file: &PackedFile<'_>, wanted: &impl Fn(Key) -> bool) -> BTreeMap<usize, Key> {
    file.tensors()
        .map(|(role, layer, tensor)| (tensor.values.as_ptr().addr(), (layer.map(|layer| layer as u16), role)))
        .filter(|(_, key)| key.1.is_matrix() && wanted(*key))
        .collect()
}

/// Keeps what the runtime shows.
struct Watcher<'a> {
    addresses: &'a BTreeMap<usize, Key>,
    seen: Mutex<Seen>,
}

impl Tap for Watcher<'_> {
    fn input(&self, matrix: usize, rows: &[f32]) {
        if let (Some(key), Ok(mut seen)) = (self.addresses.get(&matrix), self.seen.lock()) {
            seen.inputs.entry(*key).or_default().extend_from_slice(rows);
        }
    }

    fn heads(&self, layer: usize, queries: &[f32], keys: &[f32]) {
        let layer = layer as u16;
        if !self.addresses.values().any(|key| *key == (Some(layer), Role::Query)) {
            return;
        }
        if let Ok(mut seen) = self.seen.lock() {
            let both = seen.heads.entry(layer).or_default();
            both.0.extend_from_slice(queries);
            both.1.extend_from_slice(keys);
        }
    }
}

fn image(bytes: &PageBuffer) -> Result<Image<'_>> {
    Image::new(bytes).map_err(|error| anyhow!("the model cannot be run: {error}"))
}

/// Feeds a window; `each` gets the logits after each token.
fn run(
    image: &Image<'_>,
    kv: KvType,
    window: &[u32],
    tap: Option<&dyn Tap>,
    mut each: impl FnMut(&mut [f32]),
) -> Result<()> {
    let limits = limits_for_context(image.limits(), window.len() as u32);
    let limits = Limits { logits_rows: 0, kv, ..host_limits(&limits) };
    let mut arena = arena_for(image, &limits, &Solo)?;
    let engine = Engine::new(image, limits, &mut arena, Kernels::detect());
    let mut engine = engine.map_err(|error| anyhow!("{error}"))?;
    if let Some(tap) = tap {
        engine.set_tap(tap);
    }
    engine.feed_each(window, |_, logits| each(logits)).map_err(|error| anyhow!("{error}"))
}
