//! Traps, stack and counter of RISC-V cores in machine mode.
//!
//! The stack lies at the lower end of RAM and physical memory protection forbids what is below, so outgrowing the stack
//! is a trap at the first word too many, before anything else is overwritten. By then there is no stack left to handle
//! anything on; the handler therefore starts over on an empty one. Nothing returns from a trap, since no interrupt is
//! enabled and every trap is a fault.

use core::arch::{asm, naked_asm};

use defmt::error;
use riscv::register::{mcause, mepc, minstret, mtval, mtvec};

use crate::console::Counter;
use crate::protocol::Exit;
use crate::semihosted::exit;
use crate::stack;

unsafe extern "C" {
    /// Lowest address of the stack, from the linker script.
    static _stack_end: u32;
    /// First address above the stack, from the linker script.
    static _stack_start: u32;
}

/// Bytes of stack written since [`guard_stack`], from the paint that it laid.
pub fn stack_used_bytes() -> u32 {
    // SAFETY: the linker script places both symbols, aligned, at the ends of one region of RAM.
    let used =
        unsafe { stack::high_water_bytes(&raw const _stack_end, &raw const _stack_start, stack::PAINT) };
    used as u32
}

/// Bytes below the stack that fault when touched; more than any function's frame. A power of two.
const GUARD_BYTES: usize = 64 * 1024;

/// Makes the memory just below the stack inaccessible, takes every trap for a fault, and paints the stack. The start of
/// RAM, where the stack ends, must be a multiple of 64 KiB. To be called first in `main`.
/// (The RISC-V Instruction Set Manual, volume II, 3.7.)
pub fn guard_stack() {
    // A naturally aligned power of two, locked, which makes it hold in machine mode too; no access is permitted.
    const LOCKED: usize = 1 << 7;
    const ALIGNED: usize = 3 << 3;
    let guard = (&raw const _stack_end).addr() - GUARD_BYTES;
    let region = (guard >> 2) | (GUARD_BYTES / 8 - 1);
    // SAFETY: nothing else uses the unit, no object lies in the memory that is closed, and the handler is aligned.
    unsafe {
        asm!("csrw pmpaddr0, {region}", "csrw pmpcfg0, {mode}", region = in(reg) region, mode = in(reg) LOCKED | ALIGNED);
        let handler = trap as unsafe extern "C" fn() -> ! as usize;
        mtvec::write(mtvec::Mtvec::new(handler, mtvec::TrapMode::Direct));
    }
    let here: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mv {here}, sp", here = out(reg) here, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the linker script places the stack's end, aligned, below the frames that are in use.
    unsafe { stack::paint(&raw const _stack_end, here) };
}

/// Entered by the hardware, possibly without a stack: takes a fresh one and goes on in Rust with the old stack pointer.
///
/// # Safety
/// For the hardware only.
#[unsafe(naked)]
#[unsafe(link_section = ".trap")]
unsafe extern "C" fn trap() -> ! {
    naked_asm!(
        ".balign 4",
        "mv a0, sp",
        "la sp, _stack_start",
        "j {handler}",
        handler = sym explain_trap,
    )
}

extern "C" fn explain_trap(stack_pointer: *const u32) -> ! {
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    if stack_pointer < end {
        error!(
            "stack overflow: {=usize} bytes below its end, reserved are {=usize}",
            end.addr() - stack_pointer.addr(),
            start.addr() - end.addr(),
        );
        exit(Exit::StackOverflow)
    }
    let (pc, cause, value) = (mepc::read(), mcause::read().bits(), mtval::read());
    error!("fault at {=usize:#010x}: cause {=usize}, bus address {=usize:#010x}", pc, cause, value);
    exit(Exit::Fault)
}

/// Executes an instruction that is undefined on purpose, for drills.
pub fn undefined() {
    // SAFETY: none; the fault is what a drill is for.
    unsafe { asm!("unimp") };
}

/// Instructions executed, as the core counts them. (The RISC-V Instruction Set Manual, volume II, 3.1.10.)
#[derive(Clone, Copy, Debug, Default)]
pub struct InstructionCounter;

impl Counter for InstructionCounter {
    fn now(&mut self) -> u64 {
        minstret::read64()
    }
}
