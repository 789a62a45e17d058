//! The serial line of QEMU's RISC-V machine, a 16550, and the interrupt controller that lets it wake the core.
//!
//! Interrupts stay masked, and a pending one wakes the core all the same.
//! (National Semiconductor, PC16550D; The RISC-V Platform-Level Interrupt Controller Specification 1.0.)

use core::ops::ControlFlow;

use riscv::register::mie;

use crate::console::Serial;

/// The UART's registers, a byte each.
const UART: usize = 0x1000_0000;
/// What has come or is to go, or the lower half of the divider.
const DATA: usize = 0;
/// Interrupts, or the upper half of the divider.
const INTERRUPTS: usize = 1;
const QUEUES: usize = 2;
const FORMAT: usize = 3;
const STATE: usize = 5;

const RECEIVED: u8 = 1 << 0;
const TRANSMITTER_HAS_ROOM: u8 = 1 << 5;
const EIGHT_BITS: u8 = 0b11;
const DIVIDER_IS_SHOWN: u8 = 1 << 7;
/// 3.6864 MHz / 16 / 115,200 bits a second.
const DIVIDER: u8 = 2;
/// Queues of 16 bytes, empty at first.
const QUEUED: u8 = 0b111;

/// The interrupt controller's registers for the first core in machine mode, which lie far apart.
const PRIORITIES: usize = 0x0c00_0000;
const ENABLED: usize = 0x0c00_2000;
const THRESHOLD: usize = 0x0c20_0000;
const CLAIM: usize = 0x0c20_0004;
/// The UART's number there.
const UART_INTERRUPT: u32 = 10;

/// The line.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Switches it on, at 115,200 bits a second.
    pub fn start() -> Self {
        let uart = Self(());
        // SAFETY: the registers of the UART and of the interrupt controller, which nothing else uses. Interrupts are
        // masked since the start of the core, so that none is taken.
        unsafe {
            register(FORMAT).write_volatile(EIGHT_BITS | DIVIDER_IS_SHOWN);
            register(DATA).write_volatile(DIVIDER);
            register(INTERRUPTS).write_volatile(0);
            register(FORMAT).write_volatile(EIGHT_BITS);
            register(QUEUES).write_volatile(QUEUED);
            register(INTERRUPTS).write_volatile(RECEIVED);
            word(PRIORITIES + 4 * UART_INTERRUPT as usize).write_volatile(1);
            word(ENABLED).write_volatile(1 << UART_INTERRUPT);
            word(THRESHOLD).write_volatile(0);
            mie::set_mext();
        }
        uart
    }

    fn state(&self) -> u8 {
        // SAFETY: what reading clears, the record of errors on the line, nobody asks for.
        unsafe { register(STATE).read_volatile() }
    }
}

fn register(index: usize) -> *mut u8 {
    core::ptr::without_provenance_mut(UART + index)
}

fn word(address: usize) -> *mut u32 {
    core::ptr::without_provenance_mut(address)
}

impl Serial for Uart {
    fn read(&mut self) -> Option<u8> {
        // SAFETY: reading takes the byte that has come.
        (self.state() & RECEIVED != 0).then(|| unsafe { register(DATA).read_volatile() })
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while self.state() & TRANSMITTER_HAS_ROOM == 0 {}
            // SAFETY: the transmitter has room.
            unsafe { register(DATA).write_volatile(byte) };
        }
    }

    fn wait(&mut self) -> ControlFlow<()> {
        if self.state() & RECEIVED == 0 {
            // A byte that comes before the core sleeps leaves the interrupt pending, which wakes it at once.
            riscv::asm::wfi();
        }
        // SAFETY: as above; what is taken back is the interrupt and not the byte.
        unsafe {
            let interrupt = word(CLAIM).read_volatile();
            if interrupt != 0 {
                word(CLAIM).write_volatile(interrupt);
            }
        }
        ControlFlow::Continue(())
    }
}
