//! How fast the memory can be read: a plain loop over a buffer that no cache holds.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use sprat::Team;

use crate::map::PageBuffer;

/// The buffer's size where the system does not tell that of its caches.
const LEAST_BYTES: usize = 256 << 20;
/// Times that a buffer is read, of which the fastest counts.
const TIMES: usize = 5;
/// Numbers that are read at once.
const LANES: usize = 8;

/// Bytes a second that a team reads from a buffer at least twice as large as the largest cache.
///
/// # Errors
/// No memory for the buffer.
pub fn bandwidth(team: &dyn Team) -> Result<f64> {
    let mut buffer = PageBuffer::zeroed(LEAST_BYTES.max(2 * largest_cache()))?;
    // Pages that were never written are all the same one.
    buffer.fill(1);
    Ok(read(team, &buffer))
}

/// Bytes a second that a team reads, each member its own part from start to end, at best.
pub fn read(team: &dyn Team, bytes: &[u8]) -> f64 {
    let part = bytes.len().div_ceil(team.size()).next_multiple_of(4096);
    let once = || {
        let begun = Instant::now();
        team.run(&|member| {
            let own = bytes.chunks(part).nth(member).unwrap_or_default();
            black_box(sum(own));
        });
        bytes.len() as f64 / begun.elapsed().as_secs_f64()
    };
    (0..TIMES).map(|_| once()).fold(0.0, f64::max)
}

/// A sum that depends on every byte but those behind the last whole run of words.
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; LANES];
    for run in bytes.as_chunks::<{ 8 * LANES }>().0 {
        for (sum, word) in sums.iter_mut().zip(run.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

/// Bytes of the largest cache, as Linux tells them; 0 where nothing is told.
fn largest_cache() -> usize {
    let caches = (0..8).map(|index| format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size"));
    let sizes = caches.filter_map(|path| fs::read_to_string(path).ok());
    let bytes = sizes.filter_map(|size| size.trim().strip_suffix('K')?.parse::<usize>().ok());
    bytes.max().unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use sprat::Solo;

    use super::*;

    #[test]
    fn every_byte_is_read() {
        let mut bytes = vec![1u8; 640];
        let before = sum(&bytes);
        for index in [0, 7, 8, 333, 639] {
            bytes[index] += 1;
            assert_ne!(sum(&bytes), before);
            bytes[index] -= 1;
        }
        assert!(read(&Solo, &bytes) > 0.0);
    }
}
