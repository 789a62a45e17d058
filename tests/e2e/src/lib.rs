//! What end-to-end tests share: where the reference data lie, and the emulated cores.
//!
//! The reference data are large and other people's, so they are not in the repository. A test that needs them
//! looks in the directory named by `SPRAT_TEST_DATA`, or else in `shared` beside the repository, and says that it
//! is skipped when there is none. [`cores`] builds and runs the test programs of `tests/on-target*`; [`counts`] is
//! the table of what they execute.

use std::path::{Path, PathBuf};

pub mod cores;
pub mod counts;

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
