//! Training as a person does it: a starting corpus, a model, a packed file, an answer.
#![cfg(feature = "train")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn sprat(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sprat")).args(arguments).current_dir(directory).output().unwrap()
}

#[track_caller]
fn succeed(directory: &Path, arguments: &[&str]) -> String {
    let output = sprat(directory, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fail(directory: &Path, arguments: &[&str]) -> String {
    let output = sprat(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_new_devices_commands_are_learned_and_answered() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let hint = succeed(directory, &["train", "--new", "my-device"]);
    assert!(hint.contains("my-device/README.md"), "{hint}");

    // Half of the size of the smallest preset, and a fourth of the tokens that the README says.
    let train = ["train", "my-device/chats.jsonl", "--eval", "my-device/held-out.jsonl", "--preset", "260k"];
    let small = ["--layers", "3", "--tokens", "500K", "--batch-tokens", "2048", "-o", "model", "--json"];
    let result: Value = serde_json::from_str(&succeed(directory, &[&train[..], &small].concat())).unwrap();
    let held_out = &result["held_out"][0];
    let number = |value: &Value| value.as_f64().unwrap();
    // Of a model that knows nothing: the logarithm of a vocabulary of at least 267.
    assert!(number(&result["loss"]) < 0.1, "{result}");
    assert!(number(&held_out["loss"]) < 0.3 && number(&held_out["right_tokens"]) > 0.9, "{result}");

    succeed(directory, &["pack", "model", "-o", "model.sprat"]);
    let chats = std::fs::read_to_string(directory.join("my-device/chats.jsonl")).unwrap();
    let question = "Switch on the lamp in the kitchen.";
    assert!(chats.contains(question), "the command is among those that are learned");
    let ask = ["run", "model.sprat", "--chat", question, "--max-tokens", "40", "--json"];
    let answer: Value = serde_json::from_str(&succeed(directory, &ask)).unwrap();
    let text = answer["text"].as_str().unwrap();
    assert!(text.starts_with("[work]set(kitchen,lamp,on)[/work]"), "{text}");
}

#[test]
fn the_assistants_corpus_is_written_and_its_questions_are_asked() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let write = ["train", "--assistant-corpus", "corpus", "--examples", "300", "--questions", "3"];
    let hint = succeed(directory, &write);
    assert!(hint.contains("corpus/train.jsonl") && hint.contains("corpus/held-out"), "{hint}");
    let chats = std::fs::read_to_string(directory.join("corpus/train.jsonl")).unwrap();
    // Some chats share a line: their questions follow one another.
    assert_eq!(chats.matches(r#""role":"user""#).count(), 300);
    assert!((150..300).contains(&chats.lines().count()));

    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assistant/assistant-q8.sprat");
    let ask = ["ask", model.to_str().unwrap(), "--questions"];
    let sets = ["corpus/held-out/arith_numbers.jsonl", "corpus/held-out/facts_frames.jsonl"];
    let chains = ["--chains", "3", "--limit", "2", "--wrong", "1"];
    let scores = succeed(directory, &[&ask[..], &sets, &chains, &["--json"]].concat());
    let scores: Value = serde_json::from_str(&scores).unwrap();
    let names: Vec<_> = scores.as_array().unwrap().iter().map(|set| set["set"].as_str().unwrap()).collect();
    assert_eq!(names, ["arith_numbers", "facts_frames"]);
    for set in scores.as_array().unwrap() {
        assert_eq!((&set["best"]["answers"], &set["votes"]["all"]["answers"]), (&2.into(), &2.into()));
    }
    let shown = succeed(directory, &[&ask[..], &sets, &chains].concat());
    assert!(shown.contains("facts_frames") && shown.contains("confident"), "{shown}");

    std::fs::write(directory.join("corpus/bad.jsonl"), "{}\n").unwrap();
    let error = fail(directory, &[&ask[..], &["corpus/bad.jsonl"]].concat());
    assert!(error.contains("line 1 of corpus/bad.jsonl") && error.contains("messages"), "{error}");
}

#[test]
fn what_cannot_be_trained_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert!(fail(directory, &["train", "none.jsonl", "-o", "out"]).contains("cannot read none.jsonl"));
    std::fs::write(directory.join("chats.jsonl"), "{\"messages\": []}\n").unwrap();
    assert!(fail(directory, &["train", "chats.jsonl", "-o", "out"]).contains("chats.jsonl, line 1"));
    assert!(
        fail(directory, &["train", "--preset", "2m", "x", "-o", "y"]).contains("expected 260k, 1m or 3m")
    );
    assert!(!directory.join("out").exists());
    std::fs::create_dir(directory.join("mine")).unwrap();
    assert!(fail(directory, &["train", "--new", "mine"]).contains("exists already"));
}
