//! Boards that run Linux: this very tool, as a static program for AArch64, on an emulated core.
//!
//! On such a board there is no firmware to build: `sprat run` is what runs there. What is emulated is a process on the
//! core that the board has, so the kernels that it chooses are the board's.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use sprat_emulator::firmware::{Progress, workspace};

/// What the program is built for; it links without a C compiler and runs without a library.
pub const TARGET: &str = "aarch64-unknown-linux-musl";
/// What emulates a process.
pub const EMULATOR: &str = "qemu-aarch64";

/// A board that runs Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxBoard {
    /// Its name, as `sprat plan` knows it.
    pub name: &'static str,
    /// QEMU's name of its core.
    pub cpu: &'static str,
}

/// Every board that can be emulated like that.
pub const LINUX_BOARDS: [LinuxBoard; 4] = [
    LinuxBoard { name: "raspberry-pi-zero-2", cpu: "cortex-a53" },
    LinuxBoard { name: "raspberry-pi-3", cpu: "cortex-a53" },
    LinuxBoard { name: "raspberry-pi-4", cpu: "cortex-a72" },
    LinuxBoard { name: "raspberry-pi-5", cpu: "cortex-a76" },
];

/// The board of a name, if it is one of these.
pub fn find(name: &str) -> Option<&'static LinuxBoard> {
    LINUX_BOARDS.iter().find(|board| board.name == name)
}

/// Builds this tool for such boards, in cargo's `release` or `dev` profile, and returns the program's path.
///
/// # Errors
/// What cargo says.
pub fn build(profile: &str, progress: Progress) -> Result<PathBuf> {
    // Models are trained on the laptop; and what training allocates by needs a C compiler for the target.
    build_program("sprat-tools", "sprat", &["--no-default-features"], profile, progress)
}

/// The same of any program of a package of the workspace, with further arguments for cargo.
///
/// # Errors
/// What cargo says.
pub fn build_program(
    package: &str,
    program: &str,
    arguments: &[&str],
    profile: &str,
    progress: Progress,
) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()?).args(["build", "--profile", profile, "--package", package]);
    cargo.args(["--bin", program, "--target", TARGET]).args(arguments);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    match progress {
        Progress::Shown => cargo.stderr(Stdio::inherit()),
        Progress::Silent => cargo.arg("--quiet"),
    };
    let output = cargo.stdin(Stdio::null()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cannot build {program} for {TARGET}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let programs = sprat_emulator::firmware::executables(&output.stdout);
    programs.into_iter().next_back().with_context(|| format!("cargo built no program called {program}"))
}

impl LinuxBoard {
    /// A command that runs a program on the emulated core.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(EMULATOR);
        command.args(["-cpu", self.cpu]).arg(program);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::Boards;

    #[test]
    fn they_are_boards_that_can_be_planned_for_and_have_the_planned_core() {
        let boards = Boards::load(None).unwrap();
        for LinuxBoard { name, cpu } in LINUX_BOARDS {
            let planned = boards.by_name(name).unwrap();
            assert_eq!(planned.core.name.to_lowercase(), cpu, "{name}");
            assert!(planned.note.contains("under Linux"), "{name}");
        }
        assert_eq!(find("raspberry-pi-5").map(|board| board.cpu), Some("cortex-a76"));
        assert_eq!(find("qemu-raspi3b"), None);
    }
}
