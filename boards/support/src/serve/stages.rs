//! A board's counter, and what it counts by stage of the work.
//!
//! The engine may be on its way to another thread, so whoever is told of stages is shared between threads, and a counter
//! is not. What keeps them apart is a critical section, since not every core can compare and exchange.

use core::cell::RefCell;

use critical_section::Mutex;
use sprat::{Probe, Stage};

use crate::console::Counter;

/// Counts of all stages, in the order of [`Stage::ALL`].
pub(super) type Counts = [u64; Stage::ALL.len()];

/// A counter that adds up what stages take once the engine tells it of them.
pub(super) struct StageCounter<'c, C>(Mutex<RefCell<Work<'c, C>>>);

struct Work<'c, C> {
    counter: &'c mut C,
    /// The stage that runs.
    stage: Stage,
    /// When it began.
    since: u64,
    taken: Counts,
}

impl<C: Counter> Work<'_, C> {
    fn begin(&mut self, stage: Stage) {
        let now = self.counter.now();
        self.taken[self.stage as usize] += now - self.since;
        (self.stage, self.since) = (stage, now);
    }
}

impl<'c, C: Counter> StageCounter<'c, C> {
    /// Nothing is added up yet.
    pub fn new(counter: &'c mut C) -> Self {
        let since = counter.now();
        let taken = [0; Stage::ALL.len()];
        Self(Mutex::new(RefCell::new(Work { counter, stage: Stage::Outside, since, taken })))
    }

    /// The count, as [`Counter::now`].
    pub fn now(&self) -> u64 {
        self.with(|work| work.counter.now())
    }

    /// What stages took since this was called before.
    pub fn take(&self) -> Counts {
        self.with(|work| {
            work.begin(Stage::Outside);
            core::mem::take(&mut work.taken)
        })
    }

    fn with<R>(&self, work: impl FnOnce(&mut Work<'c, C>) -> R) -> R {
        critical_section::with(|section| work(&mut self.0.borrow_ref_mut(section)))
    }
}

impl<C: Counter + Send> Probe for StageCounter<'_, C> {
    fn begin(&self, stage: Stage) {
        self.with(|work| work.begin(stage));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it was asked.
    struct Asked(u64);

    impl Counter for Asked {
        fn now(&mut self) -> u64 {
            self.0 += 1;
            self.0
        }
    }

    #[test]
    fn every_count_belongs_to_the_stage_that_ran() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
        let mut asked = Asked(10);
        let counter = StageCounter::new(&mut asked);
        counter.begin(Stage::Norm);
        counter.now();
        counter.begin(Stage::Qkv);
        counter.begin(Stage::Norm);
        let mut expected = [0; Stage::ALL.len()];
        // Asked once for each that begins, and once between.
        for (stage, count) in [(Stage::Outside, 1), (Stage::Norm, 2 + 1), (Stage::Qkv, 1)] {
            expected[stage as usize] = count;
        }
        assert_eq!(counter.take(), expected);
        expected = [0; Stage::ALL.len()];
        expected[Stage::Outside as usize] = 1;
        assert_eq!(counter.take(), expected);
    }
}
