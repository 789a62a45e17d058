//! The first serial line of a Raspberry Pi 3, an Arm PL011.
//!
//! Its interrupt leads to the first core, where it is masked as all are, and wakes the core all the same. The line's pins
//! and its clock are left as the boot loader set them.
//! (Arm, PrimeCell UART (PL011) Technical Reference Manual, chapter 3; Broadcom, BCM2835 ARM Peripherals, chapter 7.)

use core::arch::asm;
use core::ops::ControlFlow;

use crate::console::Serial;

/// The UART's registers.
const UART: usize = 0x3f20_1000;
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const DIVIDER: usize = 0x24;
const DIVIDER_FRACTION: usize = 0x28;
const FORMAT: usize = 0x2c;
const CONTROL: usize = 0x30;
const INTERRUPT_MASK: usize = 0x38;

const RECEIVER_EMPTY: u32 = 1 << 4;
const TRANSMITTER_FULL: u32 = 1 << 5;
/// 8 bits, queues of 16 bytes.
const EIGHT_BITS_QUEUED: u32 = 0b11 << 5 | 1 << 4;
/// The UART, its transmitter and its receiver.
const ENABLE: u32 = 1 << 0 | 1 << 8 | 1 << 9;
/// A byte has come: the queue is filled so far, or nothing more came for a while.
const RECEIVED: u32 = 1 << 4 | 1 << 6;
/// 48 MHz / 16 / 115,200 bits a second: 26 and 3 of 64 parts.
const TICKS_A_BIT: (u32, u32) = (26, 3);

/// The interrupt controller's register that enables the second 32 of the chip's interrupts.
const ENABLE_INTERRUPTS: usize = 0x3f00_b214;
/// The UART's is number 57.
const UART_INTERRUPT: u32 = 1 << (57 - 32);

/// The line.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Switches it on, at 115,200 bits a second. To be called on the first core.
    pub fn start() -> Self {
        let uart = Self(());
        // SAFETY: the registers of the UART and of the interrupt controller, which nothing else uses. Interrupts are
        // masked since the start of the core, so that none is taken.
        unsafe {
            register(UART + CONTROL).write_volatile(0);
            register(UART + DIVIDER).write_volatile(TICKS_A_BIT.0);
            register(UART + DIVIDER_FRACTION).write_volatile(TICKS_A_BIT.1);
            register(UART + FORMAT).write_volatile(EIGHT_BITS_QUEUED);
            register(UART + INTERRUPT_MASK).write_volatile(RECEIVED);
            register(UART + CONTROL).write_volatile(ENABLE);
            register(ENABLE_INTERRUPTS).write_volatile(UART_INTERRUPT);
        }
        uart
    }

    fn flags(&self) -> u32 {
        // SAFETY: reading the flags has no effect on them.
        unsafe { register(UART + FLAGS).read_volatile() }
    }
}

fn register(address: usize) -> *mut u32 {
    core::ptr::without_provenance_mut(address)
}

impl Serial for Uart {
    fn read(&mut self) -> Option<u8> {
        // SAFETY: reading takes the byte that has come, and the interrupt back with the last of them.
        (self.flags() & RECEIVER_EMPTY == 0).then(|| unsafe { register(UART + DATA).read_volatile() } as u8)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while self.flags() & TRANSMITTER_FULL != 0 {}
            // SAFETY: the transmitter has room.
            unsafe { register(UART + DATA).write_volatile(byte.into()) };
        }
    }

    fn wait(&mut self) -> ControlFlow<()> {
        if self.flags() & RECEIVER_EMPTY != 0 {
            // SAFETY: a hint. A byte that comes before the core sleeps keeps it awake, since its interrupt stays until it
            // is read.
            unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
        }
        ControlFlow::Continue(())
    }
}
