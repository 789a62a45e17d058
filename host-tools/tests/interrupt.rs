//! A person who changes their mind: Ctrl-C in the middle of packing.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Writes a llama2.c checkpoint of 1.1 GB, all zeros, that takes no space on the disk.
fn write_large(path: &Path) {
    let [hidden, ffn, layers, heads, vocab, positions] = [1024i32, 4096, 16, 16, 4096, 64];
    let header = [hidden, ffn, layers, heads, heads, vocab, positions];
    let bytes: Vec<u8> = header.into_iter().flat_map(i32::to_le_bytes).collect();
    fs::write(path, bytes).unwrap();
    let (h, f, l) = (hidden as u64, ffn as u64, layers as u64);
    let numbers =
        vocab as u64 * h + l * (2 * h + 4 * h * h + 3 * h * f) + h + positions as u64 * h / heads as u64;
    fs::File::options().write(true).open(path).unwrap().set_len(28 + 4 * numbers).unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_interrupted_pack_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("large.bin");
    write_large(&source);
    let outputs = tempfile::tempdir().unwrap();
    let output = outputs.path().join("large.sprat");
    fs::write(&output, "what was there before").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sprat"))
        .arg("pack")
        .args([&source, Path::new("-o"), &output])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let unfinished = || names(outputs.path()).into_iter().find(|name| name.ends_with(".part"));
    let is_growing = |name: String| fs::metadata(outputs.path().join(name)).is_ok_and(|file| file.len() > 0);
    while !unfinished().is_some_and(is_growing) {
        assert!(begun.elapsed() < Duration::from_secs(30), "packing never began");
        assert!(child.try_wait().unwrap().is_none(), "packing ended before it could be interrupted");
        sleep(Duration::from_millis(2));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(names(outputs.path()), ["large.sprat"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), "what was there before");
}
