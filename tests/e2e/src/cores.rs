//! Emulated cores: how a test program is built for each, run on it, and understood.
//!
//! One list for everything that asks what a core does: the comparison of kernels and of whole models with the
//! laptop, and the table of instruction counts.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use sprat_format::Layout;

use crate::repository;

mod output;
mod run;
mod trace;

pub use output::{Answer, Count, Output};
pub use run::{Job, Question};

/// A core, as QEMU emulates it.
#[derive(Debug)]
pub struct Core {
    /// Its name.
    pub name: &'static str,
    /// The target triple that the test program is built for.
    pub target: &'static str,
    /// The core as the compiler calls it; empty for what the target stands for.
    cpu: &'static str,
    /// Kernels that it chooses by itself.
    pub kernels: &'static str,
    /// How it is emulated.
    emulator: Emulator,
}

/// How a core is emulated.
#[derive(Clone, Copy, Debug)]
enum Emulator {
    /// A whole machine without an operating system.
    Machine {
        /// QEMU's name of it.
        name: &'static str,
        /// The machine whose memory the program is linked for: this one, or another that has the same.
        memory: &'static str,
        /// Where a request and a model can be placed.
        input: u32,
    },
    /// A Linux process.
    Process {
        /// QEMU's name of the core.
        cpu: &'static str,
    },
}

const fn machine(name: &'static str, memory: &'static str, input: u32) -> Emulator {
    Emulator::Machine { name, memory, input }
}

/// Cortex-M4F.
pub const M4F: Core = Core {
    name: "Cortex-M4F",
    target: "thumbv7em-none-eabihf",
    cpu: "cortex-m4",
    kernels: "dsp",
    emulator: machine("mps2-an386", "mps2-an386", 0x2100_0000),
};

/// Cortex-M7, with the program of the M4F.
pub const M7: Core =
    Core { name: "Cortex-M7", emulator: machine("mps2-an500", "mps2-an386", 0x6000_0000), ..M4F };

/// Cortex-M33.
pub const M33: Core = Core {
    name: "Cortex-M33",
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m33",
    kernels: "dsp",
    emulator: machine("mps2-an505", "mps2-an505", 0x8000_0000),
};

/// Cortex-M55.
pub const M55: Core = Core {
    name: "Cortex-M55",
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m55",
    kernels: "mve",
    emulator: machine("mps3-an547", "mps3-an547", 0x6000_0000),
};

/// The instructions of a Cortex-M0+, on a Cortex-M4F, which has them too: no emulated machine with that core has
/// the memory.
pub const M0: Core =
    Core { name: "Cortex-M0+", target: "thumbv6m-none-eabi", cpu: "", kernels: "portable", ..M4F };

/// Cortex-A53, which has no dot product.
pub const A53: Core = Core {
    name: "Cortex-A53",
    target: "aarch64-unknown-linux-musl",
    cpu: "",
    kernels: "neon",
    emulator: Emulator::Process { cpu: "cortex-a53" },
};

/// Cortex-A76, with the program of the A53.
pub const A76: Core =
    Core { name: "Cortex-A76", kernels: "dotprod", emulator: Emulator::Process { cpu: "cortex-a76" }, ..A53 };

/// Every core.
pub const CORES: [&Core; 7] = [&M4F, &M7, &M33, &M55, &M0, &A53, &A76];

impl Core {
    /// The arrangement of weights that its kernels are made for.
    pub fn layout(&self) -> Layout {
        match self.kernels {
            "dsp" => Layout::InterleavedBiased,
            _ => Layout::Interleaved,
        }
    }

    /// The emulator's program.
    const fn program(&self) -> &'static str {
        match self.emulator {
            Emulator::Machine { .. } => "qemu-system-arm",
            Emulator::Process { .. } => "qemu-aarch64",
        }
    }

    /// What is missing on this machine to run the core, if anything is.
    pub fn missing(&self) -> Option<String> {
        crate::missing(self.program(), self.target)
    }

    /// Whether the core can be run here; a test says what is missing and returns when not.
    pub fn can_run(&self, test: &str) -> bool {
        let missing = self.missing();
        if let Some(missing) = &missing {
            println!("SKIP {test}: {missing}");
        }
        missing.is_none()
    }

    /// Builds the test program, with the kernels that the core chooses or others, and returns its path.
    ///
    /// # Errors
    /// What cargo says.
    pub fn build(&self, kernels: Option<&str>) -> Result<PathBuf> {
        let cpu = if self.cpu.is_empty() { self.target } else { self.cpu };
        // One folder for each set of flags, or every build would undo another one.
        let folder =
            repository().join("target/on-target").join(format!("{cpu}-{}", kernels.unwrap_or("own")));
        let (package, profile) = match self.emulator {
            // The compiler vectorizes what has no kernel of its own, where there are vectors.
            Emulator::Machine { .. } if self.kernels == "mve" => ("sprat-on-target", "firmware-vectors"),
            Emulator::Machine { .. } => ("sprat-on-target", "firmware"),
            Emulator::Process { .. } => ("sprat-on-target-linux", "release"),
        };
        let mut cargo = Command::new("cargo");
        cargo.current_dir(repository()).args(["build", "--quiet", "--profile", profile]);
        cargo.args(["--package", package, "--target", self.target, "--target-dir"]).arg(&folder);
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS").env_remove("SPRAT_ISA");
        if let Emulator::Machine { memory, .. } = self.emulator {
            cargo.env("SPRAT_MACHINE", memory);
        }
        if !self.cpu.is_empty() {
            cargo.env("RUSTFLAGS", format!("-C target-cpu={}", self.cpu));
        }
        if let Some(name) = kernels {
            cargo.env("SPRAT_ISA", name);
        }
        let built = cargo.stdin(Stdio::null()).output().context("cannot start cargo")?;
        let said = String::from_utf8_lossy(&built.stderr);
        ensure!(built.status.success(), "the test program for {} does not build: {said}", self.name);
        Ok(folder.join(self.target).join(profile).join(package))
    }
}
