//! Tokens a second of training on random tokens: the half of `tests/compare/compare_pytorch.py` that is Rust.
//!
//! Every position has a loss, so that nothing is left away which another implementation would compute.
//! `speed THREADS SEQUENCES LENGTH SECONDS` prints tokens a second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use sprat_train::corpus::Corpus;
use sprat_train::optimizer::{Method, Settings};
use sprat_train::schedule::{Budget, Schedule};
use sprat_train::shape::Preset;
use sprat_train::tokenizer::Encoded;
use sprat_train::trainer::{Plan, Trainer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [threads, sequences, length, seconds] = numbers[..] else {
        anyhow::bail!("expected THREADS SEQUENCES LENGTH SECONDS")
    };
    let shape = Preset::M1.shape();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let mut corpus = Corpus::default();
    for _ in 0..sequences {
        let tokens = (0..=length).map(|_| random.random_range(0..shape.vocabulary as u16)).collect();
        corpus.push(&Encoded { tokens, learned: vec![true; length + 1] }, shape.context);
    }
    let plan = Plan {
        shape,
        optimizer: Settings { method: Method::AdamW, ..Settings::default() },
        schedule: Schedule::default(),
        budget: Budget::Tokens(1 << 40),
        batch_tokens: sequences * length,
        micro_tokens: 1024,
        quantize_from: 1.0,
        seed: 0,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("threads")?;
    pool.install(|| {
        let mut trainer = Trainer::new(plan, &corpus)?;
        // The first steps find the allocator empty.
        for _ in 0..2 {
            trainer.step()?;
        }
        let (start, before) = (Instant::now(), trainer.tokens);
        while start.elapsed() < Duration::from_secs(seconds as u64) {
            trainer.step()?;
        }
        println!("{:.1}", (trainer.tokens - before) as f64 / start.elapsed().as_secs_f64());
        Ok(())
    })
}
