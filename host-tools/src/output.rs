//! Files that appear only when they are whole.
//!
//! Output is written under another name beside its place and renamed when it is finished. An error on the way takes the
//! unfinished file with it, and so does an interruption (Ctrl-C), for which the names of all unfinished files are kept.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// What a program says when a person interrupted it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// The files that an interruption has to remove.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether an interruption is to be told of instead of ending the program, and how many came.
static HELD: AtomicBool = AtomicBool::new(false);
static CAME: AtomicU32 = AtomicU32::new(0);

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on an interruption removes what is unfinished and ends the program.
///
/// # Errors
/// The system does not let signals be handled, or they are already.
pub fn remove_unfinished_when_interrupted() -> Result<()> {
    ctrlc::set_handler(|| {
        // The third one in a row ends what does not listen.
        if HELD.load(Ordering::Relaxed) && CAME.fetch_add(1, Ordering::Relaxed) < 2 {
            return;
        }
        // The lock is never given back: no new file can begin while the program ends.
        let files = unfinished();
        for file in files.iter() {
            // Nothing more can be done about one that cannot be removed.
            _ = std::fs::remove_file(file);
        }
        eprintln!("interrupted: unfinished files were removed");
        std::process::exit(INTERRUPTED);
    })
    .context("cannot handle interruptions")
}

/// While there is one, the first two interruptions do not end the program.
#[derive(Debug)]
pub struct HeldInterrupts(());

impl HeldInterrupts {
    /// From now on, one by one.
    pub fn hold() -> Self {
        CAME.store(0, Ordering::Relaxed);
        HELD.store(true, Ordering::Relaxed);
        Self(())
    }

    /// How many came.
    pub fn came(&self) -> u32 {
        CAME.load(Ordering::Relaxed)
    }
}

impl Drop for HeldInterrupts {
    fn drop(&mut self) {
        HELD.store(false, Ordering::Relaxed);
    }
}

/// A name that an interruption would remove, until it is dropped.
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        unfinished().retain(|path| *path != self.0);
    }
}

/// A file on its way to its place.
#[derive(Debug)]
pub struct Unfinished {
    // Dropped in this order: the file is listed for as long as it is there.
    file: NamedTempFile,
    _listed: Listed,
    path: PathBuf,
}

impl Unfinished {
    /// Begins a file that will be at `path`.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn beside(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".sprat-").suffix(".part");
        // Temporary files are private by default; the output is to be as readable as any other.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut names = unfinished();
        let file = builder.tempfile_in(parent).with_context(|| format!("cannot write {}", path.display()))?;
        names.push(file.path().to_owned());
        drop(names);
        let listed = Listed(file.path().to_owned());
        Ok(Self { file, _listed: listed, path: path.to_owned() })
    }

    /// What is written to.
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Where it is until it is finished.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the file in its place, where it replaces what was there.
    ///
    /// # Errors
    /// It cannot be put there.
    pub fn finish(self) -> Result<()> {
        let Self { file, path, .. } = self;
        let persisted = file.persist(&path).map_err(|error| error.error);
        persisted.map(drop).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Writes a file as a whole.
///
/// # Errors
/// It cannot be written there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = Unfinished::beside(path)?;
    file.as_file().write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let error = write_whole(&directory.path().join("no/such/out"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
    }
}
