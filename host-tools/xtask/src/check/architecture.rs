//! Rules of the design that a compiler does not check, looked for in the sources.
//!
//! Line by line and without parsing: a rule that fits into one line of text needs no more, and comments are
//! left out. Each rule names the few files that it does not hold for.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::run;

/// A pattern that only some files may hold.
pub struct Check {
    /// The rule.
    pub name: &'static str,
    /// Whether a line, its comment removed, breaks it.
    breaks: fn(&str) -> bool,
    /// Beginnings of paths that may.
    allowed: &'static [&'static str],
    /// Ends of paths that are looked at.
    files: &'static str,
}

/// This file holds every pattern.
const THIS_FILE: &str = "host-tools/xtask/src/check/architecture.rs";

/// Every rule.
pub const CHECKS: &[Check] = &[
    Check {
        name: "one place selects the target's kernels",
        breaks: |line| {
            let condition = line.contains("cfg") || line.contains("_feature_detected!");
            condition
                && ["target_arch", "target_feature", "_feature_detected!"].iter().any(|p| line.contains(p))
        },
        // A table for several machines at once detects its own instructions.
        allowed: &[
            "runtime/src/kernels.rs",
            "runtime/src/kernels/aarch64.rs",
            "runtime/src/kernels/x86.rs",
            "runtime/build.rs",
        ],
        files: ".rs",
    },
    Check {
        name: "unsafe lives in named places",
        breaks: |line| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "[unsafe("]
                .iter()
                .any(|p| line.contains(p))
        },
        allowed: &[
            "runtime/src/kernels/",
            "runtime/src/team.rs",
            "boards/support/src/aarch64",
            // The section of the model, in what it writes.
            "boards/support/src/build_script.rs",
            "boards/support/src/cmsdk.rs",
            "boards/support/src/cortex_m.rs",
            // RAM of which the linker knows nothing, and who says where it is told of.
            "boards/support/src/device_tree.rs",
            "boards/qemu-virt-riscv32/src/main.rs",
            "boards/real/stm32f746/src/outside.rs",
            "boards/support/src/drill.rs",
            "boards/support/src/heap.rs",
            "boards/support/src/ns16550.rs",
            "boards/support/src/pl011.rs",
            "boards/support/src/riscv.rs",
            // Memory that the linker script sets aside.
            "boards/support/src/slots/region.rs",
            "boards/support/src/stack.rs",
            "boards/support/src/team.rs",
            // A job is lent to threads that live longer than it does.
            "boards/support/src/threads.rs",
            "boards/raspberry-pi-linux/src/map.rs",
            // What fault handlers call, registers, and values in a chip's own memory.
            "boards/real/glue/src/failure.rs",
            "boards/real/glue/src/esp.rs",
            "boards/real/glue/src/raspberry_pi",
            "boards/real/glue/src/stm32.rs",
            // Where the other core starts.
            "boards/real/stm32h747/src/main.rs",
            "boards/qemu-mps3-an547/src/counter.rs",
            "host-tools/src/map.rs",
            // Products of the crate `gemm`, whose functions take pointers.
            "host-tools/train/src/matrix.rs",
            "tests/fuzz/",
            "tests/on-target/",
            "tests/on-target-linux/",
        ],
        files: ".rs",
    },
    Check {
        name: "no mutable statics",
        breaks: |line| line.replace("'static mut ", "").contains("static mut "),
        allowed: &[],
        files: ".rs",
    },
    Check {
        name: "no heap but the boards' own",
        breaks: |line| line.contains("extern crate alloc") || line.contains("global_allocator"),
        // A test on the host counts what parsers allocate; training keeps the memory of its tensors.
        allowed: &[
            "boards/support/src/heap.rs",
            "host-tools/src/main.rs",
            "host-tools/train/examples/speed.rs",
            "tests/e2e/tests/hostile_files/main.rs",
        ],
        files: ".rs",
    },
    Check {
        name: "one user of embedded-alloc",
        breaks: |line| line.starts_with("embedded-alloc"),
        allowed: &["boards/support/Cargo.toml", "Cargo.toml"],
        files: "Cargo.toml",
    },
    Check {
        name: "the format depends on no other package",
        breaks: |line| line.starts_with("sprat"),
        allowed: &["Cargo.toml", "runtime/Cargo.toml", "host-tools/", "boards/", "tests/"],
        files: "Cargo.toml",
    },
    Check {
        name: "the runtime depends on the format only",
        breaks: |line| line.starts_with("sprat") && !line.starts_with("sprat-format"),
        allowed: &["Cargo.toml", "host-tools/", "boards/", "tests/"],
        files: "Cargo.toml",
    },
];

impl Check {
    /// Looks through every tracked or new file.
    pub fn run(&self) -> Result<()> {
        let mut found = String::new();
        for path in sources()? {
            let excepted = path == THIS_FILE || self.allowed.iter().any(|start| path.starts_with(start));
            if !path.ends_with(self.files) || excepted {
                continue;
            }
            let text =
                fs::read_to_string(run::root().join(&path)).with_context(|| format!("cannot read {path}"))?;
            for (number, line) in text.lines().enumerate() {
                if (self.breaks)(code(line)) {
                    found += &format!("{path}:{}: {}\n", number + 1, line.trim());
                }
            }
        }
        if !found.is_empty() {
            bail!("{}; allowed are {}; found in\n{found}", self.name, self.allowed.join(", "));
        }
        Ok(())
    }
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// Files that git tracks or would.
fn sources() -> Result<Vec<String>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = run::program("git", &list).output().context("cannot start git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let paths = String::from_utf8_lossy(&output.stdout).into_owned();
    // A file that was deleted and not yet committed is still listed.
    Ok(paths.lines().filter(|path| run::root().join(path).exists()).map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks(name: &str, line: &str) -> bool {
        CHECKS.iter().filter(|check| check.name == name).any(|check| (check.breaks)(code(line)))
    }

    #[test]
    fn rules_find_what_they_are_for_and_nothing_else() {
        let cfg = "one place selects the target's kernels";
        assert!(breaks(cfg, "#[cfg(target_arch = \"arm\")]"));
        assert!(breaks(cfg, "if is_x86_feature_detected!(\"avx2\") {"));
        assert!(!breaks(cfg, "#[target_feature(enable = \"avx2\")]"));
        assert!(!breaks(cfg, "// cfg(target_arch)"));
        let unsafety = "unsafe lives in named places";
        assert!(breaks(unsafety, "let x = unsafe { *p };"));
        assert!(breaks(unsafety, "#[unsafe(naked)]"));
        assert!(!breaks(unsafety, "#![forbid(unsafe_code)]"));
        assert!(breaks("no mutable statics", "static mut COUNT: u32 = 0;"));
        assert!(!breaks("no mutable statics", "arena: &'static mut [u8],"));
    }
}
