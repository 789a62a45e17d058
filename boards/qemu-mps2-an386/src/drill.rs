//! A firmware that fails on purpose, in the way that its argument names.
//!
//! Handlers that never run are never right: the tests boot this one and look at the exit code that the host
//! gets. It shares the handlers and the memory layout of the real firmware, not its application.
#![no_std]
#![no_main]
// Faults are made with the operations that the compiler is there to prevent.
#![allow(unsafe_code)]

use core::hint::black_box;

use semihosting::experimental::env;
use sprat_board_support::cortex_m::guard_stack;
use sprat_board_support::protocol::Exit;
use sprat_board_support::semihosted::exit;

/// Nothing is there on this board, neither memory nor a device.
const UNMAPPED: *const u32 = 0x6000_0000 as *const u32;

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let Ok(arguments) = env::args::<128>() else { exit(Exit::BadRequest) };
    match (&arguments).into_iter().nth(1) {
        Some(Ok("success")) => exit(Exit::Success),
        Some(Ok("panic")) => panic!("this is a drill"),
        Some(Ok("fault")) => {
            // SAFETY: none; this is the fault that the drill is for.
            black_box(unsafe { UNMAPPED.read_volatile() });
            exit(Exit::Success)
        }
        Some(Ok("undefined")) => {
            // SAFETY: none; the instruction is undefined on purpose.
            unsafe { core::arch::asm!("udf #0") };
            exit(Exit::Success)
        }
        Some(Ok("overflow")) => {
            black_box(overflow(black_box(1)));
            exit(Exit::Success)
        }
        // For the runner's time limit.
        Some(Ok("hang")) => loop {
            black_box(0);
        },
        _ => exit(Exit::BadRequest),
    }
}

/// Outgrows any stack.
#[allow(unconditional_recursion)]
#[inline(never)]
fn overflow(depth: u32) -> u32 {
    let frame = [depth; 32];
    black_box(&frame);
    overflow(black_box(depth + 1)) + frame[black_box(0)]
}
