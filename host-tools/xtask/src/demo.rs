//! From a checkpoint to an answer on an emulated Cortex-M, with one command.

use anyhow::Result;

use crate::{run, setup};

/// The tools without training, which would take longer to build than all the rest.
const TOOLS: &[&str] = &["--package", "sprat-tools", "--no-default-features"];
const BOARD: &str = "qemu-mps2-an386";
const CHECKPOINT: &str = "models/assistant";
/// What a token takes is counted on this one, in the form that the checkpoint was trained on.
const COUNTED: &str = "<|user|>What is the capital of France?<|assistant|>";
/// A fact to look up, a sum that a tool computes, a sensor to read, and something new to write.
const QUESTIONS: [&str; 4] = [
    "What is the capital of Japan?",
    "Tom has 12 apples. He buys 30 more and gives 7 to Anna. How many apples does Tom have left?",
    "How warm is it in the kitchen?",
    "Tell me a story about a fox and a lamp.",
];

/// Packs the default checkpoint, prints its plan, builds the firmware around it, boots it and shows its answers to the
/// question given, or to some of its own.
pub fn demo(arguments: &[String]) -> Result<()> {
    step("What is needed");
    setup::targets(&[setup::BOARD_TARGET])?;
    setup::emulator()?;
    println!("Rust target and emulator are there");

    step("Build the tools");
    run::succeed(&mut run::cargo(&[&["build", "--release"], TOOLS].concat()))?;

    let packed = "target/demo/assistant-q8.sprat";
    std::fs::create_dir_all(run::root().join("target/demo"))?;
    sprat("Pack the checkpoint", &["pack", CHECKPOINT, "-o", packed])?;
    sprat("What it needs on the board", &["plan", packed, "--board", BOARD])?;
    let count = ["emulate", packed, "--board", BOARD, "--special", "--prompt", COUNTED];
    sprat("Build the firmware, boot it, count", &count)?;
    let asked = arguments.join(" ");
    let questions = if asked.is_empty() { &QUESTIONS[..] } else { &[&*asked] };
    for question in questions {
        let sensor = ["--sensor", "temp,kitchen=23.4"];
        let ask = [&["ask", packed, question, "--board", BOARD], &sensor[..]].concat();
        sprat("Ask it, with tools, on the board", &ask)?;
    }
    println!("\nAsk something else: cargo demo Give me the capital of Italy.");
    Ok(())
}

fn step(title: &str) {
    println!("\n== {title}");
}

fn sprat(title: &str, arguments: &[&str]) -> Result<()> {
    step(title);
    let quoted = arguments.iter().map(|argument| match argument.contains(' ') {
        true => format!("{argument:?}"),
        false => argument.to_string(),
    });
    println!("$ cargo sprat {}", quoted.collect::<Vec<_>>().join(" "));
    let mut command = run::cargo(&[&["run", "--quiet", "--release"], TOOLS].concat());
    run::succeed(command.arg("--").args(arguments))
}
