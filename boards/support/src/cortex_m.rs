//! Faults and the stack of Cortex-M cores.
//!
//! The stack lies at the lower end of RAM and the memory protection unit forbids what is below, so outgrowing
//! the stack is a fault at the first word too many, before anything else is overwritten. By then there is no
//! stack left to handle anything on; the handler therefore starts over on an empty one. Nothing returns from a
//! fault, so nothing is lost by that, and a stack overflow is told apart from every other fault. On ARMv8-M the
//! stack pointer has a limit of its own, and the protection unit is not needed.

use core::arch::naked_asm;

// Names the crate that provides the critical section of single-core chips.
use cortex_m as _;
use cortex_m::peripheral::{MPU, SCB};
use defmt::error;

use crate::memory::Region;
use crate::protocol::Exit;
#[cfg(feature = "semihosting")]
use crate::semihosted::exit;
use crate::stack;

/// Ends a firmware that no emulator runs, in the way of the boards that are linked with it.
#[cfg(not(feature = "semihosting"))]
fn exit(exit: Exit) -> ! {
    unsafe extern "Rust" {
        fn sprat_board_exit(exit: Exit) -> !;
    }
    // SAFETY: the one function of this name, which the package that asks for `cortex-m-faults` defines.
    unsafe { sprat_board_exit(exit) }
}

unsafe extern "C" {
    /// Lowest address of the stack, from the linker script.
    static _stack_end: u32;
    /// First address above the stack, from the linker script.
    static _stack_start: u32;
}

/// Bytes of stack written since the start, from the paint that the start-up code laid.
pub fn stack_used_bytes() -> u32 {
    // SAFETY: the linker script places both symbols, aligned, at the ends of one region of RAM.
    let used = unsafe {
        stack::high_water_bytes(
            &raw const _stack_end,
            &raw const _stack_start,
            cortex_m_rt::STACK_PAINT_VALUE,
        )
    };
    used as u32
}

/// Bytes below the stack that fault when touched; more than any function's frame. A power of two.
const GUARD_BYTES: u32 = 64 * 1024;

/// Makes the memory just below the stack inaccessible on ARMv7-M cores; those of ARMv8-M have a register for the
/// stack's limit, which the start-up code sets. The start of RAM, where the stack ends, must be a
/// multiple of 64 KiB. To be called first in `main`.
/// (ARMv7-M Architecture Reference Manual, B3.5.)
pub fn guard_stack() {
    const REGION_VALID: u32 = 1 << 4;
    const NEVER_EXECUTE: u32 = 1 << 28;
    // The field holds the region's size as log2, less one. Access permission 0 is none at all.
    const SIZE: u32 = (GUARD_BYTES.trailing_zeros() - 1) << 1;
    const REGION_ENABLE: u32 = 1;
    const UNIT_ENABLE: u32 = 1;
    const DEFAULT_MAP_ELSEWHERE: u32 = 1 << 2;
    let guard = (&raw const _stack_end).addr() as u32 - GUARD_BYTES;
    // SAFETY: nothing else uses the unit, and no object lies in the memory that is closed.
    unsafe {
        let unit = &*MPU::PTR;
        unit.rbar.write(guard | REGION_VALID);
        // The register behind it, RASR, which builds for other cores know by another name.
        (&raw const unit.rbar)
            .cast::<u32>()
            .cast_mut()
            .add(1)
            .write_volatile(NEVER_EXECUTE | SIZE | REGION_ENABLE);
        unit.ctrl.write(UNIT_ENABLE | DEFAULT_MAP_ELSEWHERE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Lets the caches of an ARMv7-M core hold a stretch of memory outside of the chip, with the region of this number, 1 to 7, of
/// the protection unit, which [`guard_stack`] switches on; higher numbers win. The stretch is a power of two, at a multiple
/// of itself. Without it a core takes such memory for a device, or reads ahead beyond its end. (ARMv7-M Architecture
/// Reference Manual, B3.1 and B3.5; AN4838, "Managing memory protection unit in STM32 MCUs".)
pub fn map_outside(number: u8, memory: &Region, access: Outside) {
    const REGION_VALID: u32 = 1 << 4;
    const NEVER_EXECUTE: u32 = 1 << 28;
    /// Written back, and allocated by reads and writes.
    const CACHED: u32 = 0b001 << 19 | 1 << 17 | 1 << 16;
    const READ_ONLY: u32 = 0b111 << 24;
    const READ_AND_WRITE: u32 = 0b011 << 24;
    const REGION_ENABLE: u32 = 1;
    let permitted = match access {
        Outside::Closed => 0,
        Outside::ReadOnly => READ_ONLY | CACHED,
        Outside::Ram => READ_AND_WRITE | CACHED,
    };
    let size = (memory.bytes.trailing_zeros() - 1) << 1;
    // SAFETY: nothing else uses the unit, and no object lies in that memory yet.
    unsafe {
        let unit = &*MPU::PTR;
        unit.rbar.write(memory.origin as u32 | REGION_VALID | u32::from(number & 7));
        (&raw const unit.rbar)
            .cast::<u32>()
            .cast_mut()
            .add(1)
            .write_volatile(NEVER_EXECUTE | permitted | size | REGION_ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// What is outside of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Nothing that may be read.
    Closed,
    /// Flash.
    ReadOnly,
    /// RAM.
    Ram,
}

/// Entered from the vector table, possibly without a stack: takes a fresh one and goes on in Rust with the
/// old stack pointer, below which nothing was saved that is needed.
///
/// # Safety
/// For the hardware only.
#[unsafe(naked)]
#[unsafe(export_name = "HardFault")]
unsafe extern "C" fn hard_fault() -> ! {
    naked_asm!(
        "mrs r0, msp",
        "ldr r1, =_stack_start",
        "msr msp, r1",
        "ldr r2, ={handler}",
        "bx r2",
        ".pool",
        handler = sym explain_fault,
    )
}

/// Words of an exception frame before the program counter: r0 to r3, r12, lr.
const FRAME_PC_WORD: usize = 6;

extern "C" fn explain_fault(stack_pointer: *const u32) -> ! {
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    // SAFETY: reading two status registers has no effect on them.
    let (status, address) = unsafe { ((*SCB::PTR).cfsr.read(), (*SCB::PTR).bfar.read()) };
    // An ARMv8-M core stops the stack pointer at the limit and says so; in the others the bit is never set.
    // (ARMv8-M Architecture Reference Manual, CFSR.)
    const STACK_LIMIT_VIOLATED: u32 = 1 << 20;
    if status & STACK_LIMIT_VIOLATED != 0 {
        error!("stack overflow: {=usize} bytes were reserved", start.addr() - end.addr());
        exit(Exit::StackOverflow)
    }
    if stack_pointer < end {
        error!(
            "stack overflow: {=usize} bytes below its end, reserved are {=usize}",
            end.addr() - stack_pointer.addr(),
            start.addr() - end.addr(),
        );
        exit(Exit::StackOverflow)
    }
    let pc = if stack_pointer.wrapping_add(FRAME_PC_WORD) < start {
        // SAFETY: inside the stack, where the hardware just stored the frame.
        unsafe { stack_pointer.wrapping_add(FRAME_PC_WORD).read_volatile() }
    } else {
        0
    };
    error!("fault at {=u32:#010x}: status {=u32:#010x}, bus address {=u32:#010x}", pc, status, address);
    exit(Exit::Fault)
}

/// Executes an instruction that is undefined on purpose, for drills.
pub fn undefined() {
    // SAFETY: none; the fault is what a drill is for.
    unsafe { core::arch::asm!("udf #0") };
}
