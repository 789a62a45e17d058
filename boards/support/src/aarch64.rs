//! AArch64 cores without an operating system, as on a Raspberry Pi: faults, stack, counter, and a team of four.
//!
//! `start` brings each core up with caches on; [`team`](crate::team) shares work among them. Every stack has unmapped memory
//! below it, so outgrowing one is a fault at the first word too many, before anything else is overwritten. No interrupt
//! is enabled, so every exception is a fault, and nothing returns from one: the handler starts over on an empty stack.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use critical_section::RawRestoreState;
use defmt::error;

use crate::console::Counter;
use crate::protocol::Exit;
#[cfg(feature = "semihosting")]
use crate::semihosted::exit;
use crate::stack;

#[cfg(feature = "raspberry-pi")]
mod devices;
mod start;

/// Ends a firmware that no emulator runs, in the way of the boards that are linked with it.
#[cfg(not(feature = "semihosting"))]
fn exit(exit: Exit) -> ! {
    unsafe extern "Rust" {
        fn sprat_board_exit(exit: Exit) -> !;
    }
    // SAFETY: the one function of this name, which the package that asks for `aarch64-start` defines.
    unsafe { sprat_board_exit(exit) }
}

unsafe extern "C" {
    /// Lowest address of the first core's stack, from the linker script.
    static _stack_end: u32;
    /// First address above it, from the linker script.
    static _stack_start: u32;
}

/// Makes a function the one that the first core begins with, once: `fn() -> !`.
#[macro_export]
macro_rules! aarch64_entry {
    ($main:path) => {
        // The start-up code calls it by this name.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn sprat_main() -> ! {
            $main()
        }
    };
}

/// Paints the unused stack. To be called first in `main`.
pub fn paint_stack() {
    let here: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {here}, sp", here = out(reg) here, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the linker script places the stack's end, aligned, below the frames that are in use.
    unsafe { stack::paint(&raw const _stack_end, here) };
}

/// Bytes of the first core's stack written since [`paint_stack`].
pub fn stack_used_bytes() -> u32 {
    // SAFETY: the linker script places both symbols, aligned, at the ends of one region of RAM.
    let used =
        unsafe { stack::high_water_bytes(&raw const _stack_end, &raw const _stack_start, stack::PAINT) };
    used as u32
}

/// Entered from the vector table on a fresh stack.
extern "C" fn explain_fault(stack_pointer: usize) -> ! {
    let (syndrome, address, pc): (usize, usize, usize);
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "mrs {syndrome}, esr_el1", "mrs {address}, far_el1", "mrs {pc}, elr_el1",
            syndrome = out(reg) syndrome, address = out(reg) address, pc = out(reg) pc,
            options(nomem, nostack, preserves_flags),
        );
    }
    // Bits 31 to 26: a data abort in the level where it is handled.
    const DATA_ABORT: usize = 0x25;
    if syndrome >> 26 == DATA_ABORT && start::GUARDED.contains(&address) {
        error!("stack overflow: address {=usize:#x}, stack pointer {=usize:#x}", address, stack_pointer);
        exit(Exit::StackOverflow)
    }
    error!("fault at {=usize:#x}: syndrome {=usize:#x}, address {=usize:#x}", pc, syndrome, address);
    exit(Exit::Fault)
}

/// Executes an instruction that is undefined on purpose, for drills.
pub fn undefined() {
    // SAFETY: none; the fault is what a drill is for.
    unsafe { asm!("udf #0") };
}

/// Instructions executed by all cores together since the counter was started, under an emulator that lets one nanosecond
/// pass for each and gives its cores 1 GHz; cycles of one core elsewhere.
/// (Arm Architecture Reference Manual, D13.4.)
#[derive(Clone, Copy, Debug)]
pub struct CycleCounter(());

impl CycleCounter {
    /// Starts the calling core's counter.
    pub fn start() -> Self {
        const ENABLE: u64 = 1;
        const SIXTY_FOUR_BITS: u64 = 1 << 6;
        const CYCLES: u64 = 1 << 31;
        // SAFETY: nothing else uses the counter.
        unsafe {
            asm!(
                "msr pmccfiltr_el0, xzr", "msr pmcntenset_el0, {cycles}", "msr pmcr_el0, {control}", "isb",
                cycles = in(reg) CYCLES, control = in(reg) ENABLE | SIXTY_FOUR_BITS,
                options(nostack, preserves_flags),
            );
        }
        Self(())
    }
}

impl Counter for CycleCounter {
    fn now(&mut self) -> u64 {
        let cycles;
        // SAFETY: reads a register; what comes before it in the program is done first.
        unsafe {
            asm!("isb", "mrs {cycles}, pmccntr_el0", cycles = out(reg) cycles, options(nostack, preserves_flags))
        };
        cycles
    }
}

/// The lock of critical sections, between cores; there are no interrupts to keep out.
struct Lock;

critical_section::set_impl!(Lock);

/// Nobody.
const FREE: u64 = 0;

/// Who is in a critical section: what a core calls itself, with a bit that makes it never [`FREE`].
static OWNER: AtomicU64 = AtomicU64::new(FREE);

// SAFETY: one core at a time gets past `acquire`. One that is in a section already enters another within it, and leaves the
// first one last.
unsafe impl critical_section::Impl for Lock {
    unsafe fn acquire() -> RawRestoreState {
        let name: u64;
        // SAFETY: reads a register.
        unsafe {
            asm!("mrs {name}, mpidr_el1", name = out(reg) name, options(nomem, nostack, preserves_flags))
        };
        let me = name | 1 << 63;
        // Nobody but this core writes its own number.
        if OWNER.load(Ordering::Relaxed) == me {
            return true;
        }
        while OWNER.compare_exchange_weak(FREE, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        false
    }

    unsafe fn release(was_inside: RawRestoreState) {
        if !was_inside {
            OWNER.store(FREE, Ordering::Release);
        }
    }
}
