//! The cores of a chip at one piece of work.
//!
//! A round begins when its number changes and ends when nothing is missing. Whoever waits sleeps until another core
//! sends an event, so that an emulator which runs the cores in turn goes on to one that has something to do.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use sprat::Team;

type Job = dyn Fn(usize) + Sync;

/// All `CORES` cores. The first, which runs the application, is one of them; the others are to [`work`].
#[derive(Clone, Copy, Debug)]
pub struct Cores<const CORES: usize>;

/// The job of the round: valid from the announcement until nothing is missing.
struct Shared(UnsafeCell<Option<&'static Job>>);

// SAFETY: written by the first core alone, while nothing is missing and the round is not announced; read by the others
// only between a round's announcement and their own report that they have done their part.
unsafe impl Sync for Shared {}

static JOB: Shared = Shared(UnsafeCell::new(None));
/// Rounds begun.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// Members that have not done their part of the round.
static MISSING: AtomicU32 = AtomicU32::new(0);

/// Waits for an event of another core, or none: an event that came before is not lost.
fn wait() {
    // SAFETY: a hint.
    unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) };
}

/// Makes all writes before it seen and wakes the cores that wait.
fn wake() {
    // SAFETY: a barrier and a hint.
    unsafe { asm!("dsb sy", "sev", options(nostack, preserves_flags)) };
}

// SAFETY: each core calls the job once in a round, with its own number, and the round ends when all have.
unsafe impl<const CORES: usize> Team for Cores<CORES> {
    fn size(&self) -> usize {
        CORES
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes: the job is used until nothing is missing, which is waited for below. A
        // panic in it ends the program.
        let lent = unsafe { core::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Job>(job) };
        // SAFETY: nothing is missing, so no one reads the job. The runtime shares one piece of work at a time.
        unsafe { *JOB.0.get() = Some(lent) };
        MISSING.store(CORES as u32 - 1, Ordering::Relaxed);
        ROUND.fetch_add(1, Ordering::Release);
        wake();
        job(0);
        while MISSING.load(Ordering::Acquire) != 0 {
            wait();
        }
    }
}

/// What every core but the first does: its share, as member 1, 2, ... of the team.
pub extern "C" fn work(member: usize) -> ! {
    let mut seen = 0;
    loop {
        let round = ROUND.load(Ordering::Acquire);
        if round == seen {
            wait();
            continue;
        }
        seen = round;
        // SAFETY: the round was announced after the job was set, and this core's part is missing.
        if let Some(job) = unsafe { *JOB.0.get() } {
            job(member);
        }
        if MISSING.fetch_sub(1, Ordering::Release) == 1 {
            wake();
        }
    }
}
