//! The firmware of the ESP32-C3-DevKit-RUST-1: its clock, its pins and its watchdog, around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use esp_hal::Config;
use esp_hal::clock::CpuClock;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::time::Duration;
use esp_hal::timer::timg::{MwdtStage, TimerGroup};
use esp_hal::tsens::TemperatureSensor;
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use sprat::Solo;
use sprat_board_glue::esp::{Usb, clock, paint_stack, stack_used_bytes};
use sprat_board_glue::serve;
use sprat_board_support::firmware;
use sprat_board_support::memory::ESP32_C3;
use sprat_board_support::parts::Parts;

/// The core at its full speed.
const CORE_HZ: u32 = 160_000_000;
/// Reading a prompt that fills the context takes half of it, as `sprat plan` predicts it.
const WATCHDOG: Duration = Duration::from_secs(72);

/// What the boot loader looks for at the beginning of the image.
#[allow(unsafe_code)]
mod description {
    esp_bootloader_esp_idf::esp_app_desc!();
}

#[esp_hal::main]
fn main() -> ! {
    paint_stack();
    // The boot loader has set up the flash and the cache in front of it.
    let chip = esp_hal::init(Config::default().with_cpu_clock(CpuClock::_160MHz));

    let serial = Usb::new(UsbSerialJtag::new(chip.USB_DEVICE));
    let mut led = Output::new(chip.GPIO7, Level::Low, OutputConfig::default());
    let sensor = TemperatureSensor::new(chip.TSENS, Default::default()).ok();
    let parts = Parts {
        light: |on: bool| led.set_level(Level::from(on)),
        thermometer: || sensor.as_ref().map(|sensor| (sensor.get_temperature().to_celsius() * 100.0) as i32),
    };

    let mut dog = TimerGroup::new(chip.TIMG0).wdt;
    dog.set_timeout(MwdtStage::Stage0, WATCHDOG);
    dog.enable();
    let clock = clock(CORE_HZ, move || dog.feed());
    serve(firmware!(ESP32_C3, &Solo, stack_used_bytes), serial, parts, clock)
}
