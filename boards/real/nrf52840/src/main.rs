//! The firmware of the nRF52840-DK: its clocks, its pins and its watchdog, around the application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use embassy_futures::block_on;
use embassy_nrf::buffered_uarte::{self, BufferedUarte};
use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::temp::{self, Temp};
use embassy_nrf::wdt::{self, Watchdog};
use embassy_nrf::{bind_interrupts, pac, peripherals, uarte};
use sprat::Solo;
use sprat_board_glue::clock::WATCHDOG_SECONDS;
use sprat_board_glue::cortex_m::clock;
use sprat_board_glue::serve;
use sprat_board_glue::wire::Ring;
use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::NRF52840;
use sprat_board_support::parts::Parts;
use static_cell::ConstStaticCell;

/// The core's only clock; there is no faster one.
const CORE_HZ: u32 = 64_000_000;
/// The watchdog's.
const LOW_FREQUENCY_HZ: u32 = 32_768;

bind_interrupts!(struct Interrupts {
    UARTE0 => buffered_uarte::InterruptHandler<peripherals::UARTE0>;
    TEMP => temp::InterruptHandler;
});

static RECEIVED: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);
static TO_SEND: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let mut config = Config::default();
    // Serial lines and cycles want the crystal's accuracy.
    config.hfclk_source = HfclkSource::ExternalXtal;
    let chip = embassy_nrf::init(config);
    // Code out of the flash is cached; the model, which is data, is not. (nRF52840 Product Specification, 4.3.)
    pac::NVMC.icachecnf().write(|cache| cache.set_cacheen(true));

    // The first line of the board's debugger.
    let mut line = uarte::Config::default();
    line.baudrate = uarte::Baudrate::Baud115200;
    let uart = BufferedUarte::new(
        chip.UARTE0,
        chip.TIMER0,
        chip.PPI_CH0,
        chip.PPI_CH1,
        chip.PPI_GROUP0,
        chip.P0_08,
        chip.P0_06,
        Interrupts,
        line,
        RECEIVED.take(),
        TO_SEND.take(),
    );

    // LED 1 shines when its pin is low.
    let mut led = Output::new(chip.P0_13, Level::High, OutputDrive::Standard);
    let mut sensor = Temp::new(chip.TEMP, Interrupts);
    let parts = Parts {
        light: |on: bool| led.set_level(if on { Level::Low } else { Level::High }),
        // Quarters of a degree.
        thermometer: || Some(block_on(sensor.read()).to_bits() * 25),
    };

    let mut watch = wdt::Config::default();
    watch.timeout_ticks = WATCHDOG_SECONDS * LOW_FREQUENCY_HZ;
    watch.action_during_debug_halt = wdt::HaltConfig::Pause;
    // It outlives a reset by software, and is taken over as it was set.
    let mut dog = Watchdog::try_new(chip.WDT, watch).ok().map(|(_, [handle])| handle);
    let feed = move || dog.iter_mut().for_each(|handle| handle.pet());

    let Some(core) = cortex_m::Peripherals::take() else { cortex_m::peripheral::SCB::sys_reset() };
    let clock = clock(core.DCB, core.DWT, CORE_HZ, feed);
    serve(firmware!(NRF52840, &Solo, stack_used_bytes), Ring(uart), parts, clock)
}
