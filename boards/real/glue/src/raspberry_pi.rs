//! What Raspberry Pis have of their own: where their devices are, the counter of cycles, the watchdog, the light.
//!
//! One image serves a 3, a 4 and a 5: the core says which of them it is. Nothing is read ahead or merged in the memory of
//! devices, and none of them interrupts. (BCM2835 and BCM2711 ARM Peripherals; the device tree of BCM2712.)

use core::arch::asm;

use sprat_board_support::aarch64::CycleCounter;

use crate::clock::Clock;

pub mod mailbox;
mod registers;
pub mod uart;

use registers::{read, write};

/// A generation of Raspberry Pis, by the addresses of its devices.
#[derive(Clone, Copy, Debug)]
pub struct Generation {
    /// Its name.
    pub name: &'static str,
    uart: usize,
    /// Whether the boot loader has opened the serial line, whose clock and pins are then its own.
    uart_is_open: bool,
    mailbox: usize,
    power: usize,
    gpio: usize,
    light: Light,
    /// What the GPU adds to an address of RAM.
    bus: u32,
}

/// Which pin the board's light hangs on.
#[derive(Clone, Copy, Debug)]
enum Light {
    /// A pin of an expander that the GPU's firmware drives.
    Expander(u32),
    /// A pin of the chip.
    Pin(usize),
    /// A pin of the part of a 5 that is always on; it shines when the pin is low.
    AlwaysOn(usize),
}

const PI_3: Generation = Generation {
    name: "Raspberry Pi 3",
    uart: 0x3f20_1000,
    uart_is_open: false,
    mailbox: 0x3f00_b880,
    power: 0x3f10_0000,
    gpio: 0x3f20_0000,
    light: Light::Expander(130),
    bus: 0xc000_0000,
};

const PI_4: Generation = Generation {
    name: "Raspberry Pi 4",
    uart: 0xfe20_1000,
    uart_is_open: false,
    mailbox: 0xfe00_b880,
    power: 0xfe10_0000,
    gpio: 0xfe20_0000,
    light: Light::Pin(42),
    bus: 0xc000_0000,
};

const PI_5: Generation = Generation {
    name: "Raspberry Pi 5",
    // The one of the connector between the two for displays.
    uart: 0x10_7d00_1000,
    uart_is_open: true,
    mailbox: 0x10_7c01_3880,
    power: 0x10_7d20_0000,
    // The part that is always on.
    gpio: 0x10_7d51_7c00,
    light: Light::AlwaysOn(9),
    bus: 0,
};

impl Generation {
    /// The one that this is. Of what is none of them nothing is known, so that it is taken for the oldest.
    pub fn detect() -> Self {
        const CORTEX_A72: u64 = 0xd08;
        const CORTEX_A76: u64 = 0xd0b;
        let core: u64;
        // SAFETY: reads a register.
        unsafe {
            asm!("mrs {core}, midr_el1", core = out(reg) core, options(nomem, nostack, preserves_flags))
        };
        match core >> 4 & 0xfff {
            CORTEX_A72 => PI_4,
            CORTEX_A76 => PI_5,
            _ => PI_3,
        }
    }

    /// Switches the board's light.
    pub fn shine(&self, on: bool) {
        match self.light {
            // A firmware that does not know the pin leaves it dark.
            Light::Expander(pin) => _ = mailbox::call(self, mailbox::SET_PIN, [pin, u32::from(on)]),
            Light::Pin(pin) => {
                let (bank, bit) = (pin / 32 * 4, 1 << (pin % 32));
                self.select(pin, OUTPUT);
                const SET: usize = 0x1c;
                const CLEAR: usize = 0x28;
                write(self.gpio + bank + if on { SET } else { CLEAR }, bit);
            }
            Light::AlwaysOn(pin) => {
                const LEVEL: usize = 4;
                const IS_INPUT: usize = 8;
                let change = |register: usize, is_set: bool| {
                    let others = read(self.gpio + register) & !(1 << pin);
                    write(self.gpio + register, others | u32::from(is_set) << pin);
                };
                change(LEVEL, !on);
                change(IS_INPUT, false);
            }
        }
    }

    /// Chooses what a pin does.
    fn select(&self, pin: usize, function: u32) {
        let (register, shift) = (self.gpio + pin / 10 * 4, pin % 10 * 3);
        write(register, read(register) & !(0b111 << shift) | function << shift);
    }

    /// Hundredths of a degree Celsius; the GPU's firmware has thousandths.
    pub fn temperature(&self) -> Option<i32> {
        let [_, thousandths] = mailbox::call(self, mailbox::TEMPERATURE, [0, 0])?;
        i32::try_from(thousandths).ok().map(|thousandths| thousandths / 10)
    }

    /// Cycles of a core in a second.
    pub fn core_hz(&self) -> Option<u32> {
        const CORES: u32 = 3;
        let [_, hz] = mailbox::call(self, mailbox::CLOCK, [CORES, 0])?;
        (hz > 0).then_some(hz)
    }

    /// Lets the watchdog reset the chip in 16 seconds, unless this is called again.
    pub fn feed(&self) {
        self.reset_after(MOST_TICKS);
    }

    fn reset_after(&self, ticks: u32) {
        write(self.power + WATCHDOG, PASSWORD | ticks);
        let others = read(self.power + RESET) & !RESET_MASK;
        write(self.power + RESET, PASSWORD | others | FULL_RESET);
    }
}

/// A pin that is an output.
const OUTPUT: u32 = 0b001;

/// Registers of the power manager, which take what begins with a password.
const RESET: usize = 0x1c;
const WATCHDOG: usize = 0x24;
const PASSWORD: u32 = 0x5a00_0000;
/// Of the register of resets: what may be kept, and a reset of all.
const RESET_MASK: u32 = 0xff00_0030;
const FULL_RESET: u32 = 0x20;
/// 65,536 ticks are a second, and the watchdog counts 20 bits of them.
const MOST_TICKS: u32 = 0xf_ffff;

/// Starts the counter of the calling core, which runs at `hz`; `feed` is called whenever it is read.
pub fn clock<F: FnMut()>(hz: u32, feed: F) -> Clock<F> {
    _ = CycleCounter::start();
    Clock::new(cycles, hz, feed)
}

fn cycles() -> u32 {
    let cycles: u64;
    // SAFETY: reads a register; what comes before it in the program is done first.
    unsafe {
        asm!("isb", "mrs {cycles}, pmccntr_el0", cycles = out(reg) cycles, options(nostack, preserves_flags))
    };
    cycles as u32
}

/// Resets the chip.
pub(crate) fn restart() -> ! {
    Generation::detect().reset_after(1);
    loop {
        // SAFETY: a hint.
        unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) };
    }
}
