//! How well a model writes what it should, given what should stand before.

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use crate::corpus::{Corpus, Packed};
use crate::model::Model;
use crate::ops::with_elements;
use crate::vector::{softmax, vectorized};

/// Over the learned tokens of held-out chats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Chats.
    pub chats: usize,
    /// Learned tokens.
    pub tokens: usize,
    /// Mean of `-log p`, in nats a token.
    pub loss: f64,
    /// Share of tokens that are the most likely ones.
    pub right_tokens: f64,
    /// Share of chats all of whose learned tokens are: with greedy decoding the model answers just so.
    pub right_chats: f64,
}

/// Measures on the threads of the current pool.
///
/// # Errors
/// The corpus does not fit the model.
pub fn evaluate(model: &Model, corpus: &Corpus, micro_tokens: usize) -> Result<Evaluation> {
    let chats: Vec<_> = (0..corpus.len()).collect();
    let parts = corpus.split(&chats, micro_tokens);
    let counts = parts.par_iter().with_max_len(1).map(|part| count(model, part));
    let counts: Vec<Counts> = counts.collect::<Result<_>>()?;
    let sum = counts.iter().fold(Counts::default(), |a, b| Counts {
        loss: a.loss + b.loss,
        tokens: a.tokens + b.tokens,
        right_tokens: a.right_tokens + b.right_tokens,
        right_chats: a.right_chats + b.right_chats,
    });
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    Ok(Evaluation {
        chats: corpus.len(),
        tokens: sum.tokens,
        loss: sum.loss / sum.tokens.max(1) as f64,
        right_tokens: share(sum.right_tokens, sum.tokens),
        right_chats: share(sum.right_chats, corpus.len()),
    })
}

#[derive(Clone, Copy, Default)]
struct Counts {
    loss: f64,
    tokens: usize,
    right_tokens: usize,
    right_chats: usize,
}

fn count(model: &Model, part: &Packed) -> Result<Counts> {
    let logits = model.logits(part)?;
    let vocabulary = model.shape.vocabulary;
    let mut counts = Counts { tokens: part.targets.len(), ..Counts::default() };
    let mut wrong = vec![false; part.bounds.len() - 1];
    with_elements([&logits], |[logits]| {
        vectorized(|| {
            let mut row = vec![0.0; vocabulary];
            let mut chat = 0;
            for ((logits, &target), &position) in
                logits.chunks_exact(vocabulary).zip(part.targets.iter()).zip(part.learned.iter())
            {
                while part.bounds[chat + 1] <= position as usize {
                    chat += 1;
                }
                let own = logits[target as usize];
                let is_right = logits.iter().all(|&logit| logit <= own);
                counts.right_tokens += usize::from(is_right);
                wrong[chat] |= !is_right;
                row.copy_from_slice(logits);
                counts.loss += f64::from(softmax(&mut row) - own);
            }
        });
        Ok(())
    })?;
    counts.right_chats = wrong.iter().filter(|wrong| !**wrong).count();
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::tests::random_corpus;
    use crate::schedule::Budget;
    use crate::trainer::{Plan, Trainer, tests::plan};

    #[test]
    fn it_is_the_loss_that_is_trained_and_counts_whole_chats() {
        let corpus = random_corpus(8, 500, 30);
        let plan = Plan { budget: Budget::Tokens(40_000), ..plan() };
        let mut trainer = Trainer::new(plan, &corpus).unwrap();
        let packed = corpus.pack(&(0..8).collect::<Vec<_>>());
        let loss = |trainer: &Trainer<'_>| {
            f64::from(trainer.model.gradients(&packed, 1.0 / packed.targets.len() as f32).unwrap().0)
        };
        let before = evaluate(&trainer.model, &corpus, 50).unwrap();
        assert!((before.loss - loss(&trainer)).abs() < 1e-4);
        assert_eq!((before.chats, before.tokens), (8, packed.targets.len()));
        assert!(before.right_chats < 0.2);
        (0..100).for_each(|_| _ = trainer.step().unwrap());
        let after = evaluate(&trainer.model, &corpus, 50).unwrap();
        assert!((after.loss - loss(&trainer)).abs() < 1e-4);
        // The first tokens of two chats may be the same, and what follows is not known then.
        assert!(after.right_chats > 0.7 && after.right_tokens > 0.9, "{after:?}");
    }
}
