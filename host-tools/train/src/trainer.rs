//! One step after another: the tapes of a batch, their sum, the optimizer.
//!
//! Products of matrices this small gain little from several threads each, so the threads share out examples: each
//! records the tape of a micro-batch and goes back along it. The gradients are summed in the order of the batch,
//! whichever thread was first, so that a training gives the same bits with any number of threads.

use std::time::{Duration, Instant};

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, Order, Packed};
use crate::model::Model;
use crate::ops::with_elements;
use crate::optimizer::{self, Optimizer};
use crate::schedule::{Budget, Schedule};
use crate::shape::Shape;
use crate::vector::{add_scaled, vectorized};

/// All that a training's result depends on, beside the corpus and, if it ends by time, the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The model.
    pub shape: Shape,
    /// Its optimizer.
    pub optimizer: optimizer::Settings,
    /// The course of the rates.
    pub schedule: Schedule,
    /// Its length.
    pub budget: Budget,
    /// Tokens of a step.
    pub batch_tokens: usize,
    /// Tokens of a tape.
    pub micro_tokens: usize,
    /// The share of the budget from which on the model is trained as int8 leaves it; 1 for never.
    pub quantize_from: f64,
    /// Of the first weights and of the order of chats.
    pub seed: u64,
}

/// A training between two steps.
#[derive(Debug)]
pub struct Trainer<'c> {
    /// What it follows.
    pub plan: Plan,
    /// What learns.
    pub model: Model,
    /// Who steps.
    pub optimizer: Optimizer,
    /// Which chats come next.
    pub order: Order,
    /// Tokens read so far.
    pub tokens: u64,
    /// Time of all steps so far.
    pub time: Duration,
    corpus: &'c Corpus,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its number, from 1 on.
    pub number: u64,
    /// The mean loss of its batch before it, in nats a learned token.
    pub loss: f64,
    /// Tokens that it read.
    pub tokens: usize,
    /// The share of the highest rates that it took.
    pub share: f32,
}

impl<'c> Trainer<'c> {
    /// A training at its beginning.
    ///
    /// # Errors
    /// The shape is impossible.
    pub fn new(plan: Plan, corpus: &'c Corpus) -> Result<Self> {
        let model = Model::new(&plan.shape, plan.seed)?;
        let optimizer = Optimizer::new(plan.optimizer.clone(), &model.parameters);
        let order = Order::new(corpus.len(), plan.seed, 0, 0);
        Ok(Self { plan, model, optimizer, order, tokens: 0, time: Duration::ZERO, corpus })
    }

    /// The share of the budget that is used up, 1 or more at the end.
    pub fn used(&self) -> f64 {
        self.plan.budget.used(self.tokens, self.time)
    }

    /// Learns from one batch, on the threads of the current pool.
    ///
    /// # Errors
    /// The training has diverged.
    pub fn step(&mut self) -> Result<Step> {
        let start = Instant::now();
        let chats = self.order.batch(self.corpus, self.plan.batch_tokens);
        let parts = self.corpus.split(&chats, self.plan.micro_tokens);
        let learned: usize = parts.iter().map(|part| part.targets.len()).sum();
        self.model.quantizes = self.used() >= self.plan.quantize_from;
        let (loss, gradients) = gradients(&self.model, &parts, 1.0 / learned as f32)?;
        let share = self.plan.schedule.share(self.optimizer.steps, self.used());
        self.optimizer.step(&self.model.parameters, gradients, share)?;
        let tokens = parts.iter().map(|part| part.inputs.len()).sum();
        self.tokens += tokens as u64;
        self.time += start.elapsed();
        Ok(Step { number: self.optimizer.steps, loss, tokens, share })
    }
}

/// The loss of micro-batches and the gradient of every parameter, summed in their order.
///
/// # Errors
/// The parts do not fit the model.
pub fn gradients(model: &Model, parts: &[Packed], scale: f32) -> Result<(f64, Vec<Vec<f32>>)> {
    let tapes = parts.par_iter().with_max_len(1).map(|part| model.gradients(part, scale));
    let tapes: Vec<_> = tapes.collect::<Result<_>>()?;
    let sum = |index: usize| {
        let mut sum = vec![0.0; model.parameters[index].var.elem_count()];
        for (_, gradients) in &tapes {
            with_elements([&gradients[index]], |[gradient]| {
                vectorized(|| add_scaled(&mut sum, 1.0, gradient));
                Ok(())
            })?;
        }
        Ok(sum)
    };
    let gradients = (0..model.parameters.len()).into_par_iter().map(sum).collect::<Result<_>>()?;
    Ok((tapes.iter().map(|(loss, _)| f64::from(*loss)).sum(), gradients))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::corpus::tests::random_corpus;
    use crate::shape::Preset;

    pub fn plan() -> Plan {
        Plan {
            shape: Shape { layers: 2, width: 32, head_width: 8, feed_forward: 48, ..Preset::K260.shape() },
            optimizer: optimizer::Settings::default(),
            schedule: Schedule { warm_up: 3, ..Schedule::default() },
            budget: Budget::Tokens(4000),
            batch_tokens: 400,
            micro_tokens: 100,
            quantize_from: 1.0,
            seed: 3,
        }
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let corpus = random_corpus(100, 500, 30);
        let train = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut trainer = Trainer::new(plan(), &corpus).unwrap();
                (0..4).for_each(|_| _ = trainer.step().unwrap());
                trainer
                    .model
                    .parameters
                    .iter()
                    .map(|parameter| parameter.values().unwrap())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(train(1), train(3));
    }

    #[test]
    fn the_end_can_be_trained_as_int8_leaves_it() {
        let corpus = random_corpus(100, 500, 30);
        let mut trainer = Trainer::new(Plan { quantize_from: 0.5, ..plan() }, &corpus).unwrap();
        let mut plain = Trainer::new(plan(), &corpus).unwrap();
        while trainer.used() < 0.5 {
            assert_eq!(trainer.step().unwrap(), plain.step().unwrap());
        }
        let (rounded, exact) = (trainer.step().unwrap(), plain.step().unwrap());
        assert!(trainer.model.quantizes && !plain.model.quantizes);
        assert!(
            rounded.loss != exact.loss && (rounded.loss - exact.loss).abs() < 0.01,
            "{rounded:?} {exact:?}"
        );
    }

    #[test]
    fn a_corpus_is_learned_by_both_optimizers() {
        let corpus = random_corpus(8, 500, 30);
        for method in [optimizer::Method::Muon, optimizer::Method::AdamW] {
            let optimizer = optimizer::Settings { method, ..Default::default() };
            let budget = Budget::Tokens(40_000);
            let mut trainer = Trainer::new(Plan { optimizer, budget, ..plan() }, &corpus).unwrap();
            let first = trainer.step().unwrap().loss;
            let mut last = first;
            while trainer.used() < 1.0 {
                last = trainer.step().unwrap().loss;
            }
            assert!((first - 512f64.ln()).abs() < 0.2, "{first}");
            assert!(last < 1.0, "{method:?}: {last}");
        }
    }
}
