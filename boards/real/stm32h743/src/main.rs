//! The firmware of the NUCLEO-H743ZI2: its clocks, its caches, its pins and its watchdog, around the application of all
//! boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use embassy_stm32::adc::{Adc, SampleTime};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk,
    VoltageScale, mux,
};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, peripherals};
use sprat::Solo;
use sprat_board_glue::clock::WATCHDOG_SECONDS;
use sprat_board_glue::cortex_m::clock;
use sprat_board_glue::serve;
use sprat_board_glue::stm32::Calibration;
use sprat_board_glue::wire::Ring;
use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::STM32H743;
use sprat_board_support::parts::Parts;
use static_cell::ConstStaticCell;

const CORE_HZ: u32 = 480_000_000;

bind_interrupts!(struct Interrupts {
    USART3 => BufferedInterruptHandler<peripherals::USART3>;
});

static RECEIVED: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);
static TO_SEND: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let Some(mut core) = cortex_m::Peripherals::take() else { cortex_m::peripheral::SCB::sys_reset() };
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    let chip = embassy_stm32::init(clocks());

    // The serial line of the board's debugger, 115,200 bits a second.
    let uart = BufferedUart::new(
        chip.USART3,
        chip.PD9,
        chip.PD8,
        TO_SEND.take(),
        RECEIVED.take(),
        Interrupts,
        usart::Config::default(),
    );
    let Ok(uart) = uart else { panic!("the serial line refuses its rate") };

    let mut led = Output::new(chip.PB0, Level::Low, Speed::Low);
    let mut converter = Adc::new(chip.ADC3);
    let mut sensor = converter.enable_temperature();
    let parts = Parts {
        light: |on: bool| led.set_level(Level::from(on)),
        // The sensor wants 9 microseconds at least; this is 32.
        thermometer: || {
            Calibration::H7.hundredths(converter.blocking_read(&mut sensor, SampleTime::CYCLES810_5))
        },
    };

    let mut dog = IndependentWatchdog::new(chip.IWDG1, WATCHDOG_SECONDS * 1_000_000);
    dog.unleash();
    let clock = clock(core.DCB, core.DWT, CORE_HZ, move || dog.pet());
    serve(firmware!(STM32H743, &Solo, stack_used_bytes), Ring(uart), parts, clock)
}

/// The core at 480 MHz, buses at 240 and 120, the converter at 25, from the 8 MHz that the board's debugger provides.
fn clocks() -> Config {
    let pll = |mul, divp| Pll {
        source: PllSource::HSE,
        prediv: PllPreDiv::DIV1,
        mul,
        fracn: None,
        divp: Some(divp),
        divq: None,
        divr: None,
    };
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Bypass });
    rcc.pll1 = Some(pll(PllMul::MUL120, PllDiv::DIV2));
    rcc.pll2 = Some(pll(PllMul::MUL50, PllDiv::DIV16));
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.voltage_scale = VoltageScale::Scale0;
    rcc.mux.adcsel = mux::Adcsel::PLL2_P;
    config
}
