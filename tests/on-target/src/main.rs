//! The test program of bare Cortex-M cores: the kernels' battery, instruction counts, whole models.
//!
//! The first semihosting argument names the job: `battery`, `count`, or `model ADDRESS BYTES CONTEXT`, where an
//! emulator has placed a request and a packed model in memory. Instructions are counted by SysTick under
//! `-icount shift=0`, where each takes one nanosecond of the machine's time. It exits with 0 only when all is
//! well.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use semihosting::experimental::env;
use semihosting::{print, println, process};
use sprat::{BATTERY_BYTES, Kernels, Solo};
use sprat_board_support::console::Counter;

mod job;

/// Work space of the kernels or arena of a model, handed out once.
#[repr(C, align(16))]
struct Space(UnsafeCell<[u8; SPACE_BYTES]>);

/// Most of the RAM of the smallest machine, which has 512 KiB.
const SPACE_BYTES: usize = 440 * 1024;
const _: () = assert!(SPACE_BYTES >= BATTERY_BYTES);

// SAFETY: `main` is the only one to take the space, once, and no interrupt handler touches it.
unsafe impl Sync for Space {}

static SPACE: Space = Space(UnsafeCell::new([0; SPACE_BYTES]));

/// Times that SysTick ran through its 24 bits.
static WRAPS: AtomicU32 = AtomicU32::new(0);

const RELOAD: u32 = 0xff_ffff;

/// Calls that a kernel is counted for, so many that a tick of SysTick does not matter.
const CALLS: u64 = 20;

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

/// Hundredths of an instruction in a tick of SysTick.
const TICK: u64 = parse(env!("SPRAT_TICK"));

const fn parse(digits: &str) -> u64 {
    let (mut value, mut i) = (0, 0);
    while i < digits.len() {
        value = 10 * value + (digits.as_bytes()[i] - b'0') as u64;
        i += 1;
    }
    value
}

/// What the counter counts for an instruction: a division at each reading would count too.
const SCALE: u64 = 100;

/// SysTick since it was started, in hundredths of an instruction.
struct Instructions;

impl Counter for Instructions {
    fn now(&mut self) -> u64 {
        loop {
            let before = WRAPS.load(Ordering::Relaxed);
            let now = SYST::get_current();
            if before == WRAPS.load(Ordering::Relaxed) {
                return (u64::from(before) * u64::from(RELOAD + 1) + u64::from(RELOAD - now)) * TICK;
            }
        }
    }
}

/// The host's standard output.
struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print!("{text}");
        Ok(())
    }
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
    println!("kernels {}", kernels.name());
    let Ok(arguments) = env::args::<128>() else { usage() };
    // The first argument names the program.
    let mut arguments = (&arguments).into_iter().skip(1).map_while(Result::ok);
    let done = match arguments.next() {
        Some("battery") => job::compare(kernels, work, &mut Output),
        Some("count") => job::count(kernels, work, CALLS, &mut Instructions, SCALE, &mut Output),
        Some("model") => {
            let mut number = || arguments.next()?.parse::<u32>().ok();
            let (Some(address), Some(bytes), Some(context)) = (number(), number(), number()) else { usage() };
            // SAFETY: the host names memory that it has filled and that nothing else uses.
            let input = unsafe { core::slice::from_raw_parts(address as *const u8, bytes as usize) };
            job::answer(input, context, work, &Solo, &mut Instructions, SCALE, &mut Output)
        }
        _ => usage(),
    };
    if let Err(failure) = done {
        println!("failed: {failure:?}");
        process::exit(1);
    }
    process::exit(0)
}

fn usage() -> ! {
    println!("expected arguments: battery | count | model ADDRESS BYTES CONTEXT");
    process::exit(2)
}
