//! What calibration brings on a real model, on a text that it has not seen; and that no family's function changes.

use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use sprat_e2e::reference;
use sprat_tools::calibrate::{Goals, calibrate, moved};
use sprat_tools::eval::evaluate;
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::logits::{Feeding, logits};
use sprat_tools::map::PageBuffer;
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions};

/// Bytes of text to calibrate on, and again to measure on: some 4,000 tokens.
const TEXT: usize = 10_000;

fn open(model: &Path, tokenizer: &Path) -> Checkpoint {
    let options = OpenOptions { tokenizer: Some(tokenizer.to_owned()), ..OpenOptions::default() };
    Checkpoint::open(model, &options).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn calibration_diverges_less_on_a_text_that_it_has_not_seen() {
    let test = "calibration";
    let Some(model) = reference(test, "data/stories260K/stories260K.bin") else { return };
    let Some(tokenizer) = reference(test, "data/stories260K/tok512.bin") else { return };
    let Some(text) = reference(test, "data/tinystories_text/tinystories_sample_2MiB.txt") else { return };
    let text = fs::read_to_string(text).unwrap();
    let (seen, unseen) =
        (&text[..text.floor_char_boundary(TEXT)], &text[text.floor_char_boundary(1 << 20)..]);
    let unseen = &unseen[..unseen.floor_char_boundary(TEXT)];

    let checkpoint = open(&model, &tokenizer);
    let (options, hidden) = (PackOptions::default(), ProgressBar::hidden());
    let calibrated = calibrate(&checkpoint, &options, seen, Goals::default(), &hidden).unwrap();
    assert!(calibrated.kl <= calibrated.nearest_kl);
    let nearest = pack::to_memory(&checkpoint, &options, &hidden).unwrap();
    assert!(calibrated.bytes.len() <= nearest.len() + 4096, "calibration costs no flash");
    let exact = pack::to_memory(&checkpoint, &PackOptions::exact(), &hidden).unwrap();
    let models = [
        Model::from_memory(nearest, "nearest"),
        Model::from_memory(PageBuffer::copy_of(&calibrated.bytes).unwrap(), "calibrated"),
    ];
    let outcomes =
        evaluate(&models, &Model::from_memory(exact, "exact"), unseen, 2, &hidden).unwrap().outcomes;
    let (nearest, calibrated) = (outcomes[0].kl_mean, outcomes[1].kl_mean);
    println!("mean KL: to nearest {nearest:.3e}, calibrated {calibrated:.3e}");
    assert!(calibrated < nearest, "{calibrated:e} and to nearest {nearest:e}");
}

/// Families that the zoo has and this version imports none of.
const REFUSED: [&str; 3] = ["bert", "roberta", "rwkv4"];

#[test]
fn moved_scales_keep_the_function_of_every_family() {
    let Some(zoo) = reference("moved scales", "data/zoo") else { return };
    let mut families = 0;
    for entry in fs::read_dir(zoo).unwrap() {
        let directory = entry.unwrap().path();
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        if REFUSED.contains(&name.as_str()) {
            continue;
        }
        let Ok(checkpoint) = Checkpoint::open(&directory, &OpenOptions::default()) else {
            println!("{name}: not imported");
            continue;
        };
        let (vocabulary, hidden) = (checkpoint.config.vocab_size, ProgressBar::hidden());
        let windows: Vec<Vec<u32>> =
            (1..9).map(|i| (0..24).map(|j| (i * 7919 + j * j * 104_729) % vocabulary).collect()).collect();
        let run = |bytes| {
            let model = Model::from_memory(bytes, &name);
            logits(&model, &windows[0], Feeding::Prefill, None, 1).unwrap().values
        };
        let exact = run(pack::to_memory(&checkpoint, &PackOptions::exact(), &hidden).unwrap());
        let options = PackOptions { group: 16, ..PackOptions::default() };
        let found = run(moved(&checkpoint, &options, windows.clone(), &hidden).unwrap());
        let mean = exact.iter().sum::<f32>() / exact.len() as f32;
        let variance = exact.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / exact.len() as f32;
        let largest = exact.iter().zip(&found).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("{name}: largest difference {:.1e} of the deviation", largest / variance.sqrt());
        assert!(largest <= 1e-4 * variance.sqrt(), "{name}: {largest} of {}", variance.sqrt());
        assert_ne!(exact, found, "{name}: nothing was moved");
        families += 1;
    }
    assert!(families >= 3, "{families} families were tried");
}
