//! From a checkpoint to an answer on an emulated Cortex-M, with one command.

use anyhow::Result;

use crate::{run, setup};

/// The tools without training, which would take longer to build than all the rest.
const TOOLS: &[&str] = &["--package", "sprat-tools", "--no-default-features"];
const BOARD: &str = "qemu-mps2-an386";
const CHECKPOINT: &str = "models/assistant";
const QUESTION: &str = "What is the capital of France?";

/// Packs the default checkpoint, prints its plan, builds the firmware around it, boots it and shows its answer
/// to the question given, or to one of its own.
pub fn demo(arguments: &[String]) -> Result<()> {
    let question = if arguments.is_empty() { QUESTION.to_string() } else { arguments.join(" ") };
    // The form that the checkpoint was trained on.
    let prompt = format!("<|user|>{question}<|assistant|>");
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
    let ask = ["emulate", packed, "--board", BOARD, "--special", "--prompt", &prompt];
    sprat("Build the firmware, boot it, ask", &ask)?;
    println!("\nAsk something else: cargo demo Give me the capital of Japan.");
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
