//! Quantization that looks at a text: what is rounded, and how, is decided by what the runtime computes on it.
//!
//! Rounding to nearest treats every weight alike. Calibration first moves scales to where they make the rounding
//! smaller without changing the function (`migrate`), then rounds each matrix so that its outputs err least, from the
//! first layer to the last, each on the inputs that the quantized layers before it really give it (`round`), and
//! keeps of every decision what the runtime's divergence from the checkpoint says is better. A budget of bytes or of
//! divergence then chooses which matrices stay in half precision (`choose`). Everything is measured by the device's
//! own code, and the outcome does not depend on the number of threads.

mod choose;
mod draft;
mod measure;
mod migrate;
mod round;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use sprat_format::{KvType, Role, TensorSpec};

use crate::import::Checkpoint;
use crate::map::PageBuffer;
use crate::output::Unfinished;
use crate::pack::PackOptions;
use crate::table::{grouped, table};
use draft::{Draft, is_q8, key};
use measure::Text;
use round::{Inputs, moments, quantized_rows};

pub use choose::Choice;

/// Numbers of activations that are in memory at once, of all layers that are looked at together.
const MOST_SEEN: usize = 64 << 20;
/// The inputs of each matrix are looked at anew after the one before it was rounded where a model has at most so many
/// parameters; those of larger ones once for each layer, as looking takes longer than a person waits.
const STEPWISE_PARAMETERS: usize = 8_000_000;

/// Bytes of the recipe's text in the file, at most: it is written when everything else is decided.
const RECIPE_BYTES: u64 = 256;

/// What calibration may be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goals {
    /// Bytes that the packed file may have.
    pub budget: Option<u64>,
    /// Divergence from the checkpoint, in nats a token, that is allowed on the calibration text.
    pub max_kl: Option<f64>,
}

/// A calibrated model.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// The packed file.
    pub bytes: Vec<u8>,
    /// Mean divergence from the checkpoint with rounding to nearest, in nats a token, on the part of the text that
    /// decisions are made on.
    pub nearest_kl: f64,
    /// The same of this file.
    pub kl: f64,
    /// Tokens of the text.
    pub tokens: usize,
    /// What was chosen for each matrix, where a goal was given.
    pub choices: Vec<Choice>,
}

impl Calibrated {
    /// What was reached, and the table of choices, for a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "calibrated on {} tokens: KL {:.2e} nats a token on the part kept for decisions; rounding to nearest {:.2e}\n",
            grouped(self.tokens as u64),
            self.kl,
            self.nearest_kl
        );
        if !self.choices.is_empty() {
            let row = |choice: &Choice| {
                vec![
                    choice.tensor.clone(),
                    choice.weights.to_owned(),
                    grouped(choice.bytes),
                    format!("{:.2e}", choice.sensitivity),
                    grouped(choice.f16_costs),
                ]
            };
            let rows: Vec<_> = self.choices.iter().map(row).collect();
            text += &table(&["tensor", "type", "bytes", "KL alone as q8", "f16 costs"], &rows, &[2, 3, 4]);
            text.push('\n');
        }
        text
    }
}

/// Calibrates a checkpoint on a text.
///
/// # Errors
/// A text that is too short, a model without a tokenizer, goals that cannot be met (with the closest that was reached),
/// or weights that cannot be stored.
pub fn calibrate(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    text: &str,
    goals: Goals,
    progress: &ProgressBar,
) -> Result<Calibrated> {
    let draft = Draft::new(checkpoint, options)?;
    if !draft.specs.iter().any(is_q8) {
        bail!(
            "nothing is quantized, so there is nothing to calibrate: pack with --weights q8, or without --calibrate"
        );
    }
    progress.set_length(u64::from(draft.config.layers) * 3 + 3);
    progress.set_message("the checkpoint's own answers");
    let parameters = draft.weights.values().map(Vec::len).sum();
    let text = Text::new(text, &draft.image(&draft.exact(), KvType::F32)?, parameters)?;
    calibrate_draft(draft, &text, goals, progress)
}

/// Calibrates a model on a text that was cut already.
fn calibrate_draft(
    mut draft: Draft<'_>,
    text: &Text,
    goals: Goals,
    progress: &ProgressBar,
) -> Result<Calibrated> {
    let measure = |draft: &Draft<'_>| text.divergence(&draft.image(&draft.specs, draft.kv())?);
    let nearest_kl = measure(&draft)?;
    let nearest = draft.weights.clone();
    progress.inc(1);

    migrate_all(&mut draft, text, progress)?;
    let parameters: usize = draft.weights.values().map(Vec::len).sum();
    let stepwise = parameters <= STEPWISE_PARAMETERS;
    round_all(&mut draft, text, stepwise, false, progress)?;
    let mut kl = measure(&draft)?;
    if stepwise {
        let plain = std::mem::take(&mut draft.rounded);
        round_all(&mut draft, text, stepwise, true, progress)?;
        let targeted_kl = measure(&draft)?;
        match targeted_kl < kl {
            true => kl = targeted_kl,
            false => draft.rounded = plain,
        }
    }
    if kl > nearest_kl {
        // Never worse: what was found is for another text than this one, or the text is too small.
        draft.weights = nearest;
        draft.rounded.clear();
        kl = nearest_kl;
    }
    progress.inc(1);
    let (specs, choices, kl) = choose::choose(&draft, text, goals, kl, progress)?;
    progress.inc(1);
    let recipe = recipe(text, nearest_kl, kl, goals);
    let bytes = draft.pack(&specs, draft.kv(), &recipe)?;
    Ok(Calibrated { bytes, nearest_kl, kl, tokens: text.tokens(), choices })
}

/// The model with its scales moved by what `windows` of tokens show, and nothing rounded: it computes what the checkpoint
/// computes, which can be checked.
///
/// # Errors
/// As [`calibrate`].
pub fn moved(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    windows: Vec<Vec<u32>>,
    progress: &ProgressBar,
) -> Result<PageBuffer> {
    let mut draft = Draft::new(checkpoint, options)?;
    let text = Text::of_windows(windows, &draft.image(&draft.exact(), KvType::F32)?)?;
    migrate_all(&mut draft, &text, progress)?;
    draft.image(&draft.exact(), KvType::F32)
}

/// What the file says of its quantization.
fn recipe(text: &Text, nearest_kl: f64, kl: f64, goals: Goals) -> String {
    let mut recipe = format!(
        "calibrated on {} tokens: scales migrated, rounding compensated; KL {kl:.3e} nats a token (to nearest {nearest_kl:.3e})",
        text.tokens()
    );
    if let Some(budget) = goals.budget {
        recipe += &format!("; budget {budget} bytes");
    }
    if let Some(most) = goals.max_kl {
        recipe += &format!("; KL at most {most}");
    }
    recipe
}

/// Moves scales in all layers. The function stays the same, so what one pass shows holds for all layers.
fn migrate_all(draft: &mut Draft<'_>, text: &Text, progress: &ProgressBar) -> Result<()> {
    let config = draft.config;
    let layers = config.layers as u16;
    let width = 2 * config.query_size() + config.kv_size() + 2 * config.hidden_size + config.ffn_size;
    let at_once = (MOST_SEEN / (text.tokens() * width as usize).max(1)).clamp(1, layers.into()) as u16;
    for first in (0..layers).step_by(at_once.into()) {
        let these = first..layers.min(first + at_once);
        progress.set_message(format!("moving scales, layer {}", first + 1));
        let exact = draft.image(&draft.exact(), KvType::F32)?;
        let wanted =
            |key: draft::Key| key.0.is_some_and(|layer| these.contains(&layer)) && migrate::needed(key);
        let seen = text.see(&exact, KvType::F32, wanted)?;
        for layer in these.clone() {
            if draft.kv() == KvType::Q8 {
                migrate::balance_heads(draft, layer, &seen);
            }
            migrate::migrate(draft, layer, &seen);
            progress.inc(1);
        }
    }
    Ok(())
}

/// The matrices of a layer in the order in which their inputs come to be: those of one line read the same.
const STEPS: [&[Role]; 4] = [
    &[Role::Query, Role::Key, Role::Value],
    &[Role::AttentionOutput],
    &[Role::Up, Role::Gate],
    &[Role::Down],
];

/// Rounds all matrices, from the first layer to the last and the head at the end. With `take_back` each takes back, as
/// far as it can, what was lost before it.
fn round_all(
    draft: &mut Draft<'_>,
    text: &Text,
    stepwise: bool,
    take_back: bool,
    progress: &ProgressBar,
) -> Result<()> {
    let layers = draft.config.layers as u16;
    let mut steps: Vec<(Option<u16>, Vec<&[Role]>)> =
        (0..layers).map(|layer| (Some(layer), STEPS.to_vec())).collect();
    steps.push((None, vec![&[Role::Head]]));
    let exact = draft.image(&draft.exact(), KvType::F32)?;
    for (layer, lines) in steps {
        progress.set_message(match layer {
            Some(layer) => format!("rounding layer {} of {layers}", layer + 1),
            None => "rounding the head".to_owned(),
        });
        let wanted = |key: draft::Key| key.0 == layer && lines.iter().any(|line| line[0] == key.1);
        let original = text.see(&exact, KvType::F32, wanted)?;
        let mut at_once = None;
        for line in &lines {
            let seen = match (stepwise, at_once.take()) {
                (false, Some(seen)) => seen,
                _ => text.see(&draft.image(&so_far(draft), draft.kv())?, draft.kv(), wanted)?,
            };
            let first = (layer, line[0]);
            if let (Some(exact), Some(real)) = (original.inputs.get(&first), seen.inputs.get(&first)) {
                round_line(draft, layer, line, exact, real, take_back)?;
            }
            at_once = Some(seen);
        }
        progress.inc(u64::from(layer.is_some()));
    }
    Ok(())
}

/// The types while not everything is rounded: what is not is exact, but for what is looked up.
fn so_far(draft: &Draft<'_>) -> Vec<TensorSpec> {
    let exact = |spec: &TensorSpec| draft.retyped(spec, sprat_format::Element::F32);
    let looked_up = |spec: &TensorSpec| spec.layer.is_none() && spec.role != Role::Head;
    let done = |spec: &&TensorSpec| looked_up(spec) || draft.rounded.contains_key(&key(spec));
    draft.specs.iter().map(|spec| if done(&spec) { *spec } else { exact(spec) }).collect()
}

/// Rounds matrices that read the same input: `exact` is what it would be, `real` what it is (T x columns each).
fn round_line(
    draft: &mut Draft<'_>,
    layer: Option<u16>,
    roles: &[Role],
    exact: &[f32],
    real: &[f32],
    take_back: bool,
) -> Result<()> {
    let group = draft.config.group as usize;
    let specs: Vec<TensorSpec> = draft
        .specs
        .iter()
        .copied()
        .filter(|spec| spec.layer == layer && roles.contains(&spec.role) && is_q8(spec))
        .collect();
    let Some(cols) = specs.first().map(|spec| spec.cols as usize) else { return Ok(()) };
    let quantized = quantized_rows(real, cols, group);
    let difference: Vec<f32> = exact.iter().zip(&quantized).map(|(exact, real)| exact - real).collect();
    let lost = moments(&difference, &quantized, cols);
    let inputs = Inputs::new(moments(&quantized, &quantized, cols), cols, group);
    for spec in specs {
        let Some(inputs) = &inputs else {
            draft.rounded.insert(key(&spec), draft.nearest(&spec)?);
            continue;
        };
        let what = || format!("tensor {}", draft.name(&spec));
        let weights = draft.weights.get(&key(&spec)).context("a tensor is missing")?;
        let rounded = match take_back {
            true => inputs.round(&inputs.targets(weights, &lost)),
            false => inputs.round(weights),
        };
        let rounded = rounded.with_context(what)?;
        draft.rounded.insert(key(&spec), rounded);
    }
    Ok(())
}

/// Writes a calibrated model under its name, which appears only when it is whole. `check` sees the length before that.
///
/// # Errors
/// It cannot be written, or `check` refuses it.
pub fn to_file(calibrated: &Calibrated, path: &Path, check: impl FnOnce(u64) -> Result<()>) -> Result<u64> {
    let length = calibrated.bytes.len() as u64;
    check(length)?;
    let file = Unfinished::beside(path)?;
    file.as_file()
        .write_all(&calibrated.bytes)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.finish()?;
    Ok(length)
}

#[cfg(test)]
mod tests;
