//! `sprat chat` as a script drives it: the model in this process, what is printed where, what errors say.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const MODEL: &str = "../models/assistant/assistant-q8.sprat";

fn chat(arguments: &[&str], script: &str) -> Output {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
    command.arg("chat").arg(model).args(["--threads", "1"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_script_asks_reads_a_sensor_cancels_resets_and_measures() {
    let script = "\
How warm is it in the kitchen?
/stats
/reset
/cancel 2
Tell me a story about a dog.
/stats
/bench
";
    let output = chat(&["--json", "--sensor", "temp,kitchen=23.4"], script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [warm, so_far, reset, story, anew, bench] = &lines[..] else { panic!("{lines:?}") };
    let call = json!({ "name": "read", "arguments": "temp, kitchen", "result": "23.4" });
    assert_eq!(warm["calls"], json!([call]));
    assert!(warm["text"].as_str().unwrap().contains("23.4"), "{warm}");
    assert_eq!(story["last"]["Done"]["stop"], "Cancelled", "{story}");
    assert_eq!(so_far["last"]["Totals"]["turns"], 1);
    assert_eq!(reset["last"], "Ok");
    assert_eq!(anew["last"]["Totals"]["turns"], 1);
    assert!(bench["last"]["Bench"]["writing"].as_u64().unwrap() > 0, "{bench}");
}

#[test]
fn text_goes_to_one_stream_and_statistics_to_the_other() {
    let output = chat(&[], "What is 17 times 23?\n/help\n/quit\nnever\n");
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{errors}");
    assert!(out.starts_with("> What is 17 times 23?\n") && out.contains("<<17*23=391>>"), "{out}");
    assert!(!out.contains("never") && !out.contains("/votes"), "{out}");
    assert!(errors.contains("tokens read") && errors.contains("/votes K"), "{errors}");
    assert!(!out.contains('\u{1b}') && !errors.contains('\u{1b}'), "a pipe has no colours");
}

#[test]
fn errors_say_what_to_do() {
    let fails = |arguments: &[&str], script: &str, parts: &[&str]| {
        let output = chat(arguments, script);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        parts.iter().for_each(|part| assert!(errors.contains(part), "expected {part:?} in {errors}"));
    };
    fails(&[], "/nothing\n", &["no command /nothing", "/help"]);
    fails(&[], "/votes many\n", &["a number up to 8"]);
    fails(&[], "/sensor warm\n", &["temp,kitchen=23.4"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
    let output = command.args(["chat", "--port", "/dev/no-such-port"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot open the serial port /dev/no-such-port"), "{output:?}");
}
