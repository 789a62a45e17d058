//! Time by stage, and the length of a core's cycle.
//!
//! A machine's time stamp counter is no cycle counter, and performance counters are often out of reach (in virtual
//! machines, for one). A chain of additions that wait for each other takes one cycle for each on every core that this
//! program runs on; timed in the same run, it says how long a cycle was.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use sprat::{Probe, Stage};

/// Adds up the time that each stage takes.
#[derive(Debug)]
pub struct StageClock {
    begun: Instant,
    /// The stage that runs, as an index into [`Stage::ALL`].
    stage: AtomicUsize,
    /// When it began, in nanoseconds since `begun`.
    since: AtomicU64,
    /// Nanoseconds of each stage.
    spent: [AtomicU64; Stage::ALL.len()],
}

impl Default for StageClock {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            stage: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            spent: [const { AtomicU64::new(0) }; Stage::ALL.len()],
        }
    }
}

// One thread tells of stages: the numbers are atomic so that another may read them, and need no order.
impl Probe for StageClock {
    fn begin(&self, stage: Stage) {
        let now = self.begun.elapsed().as_nanos() as u64;
        let past = now - self.since.swap(now, Ordering::Relaxed);
        let next = Stage::ALL.iter().position(|other| *other == stage).unwrap_or(0);
        let ended = self.stage.swap(next, Ordering::Relaxed);
        self.spent[ended].fetch_add(past, Ordering::Relaxed);
    }
}

impl StageClock {
    /// Seconds of each stage so far, of those that ended and took any time; the caller's own are left out.
    pub fn seconds(&self) -> Vec<(Stage, f64)> {
        let spent = self.spent.iter().map(|spent| spent.load(Ordering::Relaxed) as f64 / 1e9);
        let stages = Stage::ALL.into_iter().zip(spent);
        stages.filter(|(stage, spent)| *stage != Stage::Outside && *spent > 0.0).collect()
    }

    /// Forgets what was measured.
    pub fn reset(&self) {
        self.begin(Stage::Outside);
        self.spent.iter().for_each(|spent| spent.store(0, Ordering::Relaxed));
    }
}

/// Additions of one measurement.
const STEPS: u64 = 4_000_000;
/// Measurements, of which the fastest counts.
const TIMES: usize = 5;

/// Cycles a second of the core that runs this, as long as it is alone.
pub fn cycles_per_second() -> f64 {
    let once = || {
        let begun = Instant::now();
        let (mut x, addend, mask) = (black_box(1u64), black_box(0x9e37_79b9_7f4a_7c15), black_box(0x5555));
        for _ in 0..STEPS / 8 {
            // Neither operation can be exchanged with the other, so none of them can be left out.
            for _ in 0..4 {
                x = x.wrapping_add(addend);
                x ^= mask;
            }
        }
        black_box(x);
        STEPS as f64 / begun.elapsed().as_secs_f64()
    };
    (0..TIMES).map(|_| once()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_is_that_of_the_stage_that_runs() {
        let clock = StageClock::default();
        clock.begin(Stage::Head);
        sleep(Duration::from_millis(20));
        clock.begin(Stage::Norm);
        clock.begin(Stage::Outside);
        sleep(Duration::from_millis(5));
        let seconds = clock.seconds();
        assert_eq!(seconds.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), [Stage::Norm, Stage::Head]);
        assert!(seconds[1].1 >= 0.02 && seconds[0].1 < seconds[1].1);
        clock.reset();
        assert!(clock.seconds().is_empty());
    }

    #[test]
    fn a_cycle_has_the_length_of_a_cycle() {
        let found = cycles_per_second();
        assert!((1e8..1e10).contains(&found), "{found:e}");
    }
}
