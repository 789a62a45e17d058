//! The firmware of the emulated MPS2 AN386: its memory and its clock, around the application of all boards.
//!
//! The model lies in its own flash section and is used there; the arena is one static whose size the build
//! script took from the model's plan.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::memory::QEMU_MPS2_AN386;
use sprat_board_support::semihosted::Firmware;
use static_cell::ConstStaticCell;

mod timer;

/// What the build script took from the packed model.
mod plan {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// The packed file promises its sections an alignment, relative to its own start.
#[repr(C, align(64))]
struct Model([u8; plan::MODEL_BYTES]);

// A section of its own, so that the linker places the model in the flash that the board sets aside for it.
#[allow(unsafe_code)]
#[unsafe(link_section = ".model")]
static MODEL: Model = Model(*plan::MODEL_FILE);

/// The widest load of any kernel, and what the runtime asks for.
#[repr(C, align(16))]
struct Arena([u8; plan::ARENA_BYTES]);

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena([0; plan::ARENA_BYTES]));
static REQUEST: ConstStaticCell<[u8; plan::REQUEST_BYTES]> = ConstStaticCell::new([0; plan::REQUEST_BYTES]);

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let firmware = Firmware {
        board: QEMU_MPS2_AN386.name,
        target: env!("SPRAT_TARGET"),
        model: &MODEL.0,
        context_tokens: plan::CONTEXT_TOKENS,
        arena: &mut ARENA.take().0,
        request: REQUEST.take(),
        stack_reserved_bytes: plan::STACK_BYTES,
        stack_used_bytes,
    };
    firmware.run(&mut timer::InstructionTimer::start())
}
