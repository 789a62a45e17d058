//! The kernels' battery, and work to be counted, on Linux: under user-mode emulation or on the machine itself.
//!
//! Without a name it runs the battery on every table that the machine has. With a table's name it runs each
//! workload once, prints `count NAME UNITS WORKLOAD`, and calls [`mark`] right before and right after the kernel.
//! An emulator that logs every instruction then shows what lies between, exactly and always the same:
//!
//! ```text
//! $ cargo build --release -p sprat-on-target-linux --target aarch64-unknown-linux-musl
//! $ program=target/aarch64-unknown-linux-musl/release/sprat-on-target-linux
//! $ qemu-aarch64 -cpu cortex-a76 $program
//! $ qemu-aarch64 -cpu cortex-a76 -singlestep -d nochain,exec -D /dev/stderr $program dotprod 2>&1 >work.txt |
//!     awk '!/^Trace/ { next } /4mark/ { mark = 1; next } mark { mark = 0; on = !on; if (!on) print n; n = 0 }
//!          on { n++ }' >counts.txt
//! $ paste counts.txt work.txt | awk '{ printf "%.4f  %s\n", $1 / $4, $0 }'
//! ```
//!
//! What is counted includes the few instructions that call the kernel.

use std::env;
use std::process::ExitCode;

use sprat::format::Layout;
use sprat::{BATTERY_BYTES, Kernels, Workload, battery};

/// Bytes that the largest workload needs, which is more than the battery does.
const WORK_BYTES: usize = 256 * 1024;
const _: () = assert!(WORK_BYTES >= BATTERY_BYTES);

/// Where counting begins and ends; a trace shows the name.
#[inline(never)]
fn mark() {
    // Something that a compiler cannot see through, or it would not call an empty function.
    std::hint::black_box(());
}

fn main() -> ExitCode {
    let mut space = vec![0u128; WORK_BYTES / 16];
    let work = bytemuck::cast_slice_mut(&mut space);
    let Some(name) = env::args().nth(1) else { return all_batteries(work) };
    let Some(kernels) = Kernels::by_name(&name) else {
        let names: Vec<_> = Kernels::available().map(Kernels::name).collect();
        eprintln!("no kernels {name:?} here, there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    for workload in &Workload::tracked(Layout::Interleaved) {
        workload.run(kernels, work, &mut || {
            mark();
            0
        });
        println!("count {} {} {workload:?}", workload.name(), workload.units());
    }
    ExitCode::SUCCESS
}

fn all_batteries(work: &mut [u8]) -> ExitCode {
    println!("kernels {}", Kernels::detect().name());
    for kernels in Kernels::available() {
        match battery(kernels, work) {
            Ok(cases) => println!("battery {} {cases} cases equal", kernels.name()),
            Err(mismatch) => {
                println!("battery {} failed: {mismatch:?}", kernels.name());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
