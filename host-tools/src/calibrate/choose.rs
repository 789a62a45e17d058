//! Which matrices are bytes and which halves, so that a file fits a budget or diverges no more than allowed.
//!
//! A matrix's sensitivity is the divergence when it alone is bytes and all others are exact; divergences of several add
//! up nearly enough to order them. Matrices become halves in the order of divergence saved for each byte spent, and how
//! many of them is then decided by measuring the whole.

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use sprat_format::{Element, KvType, TensorSpec};

use super::Goals;
use super::draft::{Draft, is_q8};
use super::measure::Text;

/// What was chosen for a matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Its name in the checkpoint.
    pub tensor: String,
    /// `q8` or `f16`.
    pub weights: &'static str,
    /// Bytes in the file.
    pub bytes: u64,
    /// Divergence, in nats a token, with this matrix alone as bytes.
    pub sensitivity: f64,
    /// Bytes that it costs more as halves.
    pub f16_costs: u64,
}

fn bytes(spec: &TensorSpec) -> u64 {
    spec.value_bytes() + spec.scale_bytes()
}

/// The types of all tensors, what was chosen, and the divergence.
///
/// # Errors
/// Goals that cannot be met, with the closest that was reached.
pub(super) fn choose(
    draft: &Draft<'_>,
    text: &Text,
    goals: Goals,
    kl: f64,
    progress: &ProgressBar,
) -> Result<(Vec<TensorSpec>, Vec<Choice>, f64)> {
    if goals == Goals::default() {
        return Ok((draft.specs.clone(), Vec::new(), kl));
    }
    let length = |specs: &[TensorSpec]| {
        Ok::<_, anyhow::Error>(draft.pack(specs, draft.kv(), "")?.len() as u64 + super::RECIPE_BYTES)
    };
    let least = length(&draft.specs)?;
    if let Some(budget) = goals.budget.filter(|&budget| budget < least) {
        bail!(
            "a budget of {budget} bytes was given; with every matrix as q8 the file has {least} bytes, {} too many: \
             raise the budget, or make the model smaller (--trim-vocab, --group)",
            least - budget
        );
    }
    let order = sensitivities(draft, text, progress)?;
    let upgraded = |count: usize| -> Vec<TensorSpec> {
        let chosen = &order[..count];
        let is_chosen = |at: usize| chosen.iter().any(|candidate| candidate.at == at);
        let specs = draft.specs.iter().enumerate();
        specs
            .map(|(at, spec)| if is_chosen(at) { draft.retyped(spec, Element::F16) } else { *spec })
            .collect()
    };
    // With more halves the file only grows, so what fits the budget is a beginning of the order.
    let mut most = order.len();
    if let Some(budget) = goals.budget {
        most = order.len();
        while length(&upgraded(most))? > budget {
            most -= 1;
        }
    }
    let measure = |count: usize| text.divergence(&draft.image(&upgraded(count), draft.kv())?);
    let (count, found) = match goals.max_kl {
        None => (most, measure(most)?),
        Some(_) if goals.max_kl >= Some(kl) => (0, kl),
        Some(allowed) => {
            let (mut low, mut high, mut found) = (0, most, measure(most)?);
            if found > allowed {
                bail!(
                    "a divergence of at most {allowed:.3e} nats was asked for; the closest that was reached is {found:.3e}, \
                     with {most} of {} matrices as f16 ({} bytes){}",
                    order.len(),
                    length(&upgraded(most))?,
                    advice(draft.kv(), goals)
                );
            }
            while high - low > 1 {
                let middle = (low + high) / 2;
                let kl = measure(middle)?;
                match kl <= allowed {
                    true => (high, found) = (middle, kl),
                    false => low = middle,
                }
            }
            (high, found)
        }
    };
    let specs = upgraded(count);
    let choices = order.iter().map(|candidate| {
        let spec = &specs[candidate.at];
        Choice {
            tensor: draft.name(spec).to_owned(),
            weights: if is_q8(spec) { "q8" } else { "f16" },
            bytes: bytes(spec),
            sensitivity: candidate.sensitivity,
            f16_costs: candidate.cost,
        }
    });
    let choices = choices.collect();
    Ok((specs, choices, found))
}

/// What a person may do when the divergence stays too large.
fn advice(kv: KvType, goals: Goals) -> &'static str {
    match (kv, goals.budget) {
        (_, Some(_)) => ": raise --budget or --max-kl",
        (KvType::Q8, None) => ": allow more, or keep keys and values as halves (--kv f16)",
        _ => ": allow more",
    }
}

/// A matrix that may be halves.
struct Candidate {
    /// Its number among the tensors.
    at: usize,
    sensitivity: f64,
    cost: u64,
}

/// The matrices that are bytes, those first of which halves save most for a byte.
fn sensitivities(draft: &Draft<'_>, text: &Text, progress: &ProgressBar) -> Result<Vec<Candidate>> {
    let quantized: Vec<usize> = (0..draft.specs.len()).filter(|&at| is_q8(&draft.specs[at])).collect();
    progress.inc_length(quantized.len() as u64);
    let mut candidates = Vec::with_capacity(quantized.len());
    for at in quantized {
        let spec = &draft.specs[at];
        progress.set_message(format!("sensitivity of {}", draft.name(spec)));
        let mut specs = draft.exact();
        specs[at] = *spec;
        let sensitivity = text.divergence(&draft.image(&specs, KvType::F32)?)?;
        let cost = bytes(&draft.retyped(spec, Element::F16)).saturating_sub(bytes(spec));
        candidates.push(Candidate { at, sensitivity, cost });
        progress.inc(1);
    }
    // Rows much narrower than a group are smaller as halves: those cost nothing and come first.
    let gain = |candidate: &Candidate| candidate.sensitivity / candidate.cost as f64;
    candidates.sort_by(|a, b| gain(b).total_cmp(&gain(a)).then(a.at.cmp(&b.at)));
    Ok(candidates)
}
