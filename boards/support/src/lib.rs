//! What every board's firmware shares, so that a board's own crate is its memory, its clock and its pins.
//!
//! From the outside in: [`app`] is the one application, which knows no hardware: it answers one request; [`console`]
//! holds the seams that a board fills in, and the wire of conversations; [`stack`] measures; [`protocol`] is what host
//! and board say to each other; [`slots`] is the model in flash of its own; [`memory`] is which boards there are and
//! whether a model fits them, for the host tools too. The rest is glue that a board asks for by feature: `ask` for
//! questions with tools, `console` for the application's other form, conversations over a wire (`serve`),
//! `build-script` for its build, `semihosting` for boards that an emulator runs, `cortex-m`, `riscv` and `aarch64` for
//! a family's faults and stack, `heap` for boards that find their RAM at boot, `stream` for models in flash that is not
//! mapped, `threads` for those with an operating system. `firmware!` links the model in.
#![no_std]
#![deny(unsafe_code)]

pub mod app;
#[cfg(feature = "ask")]
pub mod ask;
pub mod console;
pub mod memory;
#[cfg(feature = "ask")]
pub mod parts;
pub mod protocol;
#[cfg(feature = "console")]
pub mod serve;
pub mod slots;
#[cfg(feature = "stream")]
pub mod stream;
// Reads raw memory: the stack's paint is in no Rust object.
#[allow(unsafe_code)]
pub mod stack;

#[cfg(feature = "firmware")]
mod firmware;
#[cfg(feature = "firmware")]
pub use firmware::Firmware;

// Start-up code, registers and work shared between cores.
#[cfg(feature = "aarch64-start")]
#[allow(unsafe_code)]
pub mod aarch64;
#[cfg(feature = "build-script")]
pub mod build_script;
// Registers in memory.
#[cfg(feature = "cortex-m")]
#[allow(unsafe_code)]
pub mod cmsdk;
// Handlers that the hardware enters, and linker symbols.
#[cfg(feature = "cortex-m-faults")]
#[allow(unsafe_code)]
pub mod cortex_m;
// RAM of which the linker knows nothing.
#[cfg(feature = "device-tree")]
#[allow(unsafe_code)]
pub mod device_tree;
// Makes the faults that the compiler is there to prevent.
#[cfg(feature = "semihosting")]
#[allow(unsafe_code)]
pub mod drill;
// Registers in memory.
#[cfg(feature = "riscv")]
#[allow(unsafe_code)]
pub mod ns16550;
#[cfg(feature = "aarch64")]
#[allow(unsafe_code)]
pub mod pl011;
// The allocator's contract is unsafe. Not in build scripts, which have one.
#[cfg(all(feature = "heap", target_os = "none"))]
#[allow(unsafe_code)]
pub mod heap;
// Handlers and registers, as above.
#[cfg(feature = "riscv")]
#[allow(unsafe_code)]
pub mod riscv;
#[cfg(feature = "semihosting")]
pub mod semihosted;
// A job is lent to cores that know nothing of its lifetime.
#[cfg(feature = "team")]
#[allow(unsafe_code)]
pub mod team;
// A job is lent to threads that live longer than it does.
#[cfg(feature = "threads")]
#[allow(unsafe_code)]
pub mod threads;

// For the macro alone.
#[cfg(feature = "firmware")]
#[doc(hidden)]
pub use static_cell::ConstStaticCell;
