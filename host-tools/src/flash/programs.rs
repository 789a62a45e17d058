//! The programs that write to flash, as command lines.
//!
//! They are the user's own, installed beside this tool; what they are given is printed as it is run.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sprat_board_support::slots::HEADER_BYTES;

use crate::boards::{Flashing, Tool};

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    program: &'static str,
    arguments: Vec<OsString>,
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
            match !argument.is_empty() && argument.bytes().all(is_plain) {
                true => write!(f, " {argument}")?,
                false => write!(f, " '{}'", argument.replace('\'', r"'\''"))?,
            }
        }
        Ok(())
    }
}

/// ST's program.
const STM32_PROGRAMMER: &str = "STM32_Programmer_CLI";

/// How a program is installed.
fn installation(program: &str) -> &'static str {
    match program {
        "espflash" => "`cargo install espflash --locked`",
        STM32_PROGRAMMER => "the installer of STM32CubeProgrammer, from st.com, with its bin folder in PATH",
        _ => "`cargo install probe-rs-tools --locked`",
    }
}

impl Invocation {
    fn new(program: &'static str, arguments: &[&str]) -> Self {
        Self { program, arguments: arguments.iter().map(OsString::from).collect() }
    }

    fn with(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        command
    }

    fn not_started(&self, error: std::io::Error) -> anyhow::Error {
        match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "{} is not installed, and this board is flashed with it; install it with {}",
                self.program,
                installation(self.program)
            ),
            _ => anyhow!("cannot start {}: {error}", self.program),
        }
    }

    /// Runs it; its output is seen.
    ///
    /// # Errors
    /// It is not there, or it fails.
    pub fn run(&self) -> Result<()> {
        let status = self.command().status().map_err(|error| self.not_started(error))?;
        ensure!(status.success(), "{self} failed ({status}); what it says stands above");
        Ok(())
    }

    /// Runs it; returns what it writes to standard output.
    fn output(&self) -> Result<String> {
        let output = self.command().stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| self.not_started(error))?;
        ensure!(output.status.success(), "{self} failed ({}); what it says stands above", output.status);
        String::from_utf8(output.stdout).with_context(|| format!("{self} wrote what is no text"))
    }
}

/// A call of ST's program for a chip at its debug probe and the flash around it. (UM2237, 3.2.)
fn stm32(flashing: &Flashing) -> Invocation {
    let invocation = Invocation::new(STM32_PROGRAMMER, &["-c", "port=SWD", "mode=UR", "-q"]);
    match &flashing.loader {
        Some(loader) => invocation.with("-el").with(loader_file(loader)),
        None => invocation,
    }
}

/// A loader, which lies beside the program.
fn loader_file(name: &str) -> PathBuf {
    let folders = env::var_os("PATH").unwrap_or_default();
    let folder = env::split_paths(&folders).find(|folder| folder.join(STM32_PROGRAMMER).exists());
    folder.unwrap_or_default().join("ExternalLoader").join(name).with_extension("stldr")
}

/// Writes a file of raw bytes to an address.
pub fn write_bytes(tool: Tool, flashing: &Flashing, address: u64, file: &Path) -> Invocation {
    let address = format!("{address:#x}");
    match tool {
        Tool::Stm32Programmer => stm32(flashing).with("-w").with(file).with(address).with("-v"),
        Tool::Espflash => {
            Invocation::new("espflash", &["write-bin", "--chip", &flashing.chip, &address]).with(file)
        }
        _ => {
            let options =
                ["download", "--chip", &flashing.chip, "--binary-format", "bin", "--base-address", &address];
            Invocation::new("probe-rs", &options).with("--verify").with(file)
        }
    }
}

/// Writes a firmware.
pub fn write_firmware(tool: Tool, flashing: &Flashing, elf: &Path) -> Invocation {
    match tool {
        Tool::Stm32Programmer => stm32(flashing).with("-w").with(elf).with("-v"),
        Tool::Espflash => Invocation::new("espflash", &["flash", "--chip", &flashing.chip]).with(elf),
        _ => Invocation::new("probe-rs", &["download", "--chip", &flashing.chip, "--verify"]).with(elf),
    }
}

/// Starts what was written.
pub fn reset(tool: Tool, flashing: &Flashing) -> Invocation {
    match tool {
        Tool::Stm32Programmer => stm32(flashing).with("-rst"),
        Tool::Espflash => Invocation::new("espflash", &["reset", "--chip", &flashing.chip]),
        _ => Invocation::new("probe-rs", &["reset", "--chip", &flashing.chip]),
    }
}

/// Shows what a firmware logs; its ELF holds the texts.
pub fn attach(tool: Tool, flashing: &Flashing, elf: &Path) -> Invocation {
    match tool {
        Tool::Espflash => Invocation::new(
            "espflash",
            &["monitor", "--chip", &flashing.chip, "--log-format", "defmt", "--elf"],
        )
        .with(elf),
        _ => Invocation::new("probe-rs", &["attach", "--chip", &flashing.chip]).with(elf),
    }
}

/// Reads the bytes of a slot's header; espflash writes them to a file.
pub fn read_header(tool: Tool, flashing: &Flashing, address: u64, file: &Path) -> Invocation {
    let (address, bytes) = (format!("{address:#x}"), HEADER_BYTES.to_string());
    match tool {
        Tool::Stm32Programmer => stm32(flashing).with("-u").with(address).with(bytes).with(file),
        Tool::Espflash => {
            Invocation::new("espflash", &["read-flash", "--chip", &flashing.chip, &address, &bytes])
                .with(file)
        }
        _ => Invocation::new("probe-rs", &["read", "--chip", &flashing.chip, "b8", &address, &bytes]),
    }
}

/// Runs such a reading.
///
/// # Errors
/// The program fails, or what it says is not as many bytes.
pub fn header_bytes(tool: Tool, reading: &Invocation, file: &Path) -> Result<[u8; HEADER_BYTES]> {
    let bytes = match tool {
        Tool::Espflash | Tool::Stm32Programmer => {
            reading.run()?;
            std::fs::read(file).with_context(|| format!("{reading} wrote no {}", file.display()))?
        }
        _ => bytes_of(&reading.output()?).with_context(|| format!("cannot understand {reading}"))?,
    };
    let Some(header) = bytes.first_chunk() else {
        bail!("{reading} gave {} bytes, expected {HEADER_BYTES}", bytes.len())
    };
    Ok(*header)
}

/// Bytes in hexadecimal, with the address before each line or without.
fn bytes_of(text: &str) -> Result<Vec<u8>> {
    let lines = text.lines().map(|line| line.split_once(':').map_or(line, |(_, bytes)| bytes));
    let bytes = lines.flat_map(str::split_whitespace);
    bytes.map(|byte| u8::from_str_radix(byte, 16).with_context(|| format!("{byte:?} is no byte"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::Boards;

    #[test]
    fn command_lines_are_quoted_as_a_shell_needs_it() {
        let boards = Boards::load(None).unwrap();
        let flashing = boards.by_name("nrf52840").unwrap().flash.as_ref().unwrap();
        let line = write_bytes(Tool::ProbeRs, flashing, 0x2_4000, Path::new("a folder/it's.bin"));
        assert_eq!(
            line.to_string(),
            r"probe-rs download --chip nRF52840_xxAA --binary-format bin --base-address 0x24000 --verify 'a folder/it'\''s.bin'"
        );
    }

    #[test]
    fn bytes_are_read_in_both_forms_that_probe_rs_has() {
        assert_eq!(bytes_of("89 53 4c\n").unwrap(), [0x89, 0x53, 0x4c]);
        assert_eq!(bytes_of("00023000: 89 53\n00023008: 4c\n").unwrap(), [0x89, 0x53, 0x4c]);
        assert!(bytes_of("error").is_err() && bytes_of("").unwrap().is_empty());
    }
}
