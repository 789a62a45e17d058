//! What real boards share beside the support of all boards, so that a board's own crate is its clocks and its pins.
//!
//! From the outside in: [`talk`] asks the model what a person types, around a [`wire`], a board's parts as tools, and a
//! [`Clock`](clock::Clock) that feeds the watchdog. How a firmware ends, by a panic or a fault, is the same everywhere and
//! is linked with this crate. What a family of chips has of its own is asked for by feature: `cortex-m`, `esp` or
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
pub mod talk;
pub mod wire;

#[cfg(feature = "cortex-m")]
use self::cortex_m as chip;
#[cfg(feature = "esp")]
use self::esp as chip;
#[cfg(feature = "raspberry-pi")]
use self::raspberry_pi as chip;

pub use talk::serve;

// The logger's symbols; nothing of it is called by name.
use defmt_rtt as _;
