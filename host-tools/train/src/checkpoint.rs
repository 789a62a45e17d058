//! A training on disk: weights, the optimizer's memory and the place in the corpus, in one file.
//!
//! The file is replaced whole, so an interruption at any time leaves one that can be taken up. A training that is taken
//! up gives the same bits as one that was never interrupted.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, Order};
use crate::export::{WriteFile, to_bytes, to_safetensors};
use crate::trainer::{Plan, Trainer};

/// The name of the file within the directory of the result.
pub const FILE: &str = "training.safetensors";

/// All but the tensors, in the file's metadata as JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    plan: Plan,
    corpus: u32,
    steps: u64,
    tokens: u64,
    seconds: f64,
    epoch: u64,
    position: usize,
}

/// The entry of the metadata.
const STATE: &str = "training";

/// Writes a training.
///
/// # Errors
/// The file cannot be written.
pub fn save(directory: &Path, trainer: &Trainer<'_>, corpus: u32, write: WriteFile<'_>) -> Result<()> {
    let (epoch, position) = trainer.order.place();
    let state = State {
        plan: trainer.plan.clone(),
        corpus,
        steps: trainer.optimizer.steps,
        tokens: trainer.tokens,
        seconds: trainer.time.as_secs_f64(),
        epoch,
        position,
    };
    let mut tensors = Vec::new();
    for (parameter, memory) in trainer.model.parameters.iter().zip(&trainer.optimizer.memory) {
        let values = parameter.values()?;
        for (part, values) in [("value", &values), ("first", &memory.first), ("second", &memory.second)] {
            tensors.push((format!("{part}.{}", parameter.name), vec![values.len()], to_bytes(values)));
        }
    }
    let metadata = HashMap::from([(STATE.to_owned(), serde_json::to_string(&state)?)]);
    write(&directory.join(FILE), &to_safetensors(&tensors, metadata)?)
}

/// Takes a training up.
///
/// # Errors
/// There is none, or it is of another corpus or follows another plan.
pub fn resume<'c>(directory: &Path, plan: &Plan, corpus: &'c Corpus, checksum: u32) -> Result<Trainer<'c>> {
    let path = directory.join(FILE);
    let shown = path.display();
    let bytes =
        fs::read(&path).with_context(|| format!("cannot read {shown}: expected an unfinished training"))?;
    let (_, metadata) =
        SafeTensors::read_metadata(&bytes).with_context(|| format!("{shown}: not safetensors"))?;
    let state = metadata.metadata().as_ref().and_then(|entries| entries.get(STATE));
    let state: State = state
        .and_then(|state| serde_json::from_str(state).ok())
        .with_context(|| format!("{shown}: no training of this version"))?;
    if state.plan != *plan {
        bail!("{shown} follows another plan: give the options that it was begun with: {:?}", state.plan);
    }
    if state.corpus != checksum {
        bail!("{shown} is of other chats or of another tokenizer: give those that it was begun with");
    }
    let tensors = SafeTensors::deserialize(&bytes).with_context(|| format!("{shown}: damaged"))?;
    let mut trainer = Trainer::new(state.plan, corpus)?;
    for (parameter, memory) in trainer.model.parameters.iter().zip(&mut trainer.optimizer.memory) {
        let read = |part: &str, expected: usize| -> Result<Vec<f32>> {
            let name = format!("{part}.{}", parameter.name);
            let tensor = tensors.tensor(&name).with_context(|| format!("{shown}: {name}"))?;
            let (values, _) = tensor.data().as_chunks::<4>();
            if values.len() != expected {
                bail!("{shown}: {name} has {} values; expected {expected}", values.len());
            }
            Ok(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
        };
        parameter.set(read("value", parameter.var.elem_count())?)?;
        memory.first = read("first", memory.first.len())?;
        memory.second = read("second", memory.second.len())?;
    }
    trainer.optimizer.steps = state.steps;
    trainer.tokens = state.tokens;
    trainer.time = Duration::from_secs_f64(state.seconds);
    trainer.order = Order::new(corpus.len(), plan.seed, state.epoch, state.position);
    Ok(trainer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::tests::random_corpus;
    use crate::optimizer::{Method, Settings};
    use crate::trainer::tests::plan;

    fn write(path: &Path, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(path, bytes)?)
    }

    /// All that a training remembers.
    fn bits(trainer: &Trainer<'_>) -> Vec<Vec<u32>> {
        let memory = trainer.optimizer.memory.iter().flat_map(|memory| [&memory.first, &memory.second]);
        let values = trainer.model.parameters.iter().map(|parameter| parameter.values().unwrap());
        let all = values.chain(memory.cloned());
        all.map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
    }

    #[test]
    fn an_interrupted_training_ends_with_the_same_bits() {
        let corpus = random_corpus(50, 500, 30);
        for method in [Method::Muon, Method::AdamW] {
            let plan = Plan { optimizer: Settings { method, ..Settings::default() }, ..plan() };
            let mut whole = Trainer::new(plan.clone(), &corpus).unwrap();
            let mut part = Trainer::new(plan.clone(), &corpus).unwrap();
            // Beyond the first epoch, which has about 1.7 batches.
            for _ in 0..4 {
                whole.step().unwrap();
                part.step().unwrap();
            }
            let directory = tempfile::tempdir().unwrap();
            save(directory.path(), &part, 7, &write).unwrap();
            let mut part = resume(directory.path(), &plan, &corpus, 7).unwrap();
            assert_eq!(bits(&part), bits(&whole));
            for _ in 0..4 {
                assert_eq!(part.step().unwrap(), whole.step().unwrap());
            }
            assert_eq!(bits(&part), bits(&whole));
            assert_eq!((part.tokens, part.order.place()), (whole.tokens, whole.order.place()));
        }
    }

    #[test]
    fn another_training_is_not_taken_up() {
        let (corpus, directory) = (random_corpus(50, 500, 30), tempfile::tempdir().unwrap());
        let error = |plan: &Plan, checksum| {
            resume(directory.path(), plan, &corpus, checksum).err().map(|error| format!("{error:#}")).unwrap()
        };
        assert!(error(&plan(), 7).contains("expected an unfinished training"));
        save(directory.path(), &Trainer::new(plan(), &corpus).unwrap(), 7, &write).unwrap();
        assert!(error(&plan(), 8).contains("other chats"));
        assert!(error(&Plan { seed: 4, ..plan() }, 7).contains("another plan"));
        let path = directory.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(error(&plan(), 7).contains("not safetensors"));
    }
}
