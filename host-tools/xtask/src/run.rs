//! Calling other programs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// The root of the checkout that this program was built from.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

/// Arguments of cargo for the program that counts what the emulated targets execute.
pub const INSTRUCTION_COUNTS: [&str; 6] =
    ["run", "--quiet", "--package", "sprat-e2e", "--bin", "instruction-counts"];

/// Arguments of cargo for the program that builds the firmware of real boards and measures it.
pub const FIRMWARE_SIZES: [&str; 6] =
    ["run", "--quiet", "--package", "sprat-emulator", "--bin", "firmware-sizes"];

/// A cargo command, to be run in the root.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Another command, to be run in the root.
pub fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// The command as a person would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let parts = std::iter::once(program).chain(command.get_args());
    parts.map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a command with this program's own streams.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    let shown = line(command);
    command.status().with_context(|| format!("cannot start {shown}"))
}

/// Runs a command with this program's own streams; anything but success is an error.
pub fn succeed(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Whether a command can be started and succeeds, without a word.
pub fn works(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A child's exit status as this program's own.
pub fn status_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
