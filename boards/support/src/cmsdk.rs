//! Instructions executed, from the first CMSDK timer of Arm's MPS2 boards, and the first serial line of MPS2 and MPS3.
//!
//! With `-icount shift=0` QEMU lets one nanosecond pass for each instruction; the timer counts the board's clock, so one
//! tick is 40 instructions at 25 MHz. SysTick would wrap after 671 million instructions, less than one prompt may take;
//! this timer wraps after 171 billion and needs no interrupt.
//! (Arm, Cortex-M System Design Kit, chapters 4.1 and 4.3; Application Note AN386, tables 4-1
//! and 4-3; AN505, tables 6-1 and 6-2; AN547, the same tables.)

use core::ops::ControlFlow;

use cortex_m::peripheral::NVIC;

use crate::console::{Counter, Serial};

/// Where the timer's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Timer {
    /// On boards without a security extension.
    Plain = 0x4000_0000,
    /// As the secure state sees them.
    Secure = 0x5000_0000,
}

impl Timer {
    fn register(self, index: usize) -> *mut u32 {
        core::ptr::without_provenance_mut(self as usize + 4 * index)
    }
}

const CONTROL: usize = 0;
const VALUE: usize = 1;
const RELOAD: usize = 2;
const ENABLE: u32 = 1;

/// A running timer, which adds up the ticks between reads.
#[derive(Debug)]
pub struct InstructionTimer {
    timer: Timer,
    instructions_per_tick: u64,
    last: u32,
    ticks: u64,
}

impl InstructionTimer {
    /// Starts a timer of a board's clock from its largest value; it counts down. Clocks divide a billion.
    pub fn start(timer: Timer, clock_hz: u32) -> Self {
        // SAFETY: the addresses of the timer's registers, which nothing else uses; a board without it faults.
        unsafe {
            timer.register(RELOAD).write_volatile(u32::MAX);
            timer.register(VALUE).write_volatile(u32::MAX);
            timer.register(CONTROL).write_volatile(ENABLE);
        }
        Self { timer, instructions_per_tick: u64::from(1_000_000_000 / clock_hz), last: u32::MAX, ticks: 0 }
    }
}

impl Counter for InstructionTimer {
    fn now(&mut self) -> u64 {
        // SAFETY: reading the counter has no effect on it.
        let value = unsafe { self.timer.register(VALUE).read_volatile() };
        self.ticks += u64::from(self.last.wrapping_sub(value));
        self.last = value;
        self.ticks * self.instructions_per_tick
    }
}

/// Where a UART's registers are, and the interrupt of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    address: usize,
    interrupt: usize,
}

impl Line {
    /// The first one of boards without a security extension.
    pub const PLAIN: Self = Self { address: 0x4000_4000, interrupt: 0 };
    /// The first one of an MPS2 board with application note 505, as the secure state sees it.
    pub const AN505: Self = Self { address: 0x5020_0000, interrupt: 32 };
    /// The first one of an MPS3 board with application note 547, as the secure state sees it.
    pub const AN547: Self = Self { address: 0x5930_3000, interrupt: 33 };
}

const UART_DATA: usize = 0;
const UART_STATE: usize = 1;
const UART_CONTROL: usize = 2;
const UART_INTERRUPTS: usize = 3;
const UART_DIVIDER: usize = 4;

const TRANSMITTER_FULL: u32 = 1 << 0;
const RECEIVER_FULL: u32 = 1 << 1;
const RECEIVED: u32 = 1 << 1;
/// Transmitter, receiver, and the receiver's interrupt.
const UART_ENABLE: u32 = 1 << 0 | 1 << 1 | 1 << 3;
const BITS_PER_SECOND: u32 = 115_200;

/// A UART, without interrupt handlers: the core sleeps until a byte has come.
#[derive(Debug)]
pub struct Uart(Line);

impl Uart {
    /// Switches it on, at 115,200 bits a second of the board's clock. Interrupts are masked from now on, and only wake the
    /// core.
    pub fn start(line: Line, clock_hz: u32) -> Self {
        let uart = Self(line);
        let (word, bit) = uart.interrupt();
        cortex_m::interrupt::disable();
        // SAFETY: the registers of the UART and of the interrupt controller, which nothing else uses. Interrupts are
        // masked, so that none is taken.
        unsafe {
            uart.register(UART_DIVIDER).write_volatile(clock_hz / BITS_PER_SECOND);
            uart.register(UART_CONTROL).write_volatile(UART_ENABLE);
            (*NVIC::PTR).iser[word].write(bit);
        }
        uart
    }

    fn register(&self, index: usize) -> *mut u32 {
        core::ptr::without_provenance_mut(self.0.address + 4 * index)
    }

    /// Word and bit of the receiver's interrupt in the controller's registers.
    fn interrupt(&self) -> (usize, u32) {
        (self.0.interrupt / 32, 1 << (self.0.interrupt % 32))
    }

    fn state(&self) -> u32 {
        // SAFETY: reading the state has no effect on it.
        unsafe { self.register(UART_STATE).read_volatile() }
    }
}

impl Serial for Uart {
    fn read(&mut self) -> Option<u8> {
        // SAFETY: reading takes the byte that has come.
        (self.state() & RECEIVER_FULL != 0).then(|| unsafe { self.register(UART_DATA).read_volatile() } as u8)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while self.state() & TRANSMITTER_FULL != 0 {}
            // SAFETY: the transmitter has room.
            unsafe { self.register(UART_DATA).write_volatile(byte.into()) };
        }
    }

    fn wait(&mut self) -> ControlFlow<()> {
        if self.state() & RECEIVER_FULL == 0 {
            // A byte that comes before the core sleeps leaves the interrupt pending, which wakes it at once.
            cortex_m::asm::wfi();
        }
        let (word, bit) = self.interrupt();
        // SAFETY: as above; what is taken back is the interrupt and not the byte.
        unsafe {
            self.register(UART_INTERRUPTS).write_volatile(RECEIVED);
            (*NVIC::PTR).icpr[word].write(bit);
        }
        ControlFlow::Continue(())
    }
}
