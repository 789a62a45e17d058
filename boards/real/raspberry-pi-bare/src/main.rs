//! The firmware of a Raspberry Pi without an operating system: its four cores, its serial line, its light and its
//! thermometer, around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use defmt::info;
use sprat_board_glue::raspberry_pi::uart::Uart;
use sprat_board_glue::raspberry_pi::{Generation, clock};
use sprat_board_glue::serve;
use sprat_board_support::aarch64::{paint_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::RASPBERRY_PI_BARE;
use sprat_board_support::parts::Parts;
use sprat_board_support::team::Cores;

/// Of a firmware of the GPU that does not say it: what a Raspberry Pi idles at. Only the shown tokens/s depend on it.
const UNKNOWN_HZ: u32 = 600_000_000;

sprat_board_support::aarch64_entry!(main);

fn main() -> ! {
    paint_stack();
    let generation = Generation::detect();
    let uart = Uart::new(&generation);
    let hz = generation.core_hz().unwrap_or(UNKNOWN_HZ);
    info!("{=str}, cores at {=u32} Hz", generation.name, hz);
    let parts = Parts { light: |on| generation.shine(on), thermometer: || generation.temperature() };
    let feed = || {
        if cfg!(feature = "watchdog") {
            generation.feed();
        }
    };
    let firmware = firmware!(RASPBERRY_PI_BARE, &Cores::<4>, stack_used_bytes);
    serve(firmware, uart, parts, clock(hz, feed))
}
