//! The serial line: the PL011, polled. (PrimeCell UART (PL011) Technical Reference Manual.)
//!
//! Its queue holds 16 bytes, which is more than comes at 115,200 bits a second while a token is written.

use sprat_board_support::console::Serial;

use super::Generation;
use super::registers::{read, write};

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const IS_EMPTY: u32 = 1 << 4;
const IS_FULL: u32 = 1 << 5;
const WHOLE_DIVISOR: usize = 0x24;
const DIVISOR_64TH: usize = 0x28;
const LINE: usize = 0x2c;
const EIGHT_BITS_AND_QUEUES: u32 = 0b111 << 4;
const CONTROL: usize = 0x30;
const ON_BOTH_WAYS: u32 = 1 | 1 << 8 | 1 << 9;
const CLEAR_INTERRUPTS: usize = 0x44;
const ALL: u32 = 0x7ff;
/// The bits of what was received that say that it came damaged.
const DAMAGED: u32 = 0xf00;

/// Pins 8 and 10 of the header, and what connects them to this line.
const PINS: [usize; 2] = [14, 15];
const FIRST_FUNCTION: u32 = 0b100;

/// The serial line of a board.
#[derive(Debug)]
pub struct Uart {
    base: usize,
}

impl Uart {
    /// Opens it at 115,200 bits a second, from a clock of 48 MHz (`init_uart_clock` of `config.txt`). That of a 5 is left as
    /// the boot loader has opened it.
    pub fn new(generation: &Generation) -> Self {
        let base = generation.uart;
        if !generation.uart_is_open {
            PINS.into_iter().for_each(|pin| generation.select(pin, FIRST_FUNCTION));
            write(base + CONTROL, 0);
            write(base + CLEAR_INTERRUPTS, ALL);
            // 48,000,000 / (16 x 115,200) = 26 + 3/64.
            write(base + WHOLE_DIVISOR, 26);
            write(base + DIVISOR_64TH, 3);
            write(base + LINE, EIGHT_BITS_AND_QUEUES);
            write(base + CONTROL, ON_BOTH_WAYS);
        }
        Self { base }
    }
}

impl Serial for Uart {
    /// A damaged byte is passed over.
    fn read(&mut self) -> Option<u8> {
        if read(self.base + FLAGS) & IS_EMPTY != 0 {
            return None;
        }
        let received = read(self.base + DATA);
        (received & DAMAGED == 0).then_some(received as u8)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while read(self.base + FLAGS) & IS_FULL != 0 {
                core::hint::spin_loop();
            }
            write(self.base + DATA, u32::from(byte));
        }
    }
}
