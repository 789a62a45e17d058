//! The serial line over USB that Espressif's chips have beside their debug unit.

use esp_hal::Blocking;
use esp_hal::time::{Duration, Instant};
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use sprat_board_support::console::Serial;

/// How long a byte waits for somebody who listens. A terminal polls every millisecond.
const PATIENCE: Duration = Duration::from_millis(100);

/// The serial line. What nobody listens to is lost, as on a line without a terminal.
pub struct Usb<'d> {
    port: UsbSerialJtag<'d, Blocking>,
    is_heard: bool,
}

impl<'d> Usb<'d> {
    /// A line around the driver.
    pub fn new(port: UsbSerialJtag<'d, Blocking>) -> Self {
        Self { port, is_heard: true }
    }

    /// Whether there was room for the byte.
    fn put(&mut self, byte: u8) -> bool {
        let begun = Instant::now();
        while self.port.write_byte_nb(byte).is_err() {
            if !self.is_heard || begun.elapsed() > PATIENCE {
                self.is_heard = false;
                return false;
            }
        }
        self.is_heard = true;
        true
    }
}

impl Serial for Usb<'_> {
    fn read(&mut self) -> Option<u8> {
        self.port.read_byte().ok()
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.iter().all(|&byte| self.put(byte)) {
            // Sends what does not fill a packet; the next byte waits until it is gone.
            _ = self.port.flush_tx_nb();
        }
    }
}
