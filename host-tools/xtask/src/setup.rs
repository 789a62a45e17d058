//! What the demo and the checks need on a machine, and how to get it.
//!
//! Nothing is installed without saying so first, and nothing that is there is touched.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;

/// The target of the emulated board.
pub const BOARD_TARGET: &str = "thumbv7em-none-eabihf";

/// Targets that the runtime is built for without a standard library.
pub const NO_STD_TARGETS: &[&str] = &[
    "thumbv6m-none-eabi",
    BOARD_TARGET,
    "thumbv8m.main-none-eabihf",
    "riscv32imac-unknown-none-elf",
    "aarch64-unknown-none",
];

/// Targets of the real boards' firmware.
pub const REAL_BOARD_TARGETS: &[&str] =
    &[BOARD_TARGET, "thumbv8m.main-none-eabihf", "riscv32imc-unknown-none-elf", "aarch64-unknown-none"];

/// Real boards whose firmware every run of the checks builds: parts of their names. The others take minutes more, most of
/// them for the layers that know their chips.
pub const CHECKED_REAL_BOARDS: [&str; 3] = ["nrf52840", "rp2350", "stm32h743"];

/// The target of the emulated cores that run Linux.
pub const LINUX_TARGET: &str = "aarch64-unknown-linux-musl";

/// Firmware that is built and booted by every run of the checks: package, target, and the core as the compiler calls it
/// where the target stands for several.
pub const FIRMWARE: [(&str, &str, &str); 6] = [
    ("qemu-mps2-an386", BOARD_TARGET, ""),
    ("qemu-mps2-an500", BOARD_TARGET, ""),
    ("qemu-mps2-an505", "thumbv8m.main-none-eabihf", "cortex-m33"),
    ("qemu-mps3-an547", "thumbv8m.main-none-eabihf", "cortex-m55"),
    ("qemu-raspi3b", "aarch64-unknown-none", ""),
    ("qemu-virt-riscv32", "riscv32imac-unknown-none-elf", ""),
];

/// Programs that emulate a machine and a Linux process, and how package managers call what holds them.
const EMULATORS: [Emulator; 4] = [
    Emulator {
        program: "qemu-system-arm",
        debian: "qemu-system-arm",
        fedora: "qemu-system-arm-core",
        arch: "qemu-system-arm",
    },
    Emulator {
        program: "qemu-system-aarch64",
        debian: "qemu-system-arm",
        fedora: "qemu-system-aarch64-core",
        arch: "qemu-system-aarch64",
    },
    Emulator {
        program: "qemu-system-riscv32",
        debian: "qemu-system-misc",
        fedora: "qemu-system-riscv-core",
        arch: "qemu-system-riscv",
    },
    Emulator { program: "qemu-aarch64", debian: "qemu-user", fedora: "qemu-user", arch: "qemu-user" },
];

struct Emulator {
    program: &'static str,
    debian: &'static str,
    fedora: &'static str,
    arch: &'static str,
}

/// Installs everything that any chore needs.
pub fn everything() -> Result<()> {
    targets(NO_STD_TARGETS)?;
    targets(&[LINUX_TARGET])?;
    components()?;
    EMULATORS.iter().try_for_each(install_emulator)?;
    python_packages()
}

/// Packages that tests compare with, and the name of a module of each.
const PYTHON_PACKAGES: [(&str, &str); 3] =
    [("gguf==0.19.0", "gguf"), ("numpy", "numpy"), ("safetensors", "safetensors")];

/// Makes an environment of Python in `target` with the packages that tests compare with. Without Python, or without the
/// packages' registry, those tests are skipped, and say so.
fn python_packages() -> Result<()> {
    let venv = run::root().join("target/python-venv");
    let python = venv.join("bin/python");
    let import = PYTHON_PACKAGES.map(|(_, module)| format!("import {module}")).join("; ");
    if run::works(Command::new(&python).args(["-c", &import])) {
        return Ok(());
    }
    if !run::works(&mut run::program("python3", &["-c", "import venv, ensurepip"])) {
        println!("SKIP Python packages: there is no python3 with venv");
        return Ok(());
    }
    let mut make = run::program("python3", &["-m", "venv"]);
    let mut pip = Command::new(&python);
    // Without what they depend on: the package gguf asks for much that only its scripts need.
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(PYTHON_PACKAGES.map(|(package, _)| package)).args(["pyyaml", "tqdm"]);
    let names = PYTHON_PACKAGES.map(|(package, _)| package);
    let made = run::succeed(make.arg(&venv)).and_then(|()| install("Python packages", &names, &mut pip));
    if made.is_err() || !run::works(Command::new(&python).args(["-c", &import])) {
        println!("SKIP Python packages: they cannot be installed into {}", venv.display());
    }
    Ok(())
}

/// Installs the Rust targets that are missing.
pub fn targets(wanted: &[&str]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|target| !has_target(target)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    install("Rust targets", &missing, run::program("rustup", &["target", "add"]).args(&missing))
}

/// A target is there when its libraries are, whoever put them there.
fn has_target(target: &str) -> bool {
    let mut rustc = run::program("rustc", &["--print", "target-libdir", "--target", target]);
    let Ok(output) = rustc.output() else { return false };
    output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

fn components() -> Result<()> {
    let works = |tool| run::works(&mut run::cargo(&[tool, "--version"]));
    let wanted = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let missing: Vec<_> = wanted.iter().filter(|(tool, _)| !works(tool)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install("Rust components", &missing, run::program("rustup", &["component", "add"]).args(&missing))
}

/// Installs the emulator of the boards.
pub fn emulator() -> Result<()> {
    install_emulator(&EMULATORS[0])
}

/// Installs an emulator if it is missing and this system has a package manager that is known here.
fn install_emulator(Emulator { program, debian, fedora, arch }: &Emulator) -> Result<()> {
    let is_there = || run::works(&mut run::program(program, &["--version"]));
    if is_there() {
        return Ok(());
    }
    if !run::works(&mut run::program("apt-get", &["--version"])) {
        bail!(
            "{program} is missing. Install QEMU, then try again:\n  \
             macOS:  brew install qemu (has no qemu-aarch64, which needs Linux)\n  \
             Fedora: dnf install {fedora}\n  \
             Arch:   pacman -S {arch}\n  \
             others: https://www.qemu.org/download/"
        );
    }
    let package = ["install", "-y", "--no-install-recommends", *debian];
    // A fresh machine has no lists of packages yet.
    if install("emulator", &[*debian], &mut as_root("apt-get", &package)).is_err() {
        run::succeed(&mut as_root("apt-get", &["update"]))?;
        run::succeed(&mut as_root("apt-get", &package))?;
    }
    if !is_there() {
        bail!("{program} was installed and does not run: is it in PATH?");
    }
    Ok(())
}

fn install(what: &str, missing: &[&str], command: &mut Command) -> Result<()> {
    println!("missing {what}: {}; running: {}", missing.join(", "), run::line(command));
    run::succeed(command)
}

fn as_root(name: &str, arguments: &[&str]) -> Command {
    let is_root = run::program("id", &["-u"]).output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if is_root {
        return run::program(name, arguments);
    }
    let mut sudo = run::program("sudo", &[name]);
    sudo.args(arguments);
    sudo
}
