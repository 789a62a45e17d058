//! Everything that CI runs, as one command that keeps going and tells all failures at the end.
//!
//! The local gate and CI's are the same, since CI calls this. Every step is counted; steps that run tests add
//! theirs. The last line, alone, is the sum.

use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Result;

use crate::{run, setup};

mod architecture;
mod tally;

use tally::Tally;

/// Of the boards' shared glue, all that a Cortex-M board may ask for.
const SHARED_FEATURES: &str = "cortex-m,console,device-tree,heap,slots,stream";

/// Runs every step; with `all_boards` the firmware of every real board is built, not that of three.
pub fn check_all(all_boards: bool) -> Result<ExitCode> {
    let mut gate = Gate::default();
    gate.step("setup", || {
        let boards = if all_boards { setup::targets(setup::REAL_BOARD_TARGETS) } else { Ok(()) };
        boards.and_then(|()| setup::everything()).map_err(|error| format!("{error:#}"))
    });
    for check in architecture::CHECKS {
        gate.step(check.name, || check.run().map_err(|error| format!("{error:#}")));
    }
    gate.command("format", run::cargo(&["fmt", "--all", "--check"]));
    let real_boards = ["--manifest-path", "boards/real/Cargo.toml"];
    gate.command(
        "format, real boards",
        run::cargo(&["fmt", "--all", "--check", real_boards[0], real_boards[1]]),
    );
    let board = ["--target", setup::BOARD_TARGET];
    gate.command("clippy, host", clippy(&["--all-targets"]));
    for (package, target, cpu) in setup::FIRMWARE {
        for (what, features) in [("", ""), (", conversations", "console")] {
            let mut command = clippy(&["--package", package, "--target", target, "--features", features]);
            if !cpu.is_empty() {
                command
                    .env("RUSTFLAGS", format!("-C target-cpu={cpu}"))
                    .env_remove("CARGO_ENCODED_RUSTFLAGS");
            }
            gate.command(&format!("clippy, {package}{what}"), command);
        }
    }
    for (what, feature) in [("models in slots", "slots"), ("streamed models", "stream")] {
        let firmware = ["--package", "qemu-mps2-an386", "--features", feature, board[0], board[1]];
        gate.command(&format!("clippy, {what}"), clippy(&firmware));
    }
    gate.command("clippy, test program", clippy(&["--package", "sprat-on-target", board[0], board[1]]));
    let linux = ["--package", "sprat-on-target-linux", "--target", setup::LINUX_TARGET];
    gate.command("clippy, test program for Linux", clippy(&linux));
    let linux = ["--package", "raspberry-pi-linux", "--target", setup::LINUX_TARGET];
    gate.command("clippy, Raspberry Pi under Linux", clippy(&linux));
    // A program that only asks; nothing may be in it that only the server turns on.
    let library = ["--package", "raspberry-pi-linux", "--no-default-features"];
    gate.command("clippy, the same as a library", clippy(&library));
    let shared = ["--package", "sprat-board-support", "--features", SHARED_FEATURES, board[0], board[1]];
    gate.command("clippy, boards' shared glue", clippy(&shared));
    gate.command("docs, host", docs(&[]));
    gate.command("docs, boards' shared glue", docs(&shared));
    for (family, target) in [("aarch64", "aarch64-unknown-none"), ("riscv", "riscv32imac-unknown-none-elf")] {
        let shared = ["--package", "sprat-board-support", "--features", family, "--target", target];
        gate.command(&format!("docs, boards' shared glue, {family}"), docs(&shared));
    }
    for target in setup::NO_STD_TARGETS {
        let build = ["build", "--package", "sprat", "--target", target];
        gate.command(&format!("no_std, {target}"), run::cargo(&build));
    }
    // Output of tests that pass is shown, since a test that lacks its data says so there.
    gate.tests("tests, host and emulator", run::cargo(&["test", "--no-fail-fast", "--", "--show-output"]));
    gate.noted("instruction counts", run::cargo(&run::INSTRUCTION_COUNTS));
    gate.command("sizes of real boards' firmware", {
        let mut sizes = run::cargo(&run::FIRMWARE_SIZES);
        sizes.arg("--");
        if !all_boards {
            sizes.args(setup::CHECKED_REAL_BOARDS.iter().flat_map(|part| ["--only", part]));
        }
        sizes
    });
    match run::works(&mut run::cargo(&["deny", "--version"])) {
        true => {
            let rules = ["check", "--config", "deny.toml", "licenses", "bans", "sources"];
            for (name, place) in [("", &[][..]), (", real boards", &real_boards)] {
                let mut deny = run::cargo(&["deny"]);
                gate.command(&format!("licences and sources{name}"), {
                    deny.args(place).args(rules);
                    deny
                });
            }
        }
        false => gate.skip("SKIP licences and sources: cargo-deny is not installed"),
    }
    Ok(gate.report())
}

fn clippy(selection: &[&str]) -> Command {
    let mut command = run::cargo(&["clippy"]);
    command.args(selection).args(["--", "-D", "warnings"]);
    command
}

fn docs(selection: &[&str]) -> Command {
    let mut command = run::cargo(&["doc", "--no-deps"]);
    command.args(selection).env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// A step that failed, and what it said.
struct Failure {
    step: String,
    output: String,
}

/// The whole gate.
#[derive(Default)]
struct Gate {
    tally: Tally,
    failures: Vec<Failure>,
    skips: Vec<String>,
}

impl Gate {
    /// Runs a step, which is right or says what is wrong.
    fn step(&mut self, name: &str, action: impl FnOnce() -> Result<(), String>) {
        print!("{name} ... ");
        // Only the picture of progress depends on it.
        _ = io::stdout().flush();
        let begun = Instant::now();
        let result = action();
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        println!("{outcome} ({:.1} s)", begun.elapsed().as_secs_f32());
        match result {
            Ok(()) => self.tally.passed += 1,
            Err(output) => {
                self.tally.failed += 1;
                self.failures.push(Failure { step: name.to_string(), output });
            }
        }
    }

    /// Runs a command, whose output matters only when it fails.
    fn command(&mut self, name: &str, mut command: Command) {
        self.step(name, || heard(&mut command).map(|_| ()));
    }

    /// Runs a command that runs tests, and counts them.
    fn tests(&mut self, name: &str, mut command: Command) {
        let mut results = tally::Results::default();
        self.step(name, || {
            let heard = heard(&mut command);
            let (Ok(output) | Err(output)) = &heard;
            results = tally::read(output);
            heard.map(|_| ()).map_err(|output| tally::failures_only(&output))
        });
        self.tally += results.tally;
        results.skips.iter().for_each(|skip| println!("  {skip}"));
        self.skips.extend(results.skips);
    }

    /// Runs a command that also has to say something when all is well: what it skipped, and what to note.
    fn noted(&mut self, name: &str, mut command: Command) {
        let mut said = String::new();
        self.step(name, || heard(&mut command).map(|output| said = output));
        said.lines().filter(|line| line.starts_with("NOTE ")).for_each(|line| println!("  {line}"));
        said.lines().filter(|line| line.starts_with("SKIP ")).for_each(|line| self.skip(line));
    }

    /// Notes a step that could not be made here.
    fn skip(&mut self, line: &str) {
        println!("{line}");
        self.tally.skipped += 1;
        self.skips.push(line.to_string());
    }

    fn report(self) -> ExitCode {
        for Failure { step, output } in &self.failures {
            println!("\n==== FAILED: {step}\n{}", output.trim_end());
        }
        if !self.skips.is_empty() {
            println!("\n==== skipped");
            self.skips.iter().for_each(|skip| println!("{skip}"));
        }
        if !self.failures.is_empty() {
            println!("\n==== failed steps");
            self.failures.iter().for_each(|failure| println!("{}", failure.step));
        }
        let Tally { passed, failed, skipped } = self.tally;
        println!("\ncheck-all: {passed} passed, {failed} failed, {skipped} skipped");
        if self.failures.is_empty() && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs a command and returns all that it said, as an error when it failed.
fn heard(command: &mut Command) -> Result<String, String> {
    let shown = run::line(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    // Cargo tells of compiling on one stream and tests tell of themselves on the other.
    let text = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.concat();
    if output.status.success() { Ok(text) } else { Err(format!("$ {shown}\n{text}")) }
}
