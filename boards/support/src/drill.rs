//! A firmware that fails on purpose, in the way that its argument names.
//!
//! Handlers that never run are never right: the tests boot this one and look at the exit code that the host gets. It
//! shares the handlers and the memory layout of a board's real firmware, not its application.

use core::hint::black_box;

use semihosting::experimental::env;

use crate::protocol::Exit;
use crate::semihosted::exit;

/// Fails as the emulator's argument says; `unmapped` is an address of neither memory nor a device, `undefined` executes
/// an instruction that there is not.
pub fn run(unmapped: usize, undefined: fn()) -> ! {
    let Ok(arguments) = env::args::<128>() else { exit(Exit::BadRequest) };
    match (&arguments).into_iter().nth(1) {
        Some(Ok("success")) => {}
        Some(Ok("panic")) => panic!("this is a drill"),
        // SAFETY: none; this is the fault that the drill is for.
        Some(Ok("fault")) => _ = black_box(unsafe { (unmapped as *const u32).read_volatile() }),
        Some(Ok("undefined")) => undefined(),
        Some(Ok("overflow")) => _ = black_box(overflow(black_box(1))),
        // For the runner's time limit.
        Some(Ok("hang")) => loop {
            black_box(0);
        },
        _ => exit(Exit::BadRequest),
    }
    exit(Exit::Success)
}

/// Outgrows any stack.
#[allow(unconditional_recursion)]
#[inline(never)]
fn overflow(depth: u32) -> u32 {
    let frame = [depth; 32];
    black_box(&frame);
    overflow(black_box(depth + 1)) + frame[black_box(0)]
}
