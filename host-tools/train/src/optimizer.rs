//! From gradients to the next weights: Muon for matrices, AdamW for the rest, or AdamW for all.
//!
//! Both are computed here and not by candle's `AdamW`, whose state cannot be saved, and without which no training could
//! go on exactly where it was interrupted.

mod muon;

use std::str::FromStr;

use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::{Kind, Parameter};
use crate::vector::vectorized;

/// Which optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Muon (Jordan et al., 2024) on matrices, AdamW on the embedding and norms.
    #[default]
    Muon,
    /// AdamW (Loshchilov and Hutter, 2017) on everything.
    AdamW,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "muon" => Ok(Self::Muon),
            "adamw" => Ok(Self::AdamW),
            _ => Err("expected muon or adamw".to_owned()),
        }
    }
}

/// How an optimizer steps. Rates are the highest ones; the schedule lowers them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Which one.
    pub method: Method,
    /// The step of Muon, for a matrix whose singular values all become 1.
    pub muon_rate: f32,
    /// The step of AdamW.
    pub adam_rate: f32,
    /// Share of a matrix that a step of rate 1 would take away.
    pub weight_decay: f32,
    /// The length that gradients are cut to; Muon's have no length.
    pub clip: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { method: Method::Muon, muon_rate: 0.02, adam_rate: 0.004, weight_decay: 0.0, clip: 1.0 }
    }
}

/// AdamW's decays of the mean and of the mean square.
const BETAS: (f32, f32) = (0.9, 0.98);
const EPSILON: f32 = 1e-8;

/// An optimizer with what it remembers.
#[derive(Clone, Debug)]
pub struct Optimizer {
    /// How it steps.
    pub settings: Settings,
    /// Steps so far.
    pub steps: u64,
    /// Of each parameter: Muon's momentum, or AdamW's mean and mean square.
    pub memory: Vec<Memory>,
}

/// What is remembered of a parameter's gradients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Mean of gradients.
    pub first: Vec<f32>,
    /// Mean of their squares; empty for Muon.
    pub second: Vec<f32>,
}

impl Optimizer {
    /// One that remembers nothing yet.
    pub fn new(settings: Settings, parameters: &[Parameter]) -> Self {
        let memory = parameters.iter().map(|parameter| {
            let zeros = || vec![0.0; parameter.var.elem_count()];
            let second = if uses_muon(&settings, parameter) { Vec::new() } else { zeros() };
            Memory { first: zeros(), second }
        });
        Self { steps: 0, memory: memory.collect(), settings }
    }

    /// One step along gradients, with rates times `share`.
    ///
    /// # Errors
    /// A gradient is no number: the training has diverged.
    pub fn step(&mut self, parameters: &[Parameter], mut gradients: Vec<Vec<f32>>, share: f32) -> Result<()> {
        let settings = &self.settings;
        let squares =
            |gradient: &Vec<f32>| gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
        let all: Vec<f64> = gradients.par_iter().map(squares).collect();
        if !all.iter().all(|square| square.is_finite()) {
            bail!("the training diverged at step {}: lower the rates (--rate, --muon-rate)", self.steps + 1);
        }
        let clipped = parameters.iter().zip(&all).filter(|(parameter, _)| !uses_muon(settings, parameter));
        let length = clipped.map(|(_, square)| square).sum::<f64>().sqrt() as f32;
        let shrink = (settings.clip / (length + 1e-6)).min(1.0);
        self.steps += 1;
        let steps = self.steps.min(1 << 20) as i32;
        let corrections = (1.0 - BETAS.0.powi(steps), 1.0 - BETAS.1.powi(steps));

        let work = self.memory.par_iter_mut().zip(&mut gradients).zip(parameters);
        work.with_max_len(1).try_for_each(|((memory, gradient), parameter)| {
            let mut values = parameter.values()?;
            match &parameter.kind {
                Kind::Matrices(stacked) if uses_muon(settings, parameter) => {
                    muon::step(&mut values, gradient, &mut memory.first, stacked, settings, share);
                }
                kind => {
                    let decay = if matches!(kind, Kind::Matrices(_)) { settings.weight_decay } else { 0.0 };
                    let rate = settings.adam_rate * share;
                    vectorized(|| adam(&mut values, gradient, memory, rate, decay, shrink, corrections));
                }
            }
            parameter.set(values)
        })
    }
}

fn uses_muon(settings: &Settings, parameter: &Parameter) -> bool {
    settings.method == Method::Muon && matches!(parameter.kind, Kind::Matrices(_))
}

/// AdamW on one parameter.
#[inline(always)]
fn adam(
    values: &mut [f32],
    gradient: &[f32],
    memory: &mut Memory,
    rate: f32,
    decay: f32,
    shrink: f32,
    corrections: (f32, f32),
) {
    let means = memory.first.iter_mut().zip(&mut memory.second);
    for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(means) {
        let gradient = gradient * shrink;
        *first = BETAS.0 * *first + (1.0 - BETAS.0) * gradient;
        *second = BETAS.1 * *second + (1.0 - BETAS.1) * gradient * gradient;
        let step = (*first / corrections.0) / ((*second / corrections.1).sqrt() + EPSILON);
        *value -= rate * (step + decay * *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::shape::Preset;

    #[test]
    fn adam_takes_equal_steps_whatever_the_gradient() {
        let mut memory = Memory { first: vec![0.0; 3], second: vec![0.0; 3] };
        let mut values = [1.0, 2.0, 3.0];
        adam(&mut values, &[1e-3, -5.0, 0.0], &mut memory, 0.1, 0.5, 1.0, (1.0 - BETAS.0, 1.0 - BETAS.1));
        for (value, expected) in values.iter().zip([1.0 - 0.1 - 0.05, 2.0 + 0.1 - 0.1, 3.0 - 0.15]) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }

    #[test]
    fn what_diverged_is_refused() {
        let model = Model::new(&Preset::K260.shape(), 0).unwrap();
        let mut gradients: Vec<_> =
            model.parameters.iter().map(|parameter| vec![0.0; parameter.var.elem_count()]).collect();
        gradients[3][0] = f32::NAN;
        let mut optimizer = Optimizer::new(Settings::default(), &model.parameters);
        let error = optimizer.step(&model.parameters, gradients, 1.0).unwrap_err();
        assert!(error.to_string().contains("diverged at step 1"), "{error}");
    }
}
