//! The test program of cores that run Linux: the kernels' battery, work to be counted, whole models.
//!
//! | arguments | does |
//! | --- | --- |
//! | `battery` | compares every table that the machine has |
//! | `count` | runs each workload once with the best table |
//! | `model FILE CONTEXT CORES` | answers with a model; the file holds the request and the packed model |
//!
//! Instructions are counted from outside: [`mark`] is called right before and right after what is to be counted,
//! and an emulator that logs what it executes shows what lies between.

use std::fmt::{self, Write};
use std::process::ExitCode;
use std::{env, fs, thread};

use sprat::{BATTERY_BYTES, Kernels, Team};
use sprat_board_support::console::Counter;

#[path = "../../on-target/src/job.rs"]
mod job;

/// Bytes of work space of the kernels, which the largest workload needs.
const WORK_BYTES: usize = 256 * 1024;
const _: () = assert!(WORK_BYTES >= BATTERY_BYTES);

/// Bytes of the arena, enough for the models of the tests.
const ARENA_BYTES: usize = 16 << 20;

/// Where counting begins and ends; a log of the execution shows the name.
#[inline(never)]
fn mark() {
    // Something that a compiler cannot see through, or it would not call an empty function.
    std::hint::black_box(());
}

struct Marks;

impl Counter for Marks {
    fn now(&mut self) -> u64 {
        mark();
        0
    }
}

/// Standard output.
struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print!("{text}");
        Ok(())
    }
}

/// A thread for each member and job: slow, but it needs nothing.
struct Threads(usize);

// SAFETY: the scope ends when every thread has ended, and each number is spawned once.
unsafe impl Team for Threads {
    fn size(&self) -> usize {
        self.0
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        thread::scope(|scope| {
            (1..self.0).for_each(|member| {
                scope.spawn(move || job(member));
            });
            job(0);
        });
    }
}

/// Bytes that begin at a multiple of 16.
fn aligned(bytes: usize) -> Vec<u128> {
    vec![0; bytes.div_ceil(16)]
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let kernels = Kernels::detect();
    println!("kernels {}", kernels.name());
    let mut work = aligned(WORK_BYTES);
    let work = bytemuck::cast_slice_mut(&mut work);
    let done = match arguments[..] {
        ["battery"] => Kernels::available().try_for_each(|kernels| job::compare(kernels, work, &mut Output)),
        ["count"] => job::count(kernels, work, 1, &mut Marks, 1, &mut Output),
        ["model", file, context, cores] => model(file, context, cores),
        _ => {
            eprintln!("expected arguments: battery | count | model FILE CONTEXT CORES");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("failed: {failure:?}");
            ExitCode::FAILURE
        }
    }
}

fn model(file: &str, context: &str, cores: &str) -> Result<(), job::Failure> {
    let bytes = fs::read(file).map_err(|_| job::Failure::Request)?;
    let (Ok(context), Ok(cores)) = (context.parse(), cores.parse()) else {
        return Err(job::Failure::Request);
    };
    let mut input = aligned(bytes.len());
    let input: &mut [u8] = bytemuck::cast_slice_mut(&mut input);
    input[..bytes.len()].copy_from_slice(&bytes);
    let mut arena = aligned(ARENA_BYTES);
    let arena = bytemuck::cast_slice_mut(&mut arena);
    job::answer(input, context, arena, &Threads(cores), &mut Marks, 1, &mut Output)
}
