//! What end-to-end tests share: where the reference data lie, and the emulated cores.
//!
//! The reference data are large and other people's, so they are not in the repository. A test that needs them
//! looks in the directory named by `SPRAT_TEST_DATA`, or else in `shared` beside the repository, and says that it
//! is skipped when there is none. [`cores`] builds and runs the test programs of `tests/on-target*`, [`boards`] knows the
//! emulated boards; [`counts`] is the table of what they execute. [`parsers`] are all that read bytes from outside, [`corpus`] what fuzzing them begins
//! with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub mod boards;
pub mod cores;
pub mod corpus;
pub mod counts;
pub mod parsers;

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file or directory of the reference data; `None`, and a line that says so, when it is not there.
pub fn reference(test: &str, path: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("SPRAT_TEST_DATA").map_or_else(|| repository().join("../shared"), PathBuf::from);
    let found = root.join(path);
    if !found.exists() {
        println!("SKIP {test}: {} is missing (SPRAT_TEST_DATA names the directory)", found.display());
        return None;
    }
    Some(found)
}

/// A Python that has these modules: the one that `SPRAT_PYTHON` names, the one that `cargo xtask setup` and
/// `cargo check-all` make in `target`, or the system's. `None`, and a line that says so, when there is none.
pub fn python(test: &str, modules: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os("SPRAT_PYTHON").map(PathBuf::from);
    let own = repository().join("target/python-venv/bin/python");
    let import = format!("import {}", modules.join(", "));
    let works = |python: &PathBuf| {
        let status = Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let found = named.into_iter().chain([own, PathBuf::from("python3")]).find(works);
    if found.is_none() {
        println!("SKIP {test}: no Python with {} (SPRAT_PYTHON names one)", modules.join(", "));
    }
    found
}

/// What is missing on this machine to build for a target and to run that in an emulator, if anything is.
pub fn missing(emulator: &str, target: &str) -> Option<String> {
    let version = Command::new(emulator).arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Some(format!("{emulator} is missing (cargo xtask setup)"));
    }
    let library = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let found = library.is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir());
    (!found).then(|| format!("the target {target} is missing (cargo xtask setup)"))
}
