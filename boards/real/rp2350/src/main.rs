//! The firmware of the Raspberry Pi Pico 2: its clocks, its pins, its second core and its watchdog, around the
//! application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use defmt::info;
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::gpio::{Level, Output};
use embassy_rp::multicore::{Stack, spawn_core1};
use embassy_rp::uart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{bind_interrupts, clocks, pac, peripherals};
use embassy_time::Duration;
use sprat_board_glue::clock::WATCHDOG_SECONDS;
use sprat_board_glue::cortex_m::clock;
use sprat_board_glue::serve;
use sprat_board_glue::wire::Ring;
use sprat_board_support::cortex_m::stack_used_bytes;
use sprat_board_support::firmware;
use sprat_board_support::memory::{RP2350, RP2350_SECOND_STACK_BYTES};
use sprat_board_support::parts::Parts;
use sprat_board_support::team::{Cores, work};
use static_cell::ConstStaticCell;

const TIMEOUT: Duration = Duration::from_secs(WATCHDOG_SECONDS as u64);

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<peripherals::UART0>;
});

static SECOND_STACK: ConstStaticCell<Stack<{ RP2350_SECOND_STACK_BYTES as usize }>> =
    ConstStaticCell::new(Stack::new());
static RECEIVED: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);
static TO_SEND: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);

#[cortex_m_rt::entry]
fn main() -> ! {
    // 150 MHz from the crystal of 12 MHz. The boot ROM has set up the flash, and the cache in front of it is on.
    let chip = embassy_rp::init(embassy_rp::config::Config::default());
    let hz = clocks::clk_sys_freq();
    info!("core at {=u32} Hz, flash at a {=u8}th of it", hz, pac::QMI.mem(0).timing().read().clkdiv());

    let (tx, rx) = (chip.PIN_0, chip.PIN_1);
    let uart = BufferedUart::new(
        chip.UART0,
        tx,
        rx,
        Interrupts,
        TO_SEND.take(),
        RECEIVED.take(),
        // 115,200 bits a second.
        uart::Config::default(),
    );

    let mut led = Output::new(chip.PIN_25, Level::Low);
    let mut converter = Adc::new_blocking(chip.ADC, adc::Config::default());
    let mut sensor = Channel::new_temp_sensor(chip.ADC_TEMP_SENSOR);
    let parts = Parts {
        light: |on: bool| led.set_level(Level::from(on)),
        thermometer: || converter.blocking_read(&mut sensor).ok().map(hundredths),
    };

    let mut dog = Watchdog::new(chip.WATCHDOG);
    dog.pause_on_debug(true);
    dog.start(TIMEOUT);
    let feed = move || dog.feed(TIMEOUT);

    spawn_core1(chip.CORE1, SECOND_STACK.take(), || work(1));

    let Some(core) = cortex_m::Peripherals::take() else { cortex_m::peripheral::SCB::sys_reset() };
    let clock = clock(core.DCB, core.DWT, hz, feed);
    serve(firmware!(RP2350, &Cores::<2>, stack_used_bytes), Ring(uart), parts, clock)
}

/// Hundredths of a degree from 12 bits of 3.3 V. (RP2350 Datasheet, 12.4.6: 27 degrees at 0.706 V, 1.721 mV a degree.)
fn hundredths(sample: u16) -> i32 {
    let microvolts = i32::from(sample) * 825 / 1024 * 1000;
    2700 - (microvolts - 706_000) * 100 / 1721
}
