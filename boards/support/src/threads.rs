//! The team of an operating system: threads that wait awake for a short while, then sleep.
//!
//! A token of a small model is a hundred pieces of work of some microseconds each. Whoever waits for the next
//! piece therefore looks for it without sleeping; only when nothing comes for about a tenth of a millisecond does
//! it sleep, so that an idle program costs nothing. Handing out a piece allocates nothing and, while all are
//! awake, makes no system call. A piece whose thread is late, because it sleeps or the system runs something else
//! in its place, is done by whoever is free.
extern crate std;

use std::any::Any;
use std::boxed::Box;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::vec::Vec;
use std::{fmt, format, io};

use sprat::Team;

/// Members that a team has at most.
pub const MOST_THREADS: usize = 256;
/// Looks for work before going to sleep; a look takes 20 to 60 ns.
const LOOKS: usize = if cfg!(miri) { 20 } else { 3000 };
/// Meeting the others takes a microsecond or two. With 2^15 products a model of 0.9 million weights is written slower by
/// two threads than by one; with 2^17 the attention output of stories15M would be left to one.
const LEAST_PRODUCTS: usize = 1 << 16;
/// The number of a round that no round has: the team is dismissed.
const DISMISSED: u64 = u64::MAX;

type Job = dyn Fn(usize) + Sync;

/// Why there is no team.
#[derive(Debug)]
pub enum ThreadsError {
    /// No member, or more than [`MOST_THREADS`].
    Count {
        /// Members asked for.
        found: usize,
    },
    /// The system has no more threads.
    Start {
        /// Number of the thread that it did not start, from 1 on.
        number: usize,
        /// Members asked for.
        count: usize,
        /// What it says.
        error: io::Error,
    },
}

impl fmt::Display for ThreadsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { found } => {
                write!(f, "{found} threads were asked for; expected 1 to {MOST_THREADS}")
            }
            Self::Start { number, count, error } => {
                write!(f, "cannot start thread {number} of {count}, ask for fewer: {error}")
            }
        }
    }
}

impl std::error::Error for ThreadsError {}

/// Threads at one piece of work, the caller's own among them.
#[derive(Debug)]
pub struct Threads {
    shared: Arc<Shared>,
    others: Vec<JoinHandle<()>>,
    /// Held while a job runs: a job that itself asks for the team does its work alone.
    busy: Mutex<()>,
}

/// A counter that can be waited for, on cache lines of its own: who waits for one does not slow another down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Signal {
    count: AtomicU64,
    /// How many sleep.
    sleepers: Mutex<usize>,
    changed: Condvar,
}

struct Shared {
    /// Rounds begun. A new number announces that `job` is set.
    round: Signal,
    /// Members whose part of the round is not done yet.
    missing: Signal,
    /// For each member, the last round in which someone took its part.
    taken: Box<[AtomicU64]>,
    /// The job of the round: valid from the announcement until nothing is missing.
    job: UnsafeCell<Option<&'static Job>>,
    /// What the first panic of the round left.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written by the caller of `Threads::run` alone, while it holds `busy`, nothing is missing and the
// round is not announced. It is read only by who took a part of an announced round and has not yet reported it done.
unsafe impl Sync for Shared {}
// SAFETY: a job may be called from any thread, as it is `Sync`.
unsafe impl Send for Shared {}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("round", &self.round).finish_non_exhaustive()
    }
}

/// A lock whose holder cannot have left anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Signal {
    /// Sets the counter and wakes those who sleep.
    fn set(&self, count: u64) {
        self.count.store(count, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // Whoever goes to sleep looks at the counter once more with the lock held.
        if *lock(&self.sleepers) > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until the counter is something that is `wanted`, and returns it.
    fn wait(&self, wanted: impl Fn(u64) -> bool) -> u64 {
        for _ in 0..LOOKS {
            let count = self.count.load(Ordering::Acquire);
            if wanted(count) {
                return count;
            }
            spin_loop();
        }
        let mut sleepers = lock(&self.sleepers);
        *sleepers += 1;
        loop {
            let count = self.count.load(Ordering::SeqCst);
            if wanted(count) {
                *sleepers -= 1;
                return count;
            }
            sleepers = self.changed.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    /// What the thread of a member does until the team is dismissed.
    fn work(&self, member: usize) {
        let mut seen = 0;
        loop {
            seen = self.round.wait(|round| round != seen);
            if seen == DISMISSED {
                return;
            }
            self.take_parts(seen, member);
        }
    }

    /// Does a member's part of a round and whatever others have not begun yet.
    fn take_parts(&self, round: u64, member: usize) {
        let members = self.taken.len();
        for member in (member..members).chain(0..member) {
            // Of a round that is over every part was taken, and of none is taken twice.
            if self.taken[member].fetch_max(round, Ordering::SeqCst) >= round {
                continue;
            }
            // SAFETY: the round was announced after the job was set, and a part that was just taken is missing.
            if let Some(job) = unsafe { *self.job.get() } {
                self.call(job, member);
            }
            if self.missing.count.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.missing.wake();
            }
        }
    }

    /// Calls a job and keeps its panic for the caller.
    fn call(&self, job: &(dyn Fn(usize) + Sync), member: usize) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(member))) {
            lock(&self.panic).get_or_insert(panic);
        }
    }
}

impl Threads {
    /// A team of `count` members, of which the caller is one.
    ///
    /// # Errors
    /// No member, more than [`MOST_THREADS`], or the system has no more threads.
    pub fn new(count: usize) -> Result<Self, ThreadsError> {
        Self::begun_with(count, |_| {})
    }

    /// The same; each thread but the caller's own first calls `begin` with its number, to choose its core, for example.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn begun_with(
        count: usize,
        begin: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<Self, ThreadsError> {
        if !(1..=MOST_THREADS).contains(&count) {
            return Err(ThreadsError::Count { found: count });
        }
        let shared = Arc::new(Shared {
            round: Signal::default(),
            missing: Signal::default(),
            taken: (0..count).map(|_| AtomicU64::new(0)).collect(),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        });
        let mut team = Self { shared, others: Vec::with_capacity(count - 1), busy: Mutex::new(()) };
        for member in 1..count {
            let (shared, begin) = (Arc::clone(&team.shared), begin.clone());
            let work = move || {
                begin(member);
                shared.work(member);
            };
            let thread = thread::Builder::new().name(format!("sprat {member}")).spawn(work);
            let failed = |error| ThreadsError::Start { number: member + 1, count, error };
            team.others.push(thread.map_err(failed)?);
        }
        Ok(team)
    }

    /// The number of members that is best where nothing is said: the machine's cores, at most 8, as reading
    /// weights does not become faster with more.
    pub fn sensible() -> usize {
        thread::available_parallelism().map_or(1, NonZero::get).min(8)
    }
}

// SAFETY: each part of a round is taken once, by the caller or a thread, and `run` returns, or lets a panic go on, only
// when none is missing. While a job runs, another one calls all numbers in turn.
unsafe impl Team for Threads {
    fn size(&self) -> usize {
        self.others.len() + 1
    }

    fn least_products(&self) -> usize {
        LEAST_PRODUCTS
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        let free = self.busy.try_lock();
        if self.others.is_empty() || free.is_err() {
            return (0..self.size()).for_each(job);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. The job is used until nothing is missing, which is waited for below, and
        // nothing between here and there can panic: the caller's own part is caught.
        let lent = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Job>(job) };
        // SAFETY: nothing is missing, so no one reads the job, and `busy` keeps other callers out.
        unsafe { *shared.job.get() = Some(lent) };
        shared.missing.count.store(self.size() as u64, Ordering::SeqCst);
        let round = shared.round.count.load(Ordering::Relaxed) + 1;
        shared.round.set(round);
        shared.take_parts(round, 0);
        shared.missing.wait(|missing| missing == 0);
        if let Some(panic) = lock(&shared.panic).take() {
            drop(free);
            resume_unwind(panic);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.round.set(DISMISSED);
        for thread in self.others.drain(..) {
            // A member catches every panic of a job; there is nothing to report.
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;

    const ROUNDS: u32 = if cfg!(miri) { 8 } else { 500 };

    #[test]
    fn every_member_is_called_once_in_every_round() {
        for size in 1..=5 {
            let team = Threads::new(size).unwrap();
            assert_eq!(team.size(), size);
            let calls: Vec<AtomicU32> = (0..size).map(|_| AtomicU32::new(0)).collect();
            for round in 1..=ROUNDS {
                team.run(&|member| {
                    calls[member].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == round), "{calls:?}");
            }
        }
    }

    #[test]
    fn every_thread_but_the_first_begins_with_its_number() {
        let begun = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&begun);
        drop(Threads::begun_with(4, move |member| _ = seen.fetch_or(1 << member, Ordering::SeqCst)).unwrap());
        // All have ended.
        assert_eq!(begun.load(Ordering::SeqCst), 0b1110);
    }

    #[test]
    fn members_that_fell_asleep_wake_up() {
        let team = Threads::new(3).unwrap();
        let calls = AtomicU32::new(0);
        for round in 1..=3 {
            thread::sleep(Duration::from_millis(20));
            team.run(&|member| {
                // Whoever has done its part falls asleep while it waits for the others.
                thread::sleep(Duration::from_millis(10 * member as u64));
                calls.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(calls.load(Ordering::Relaxed), 3 * round);
        }
    }

    #[test]
    fn what_members_write_is_there_when_the_job_is_done() {
        let team = Threads::new(4).unwrap();
        let mut sums = [0u64; 4];
        for round in 0..u64::from(ROUNDS) {
            let parts: Vec<Mutex<&mut u64>> = sums.iter_mut().map(Mutex::new).collect();
            team.run(&|member| **lock(&parts[member]) += round * member as u64);
        }
        let rounds = u64::from(ROUNDS);
        assert_eq!(sums, [0, 1, 2, 3].map(|member| member * rounds * (rounds - 1) / 2));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let team = Threads::new(3).unwrap();
        for culprit in 0..3 {
            let done = AtomicU32::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(&|member| {
                    if member == culprit {
                        resume_unwind(Box::new("on purpose"));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert_eq!(result.unwrap_err().downcast_ref(), Some(&"on purpose"));
            assert_eq!(done.load(Ordering::Relaxed), 2, "the others finish first");
        }
        let calls = AtomicU32::new(0);
        team.run(&|_| _ = calls.fetch_add(1, Ordering::Relaxed));
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_job_within_a_job_and_a_second_caller_are_served() {
        let team = Threads::new(2).unwrap();
        let calls = AtomicU32::new(0);
        team.run(&|_| team.run(&|_| _ = calls.fetch_add(1, Ordering::Relaxed)));
        assert_eq!(calls.load(Ordering::Relaxed), 4);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..ROUNDS / 4).for_each(|_| team.run(&|_| _ = calls.fetch_add(1, Ordering::Relaxed)))
                });
            }
        });
        assert_eq!(calls.load(Ordering::Relaxed), 4 + 4 * (ROUNDS / 4));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let message = |count| Threads::new(count).unwrap_err().to_string();
        assert_eq!(message(0), "0 threads were asked for; expected 1 to 256");
        assert_eq!(message(257), "257 threads were asked for; expected 1 to 256");
        assert!((1..=8).contains(&Threads::sensible()));
    }
}
