//! Threads that stay on a core of their own.
//!
//! All members of a team meet a hundred times for a token. A thread that the system moves comes to a cold cache, and one
//! that it puts beside another on one core lets all of them wait.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this program may use, as the system numbers them; none where that cannot be asked.
#[cfg(target_os = "linux")]
pub(crate) fn usable() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect()
}

/// Keeps the calling thread on the core of its number, if there is one for each number.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cores: &[usize], member: usize) {
    let Some(&core) = cores.get(member) else { return };
    let mut only = CpuSet::new();
    only.set(core);
    // Where the system forbids it, the thread runs where the system likes: slower at times, and the same numbers.
    _ = sched_setaffinity(None, &only);
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn usable() -> Vec<usize> {
    Vec::new()
}

/// Threads run where the system likes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: &[usize], _: usize) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_use_its_core_only() {
        let cores = usable();
        assert!(!cores.is_empty());
        let last = cores.len() - 1;
        let pinned = std::thread::scope(|scope| {
            let pinned = scope.spawn(|| {
                pin(&cores, last);
                usable()
            });
            pinned.join().unwrap()
        });
        assert_eq!(pinned, [cores[last]]);
        // Others are not.
        assert_eq!(usable(), cores);
        pin(&cores, cores.len());
        assert_eq!(usable(), cores);
    }
}
