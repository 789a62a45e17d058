//! The drive that the boot loader of a Raspberry Pi Pico 2 shows while it waits for a file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// The file that says which board a drive is.
const INFO: &str = "INFO_UF2.TXT";
/// What stands in it for this chip.
const CHIP: &str = "RP2350";

/// Whether a folder is such a drive.
fn is_drive(folder: &Path) -> bool {
    fs::read_to_string(folder.join(INFO)).is_ok_and(|text| text.contains(CHIP))
}

/// Where drives may be: what is mounted, and what looks like a drive.
fn folders() -> Vec<PathBuf> {
    // Linux. The fields of a line are separated by spaces, spaces in them are written as \040.
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mounted = mounted.map(|folder| PathBuf::from(folder.replace("\\040", " ")));
    // macOS.
    let volumes = fs::read_dir("/Volumes").into_iter().flatten().flatten().map(|entry| entry.path());
    // Windows.
    let letters = ('D'..='Z').map(|letter| PathBuf::from(format!("{letter}:\\")));
    mounted.chain(volumes).chain(letters).collect()
}

/// The drive: the one that is named, or else the only one there is.
///
/// # Errors
/// There is none, or several, or what is named is none.
pub fn find(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = named {
        ensure!(
            is_drive(folder),
            "{} is not the drive of an {CHIP}: there is no {INFO} with that name in it",
            folder.display()
        );
        return Ok(folder.to_owned());
    }
    let mut drives: Vec<_> = folders().into_iter().filter(|folder| is_drive(folder)).collect();
    match (drives.pop(), drives.is_empty()) {
        (Some(drive), true) => Ok(drive),
        (Some(drive), false) => {
            drives.push(drive);
            let names: Vec<_> = drives.iter().map(|drive| drive.display().to_string()).collect();
            bail!("several boards wait for a file: {}; name one with --drive", names.join(", "))
        }
        (None, _) => bail!(
            "no {CHIP} waits for a file; hold its BOOTSEL button while you connect it, and mount the drive that \
             appears (--drive PATH if it is found nowhere)"
        ),
    }
}

/// Copies a file onto the drive. The board takes it and restarts when it has all of it.
///
/// # Errors
/// It cannot be written.
pub fn copy(file: &[u8], drive: &Path, name: &str) -> Result<()> {
    let path = drive.join(name);
    fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_known_by_what_it_says_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains(INFO), "{error}");
        fs::write(
            folder.path().join(INFO),
            "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2",
        )
        .unwrap();
        assert!(find(Some(folder.path())).is_err());
        fs::write(
            folder.path().join(INFO),
            "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350",
        )
        .unwrap();
        assert_eq!(find(Some(folder.path())).unwrap(), folder.path());
    }
}
