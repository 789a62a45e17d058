//! The zoo once more, through GGUF files that the gguf package writes with llama.cpp's conventions.
//!
//! `tests/compare/write_gguf.py` converts; it needs a Python with the packages gguf, numpy and safetensors. Families that
//! the package has no architecture for are refused by the script, with the reason.

use std::path::Path;
use std::process::Command;

use sprat_e2e::{python, repository};

use super::zoo::{DECODERS, subject};
use super::{both_feedings, exact, relative_error};

/// What the script returns for a model that a GGUF file cannot say.
const REFUSED: i32 = 3;

/// Converts a directory; `false` where GGUF has no way to say it.
fn convert(python: &Path, directory: &Path, output: &Path, kind: &str) -> bool {
    let script = repository().join("tests/compare/write_gguf.py");
    let mut command = Command::new(python);
    command.arg(script).arg(directory).arg(output).args(["--type", kind]);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    match done.status.code() {
        Some(0) => true,
        Some(REFUSED) => {
            println!("{}: {}", directory.display(), said.trim());
            false
        }
        _ => panic!("{command:?}: {said}"),
    }
}

#[test]
fn every_family_that_gguf_knows_equals_its_reference_through_gguf() {
    let Some(python) = python("the zoo through GGUF", &["gguf", "numpy", "safetensors"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut wrong, mut equal) = (Vec::new(), 0);
    for family in DECODERS {
        let Some((directory, ids, expected)) = subject(family) else { return };
        let path = folder.path().join(family);
        if !convert(&python, &directory, &path, "F32") {
            continue;
        }
        let found = both_feedings(&exact(&path, None), &ids);
        let error = relative_error(&found.values, &expected);
        println!("{family} through GGUF: largest error {error:.2e} of the logits' standard deviation");
        // A comparison that a NaN does not pass.
        if error < 1e-4 {
            equal += 1;
        } else {
            wrong.push(format!("{family}: {error:.2e}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    // Without OPT, Galactica, GPT-Neo, and SmolLM3, whose layers without rotary embedding GGUF cannot name.
    assert_eq!(equal, DECODERS.len() - 5);
}

#[test]
fn other_types_of_tensors_stay_near_the_reference() {
    let Some(python) = python("types of GGUF", &["gguf", "numpy", "safetensors"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((directory, ids, expected)) = subject("llama") else { return };
    // Of the block formats those whose blocks fit the model's rows; the others are held against fixtures.
    for (kind, tolerance) in [("F16", 0.01), ("BF16", 0.1), ("Q8_0", 0.1), ("Q5_1", 0.3)] {
        let path = folder.path().join(kind);
        assert!(convert(&python, &directory, &path, kind));
        let error = relative_error(&both_feedings(&exact(&path, None), &ids).values, &expected);
        println!("llama as {kind}: largest error {error:.2e} of the logits' standard deviation");
        assert!(error > 1e-6 && error < tolerance, "{kind}: {error:e}");
    }
}
