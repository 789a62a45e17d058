//! What real boards share beside the support of all boards, so that a board's own crate is its clocks and its pins.
//!
//! From the outside in: [`serve`] holds the conversations of all boards over a [`wire`], with a board's parts as tools and
//! a [`Clock`](clock::Clock) that feeds the watchdog. How a firmware ends, by a panic or a fault, is the same everywhere
//! and is linked with this crate. What a family of chips has of its own is asked for by feature: `cortex-m`, `esp` or
//! `raspberry-pi`.
#![no_std]
#![deny(unsafe_code)]

pub mod clock;
#[cfg(feature = "cortex-m")]
pub mod cortex_m;
// Registers, and the stack of somebody else's linker script.
#[cfg(feature = "esp")]
#[allow(unsafe_code)]
pub mod esp;
// Registers, and a message that another processor reads.
#[cfg(feature = "raspberry-pi")]
#[allow(unsafe_code)]
pub mod raspberry_pi;
// A symbol that the fault handlers call.
#[allow(unsafe_code)]
mod failure;
// Values in the chip's own memory.
#[cfg(feature = "stm32")]
#[allow(unsafe_code)]
pub mod stm32;
pub mod wire;

#[cfg(feature = "cortex-m")]
use self::cortex_m as chip;
#[cfg(feature = "esp")]
use self::esp as chip;
#[cfg(feature = "raspberry-pi")]
use self::raspberry_pi as chip;

use core::cell::RefCell;
#[cfg(feature = "heap")]
use core::mem::MaybeUninit;

use critical_section::Mutex;
use defmt::error;
// The logger's symbols; nothing of it is called by name.
use defmt_rtt as _;
use sprat_board_support::Firmware;
use sprat_board_support::console::Serial;
use sprat_board_support::protocol::Exit;
use sprat_board_support::serve::Peripherals;

use self::clock::{Clock, Shared};
use self::wire::Waiting;

/// Answers what comes over `serial` for ever, with `device` for the model's calls. A model that this firmware cannot run
/// is said in the log; the board then starts again, or stops for a debugger.
pub fn serve(
    firmware: Firmware,
    serial: impl Serial,
    device: impl Peripherals,
    clock: Clock<impl FnMut() + Send>,
) -> ! {
    converse(newest(firmware), serial, device, clock)
}

/// The same with arena and model in RAM outside of the chip.
#[cfg(feature = "heap")]
pub fn serve_in(
    ram: &'static mut [MaybeUninit<u8>],
    firmware: Firmware,
    serial: impl Serial,
    device: impl Peripherals,
    clock: Clock<impl FnMut() + Send>,
) -> ! {
    let firmware = newest(firmware).in_ram(ram).unwrap_or_else(|error| {
        error!("{}", error);
        failure::end(Exit::EngineFailed)
    });
    converse(firmware, serial, device, clock)
}

/// The firmware with the model that it is to run: the newest whole one of the slots, where it has slots.
fn newest(firmware: Firmware) -> Firmware {
    #[cfg(feature = "slots")]
    let firmware = firmware.with_newest().unwrap_or_else(|error| {
        error!("{}", error);
        failure::end(Exit::ModelRefused)
    });
    firmware
}

fn converse(
    firmware: Firmware,
    serial: impl Serial,
    device: impl Peripherals,
    clock: Clock<impl FnMut() + Send>,
) -> ! {
    let hz = u64::from(clock.hz());
    let clock = Mutex::new(RefCell::new(clock));
    let mut serial = Waiting { serial, clock: Shared(&clock) };
    let served = firmware.converse(hz, &RefCell::new(device), &mut serial, &mut Shared(&clock));
    failure::end(served.err().map_or(Exit::Success, |error| {
        error!("{}", error);
        error.exit()
    }))
}
