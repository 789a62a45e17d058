//! The kernels' battery and their instruction counts, on an emulated Cortex-M core.
//!
//! It prints a line for the battery and one for each workload, `count NAME UNITS INSTRUCTIONS`, over
//! semihosting, and exits with 0 only when every kernel agreed with the portable one. Instructions are counted by
//! SysTick under `-icount shift=0`, where each takes one nanosecond of the machine's time.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use semihosting::{println, process};
use sprat::format::Layout;
use sprat::{BATTERY_BYTES, Kernels, Workload, battery};

/// Work space, handed out once.
#[repr(C, align(16))]
struct Space(UnsafeCell<[u8; SPACE_BYTES]>);

const SPACE_BYTES: usize = 160 * 1024;
const _: () = assert!(SPACE_BYTES >= BATTERY_BYTES);

// SAFETY: `main` is the only one to take the space, once, and no interrupt handler touches it.
unsafe impl Sync for Space {}

static SPACE: Space = Space(UnsafeCell::new([0; SPACE_BYTES]));

/// Times that SysTick ran through its 24 bits.
static WRAPS: AtomicU32 = AtomicU32::new(0);

const RELOAD: u32 = 0xff_ffff;

#[exception]
fn SysTick() {
    // Only this handler writes, so that a load and a store are enough.
    WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    println!("hard fault");
    process::exit(139)
}

/// SysTick's ticks since it was started.
fn ticks() -> u64 {
    loop {
        let before = WRAPS.load(Ordering::Relaxed);
        let now = SYST::get_current();
        if before == WRAPS.load(Ordering::Relaxed) {
            return u64::from(before) * u64::from(RELOAD + 1) + u64::from(RELOAD - now);
        }
    }
}

/// Hundredths of an instruction in a tick.
const TICK: u64 = parse(env!("SPRAT_TICK"));

const fn parse(digits: &str) -> u64 {
    let (mut value, mut i) = (0, 0);
    while i < digits.len() {
        value = 10 * value + (digits.as_bytes()[i] - b'0') as u64;
        i += 1;
    }
    value
}

/// Instructions of one call, from enough calls that a tick does not matter.
fn instructions(workload: &Workload, kernels: &Kernels, work: &mut [u8]) -> u64 {
    const CALLS: u64 = 20;
    let sum: u64 = (0..CALLS).map(|_| workload.run(kernels, work, &mut ticks)).sum();
    sum * TICK / (100 * CALLS)
}

#[entry]
fn main() -> ! {
    if let Some(mut peripherals) = cortex_m::Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(RELOAD);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_interrupt();
        peripherals.SYST.enable_counter();
    }
    // SAFETY: `main` runs once and nobody else takes the space.
    let work = unsafe { &mut *SPACE.0.get() };
    let kernels = Kernels::detect();
    println!("machine {} kernels {}", env!("SPRAT_MACHINE"), kernels.name());
    match battery(kernels, work) {
        Ok(cases) => println!("battery {cases} cases equal"),
        Err(mismatch) => {
            println!("battery failed: {mismatch:?}");
            process::exit(1);
        }
    }
    let layout = match kernels.name() {
        "dsp" => Layout::InterleavedBiased,
        _ => Layout::Interleaved,
    };
    for workload in &Workload::tracked(layout) {
        let count = instructions(workload, kernels, work);
        println!("count {} {} {count} {workload:?}", workload.name(), workload.units());
    }
    process::exit(0)
}
