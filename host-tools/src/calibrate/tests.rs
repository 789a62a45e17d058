//! What holds for every model: moved scales keep the function, calibration repeats itself, goals are kept or refused.

use std::path::Path;

use super::*;
use crate::fixture::HuggingFace;
use crate::import::{Dtype, OpenOptions};
use crate::model::Model;

/// Token ids stand for a text: models of the fixture have no tokenizer.
fn windows(vocabulary: u32) -> Vec<Vec<u32>> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % vocabulary
    };
    (0..8).map(|_| (0..32).map(|_| next()).collect()).collect()
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path, &OpenOptions::default()).unwrap()
}

fn models() -> [HuggingFace; 3] {
    [HuggingFace::llama(1), HuggingFace::qwen2(2), HuggingFace::gpt2(3)]
}

fn exact_logits(draft: &Draft<'_>) -> Vec<f32> {
    let bytes = draft.image(&draft.exact(), KvType::F32).unwrap();
    let model = Model::from_memory(bytes, "model");
    let ids = &windows(draft.config.vocab_size)[0];
    crate::logits::logits(&model, ids, crate::logits::Feeding::Prefill, None, 1).unwrap().values
}

#[test]
fn moved_scales_keep_the_function() {
    let directory = tempfile::tempdir().unwrap();
    let options = PackOptions::default();
    for (number, model) in models().into_iter().enumerate() {
        let checkpoint = open(&model.write(directory.path(), &number.to_string(), Dtype::F32).unwrap());
        let mut draft = Draft::new(&checkpoint, &options).unwrap();
        let before = exact_logits(&draft);
        let weights = draft.weights.clone();
        let image = draft.image(&draft.exact(), KvType::F32).unwrap();
        let text = Text::of_windows(windows(draft.config.vocab_size), &image).unwrap();
        migrate_all(&mut draft, &text, &ProgressBar::hidden()).unwrap();
        let changed = weights.iter().filter(|(key, before)| draft.weights.get(*key) != Some(before)).count();
        assert!(changed >= 5, "{changed} tensors changed in model {number}");
        let after = exact_logits(&draft);
        let mean = before.iter().sum::<f32>() / before.len() as f32;
        let deviation = before.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / before.len() as f32;
        let largest = before.iter().zip(&after).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(largest <= 1e-4 * deviation.sqrt(), "model {number}: {largest} of {}", deviation.sqrt());
    }
}

#[test]
fn calibrating_is_never_worse_and_gives_the_same_bytes_with_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = open(&HuggingFace::llama(1).write(directory.path(), "m", Dtype::F32).unwrap());
    let options = PackOptions::default();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let draft = Draft::new(&checkpoint, &options).unwrap();
            let image = draft.image(&draft.exact(), KvType::F32).unwrap();
            let text = Text::of_windows(windows(draft.config.vocab_size), &image).unwrap();
            calibrate_draft(draft, &text, Goals::default(), &ProgressBar::hidden()).unwrap()
        })
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one.bytes, three.bytes);
    assert!(one.kl <= one.nearest_kl && one.nearest_kl > 0.0, "{} and {}", one.kl, one.nearest_kl);
    sprat_format::PackedFile::parse(&one.bytes).unwrap();
}

#[test]
fn goals_are_kept_or_refused_with_what_was_reached() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = open(&HuggingFace::llama(1).write(directory.path(), "m", Dtype::F32).unwrap());
    // With groups that fill the narrow rows, halves are larger than bytes, as in real models.
    let options = PackOptions { kv: KvType::F16, group: 8, ..PackOptions::default() };
    let run = |goals| {
        let draft = Draft::new(&checkpoint, &options).unwrap();
        let image = draft.image(&draft.exact(), KvType::F32).unwrap();
        let text = Text::of_windows(windows(draft.config.vocab_size), &image).unwrap();
        calibrate_draft(draft, &text, goals, &ProgressBar::hidden())
    };
    let plain = run(Goals::default()).unwrap();
    let length = plain.bytes.len() as u64;
    let budget = length + 1500;
    let larger = run(Goals { budget: Some(budget), max_kl: None }).unwrap();
    let grown = larger.bytes.len() as u64;
    assert!(grown > length + 300 && grown <= budget, "{grown} of {budget}, from {length}");
    assert!(larger.choices.iter().any(|choice| choice.weights == "f16"));
    let closer = run(Goals { budget: None, max_kl: Some(plain.kl / 2.0) }).unwrap();
    assert!(closer.kl <= plain.kl / 2.0 && closer.bytes.len() as u64 > length);
    let message = |goals| format!("{:#}", run(goals).unwrap_err());
    let few = message(Goals { budget: Some(1000), max_kl: None });
    assert!(few.contains("a budget of 1000 bytes was given") && few.contains("too many"), "{few}");
    let close = message(Goals { budget: None, max_kl: Some(1e-30) });
    assert!(close.contains("the closest that was reached is"), "{close}");
}
