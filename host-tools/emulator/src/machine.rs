//! QEMU's command line for each board.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use sprat_board_support::memory::{BOARDS, Board};

/// How QEMU emulates one board.
struct Machine {
    board: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

const fn machine(board: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Machine {
    Machine { board, program, arguments }
}

const ARM: &str = "qemu-system-arm";

const MACHINES: &[Machine] = &[
    machine("qemu-mps2-an386", ARM, &["-machine", "mps2-an386"]),
    machine("qemu-mps2-an500", ARM, &["-machine", "mps2-an500"]),
    machine("qemu-mps2-an505", ARM, &["-machine", "mps2-an505"]),
    machine("qemu-mps3-an547", ARM, &["-machine", "mps3-an547"]),
    machine("qemu-raspi3b", "qemu-system-aarch64", &["-machine", "raspi3b"]),
    machine(
        "qemu-virt-riscv32",
        "qemu-system-riscv32",
        &["-machine", "virt", "-bios", "none", "-nic", "none"],
    ),
];

/// One instruction is one nanosecond of the board's time, which is how the firmware counts them.
const COUNTED: &[&str] = &["-icount", "shift=0"];

/// What every machine gets: no window, no monitor.
const HEADLESS: &[&str] = &["-display", "none", "-monitor", "none"];

/// No serial line: the streams are the firmware's.
pub(crate) const NO_SERIAL: &str = "none";

/// The board that an ELF is for, by its file name.
///
/// # Errors
/// A name that begins with no board's.
pub fn board_of(elf: &Path) -> Result<&'static Board> {
    let name = elf.file_name().unwrap_or_default().to_string_lossy();
    Board::find(&name).ok_or_else(|| {
        let known: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
        anyhow!(
            "no board for {}: a firmware's file name begins with its board's name, known are {}",
            elf.display(),
            known.join(", ")
        )
    })
}

/// QEMU's command line for `elf` on `board`, with `arguments` handed to the firmware and its serial line led to `serial`.
pub(crate) fn command(board: &Board, elf: &Path, arguments: &[&str], serial: &str) -> Result<Command> {
    let Some(machine) = MACHINES.iter().find(|machine| machine.board == board.package()) else {
        bail!("board {} is not an emulated one", board.name)
    };
    // The first argument stands for the program's name, as in C.
    let mut semihosting = format!("enable=on,target=native,arg={}", board.name);
    for argument in arguments {
        if argument.contains(char::is_whitespace) {
            bail!("firmware argument {argument:?} contains white space, which semihosting cannot pass on");
        }
        semihosting += &format!(",arg={}", argument.replace(',', ",,"));
    }
    let mut command = Command::new(machine.program);
    command.args(machine.arguments).args(COUNTED).args(HEADLESS).args(["-serial", serial]);
    command.args(["-semihosting-config", &semihosting, "-kernel"]).arg(elf);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Lets a file lie in the board's memory from an address on.
pub(crate) fn load(command: &mut Command, file: &Path, address: u64) -> Result<()> {
    let file = file.canonicalize().with_context(|| format!("no file {}", file.display()))?;
    let file = file.to_str().with_context(|| format!("{} is not UTF-8", file.display()))?;
    let file = file.replace(',', ",,");
    command.args(["-device", &format!("loader,file={file},addr={address:#x},force-raw=on")]);
    Ok(())
}

/// The program that emulates a board; `None` for a board that is not emulated.
pub fn program(board: &Board) -> Option<&'static str> {
    MACHINES.iter().find(|machine| machine.board == board.package()).map(|machine| machine.program)
}

/// Starts a command, saying what to do when its program is not there.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .spawn()
        .with_context(|| format!("cannot start {program}; `cargo xtask setup` installs what is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_emulated_board_is_a_board() {
        for machine in MACHINES {
            assert_eq!(Board::find(machine.board).map(|board| board.name), Some(machine.board));
        }
    }

    #[test]
    fn a_firmware_names_its_board() {
        assert_eq!(board_of(Path::new("a/qemu-mps2-an386-drill")).unwrap().name, "qemu-mps2-an386");
        let error = board_of(Path::new("a/blinky")).unwrap_err().to_string();
        assert!(error.contains("blinky") && error.contains("qemu-mps2-an386"), "{error}");
    }

    #[test]
    fn arguments_survive_commas_and_refuse_spaces() {
        let board = Board::find("qemu-mps2-an386").unwrap();
        let line = command(board, Path::new("elf"), &["a,b"], NO_SERIAL).unwrap();
        assert!(line.get_args().any(|part| part.to_string_lossy().ends_with(",arg=a,,b")));
        assert!(command(board, Path::new("elf"), &["a b"], NO_SERIAL).is_err());
    }
}
