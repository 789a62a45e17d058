//! The firmware of the STM32F746G-DISCO: its clocks, its caches, its pins, its memories and its watchdog, around the
//! application of all boards.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use embassy_stm32::adc::{Adc, SampleTime};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk,
};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, peripherals};
use sprat::Solo;
use sprat_board_glue::clock::WATCHDOG_SECONDS;
use sprat_board_glue::cortex_m::clock;
#[cfg(not(feature = "qspi"))]
use sprat_board_glue::serve;
#[cfg(feature = "qspi")]
use sprat_board_glue::serve_in;
use sprat_board_glue::stm32::Calibration;
use sprat_board_glue::wire::Ring;
use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::firmware;
#[cfg(not(feature = "qspi"))]
use sprat_board_support::memory::STM32F746;
#[cfg(feature = "qspi")]
use sprat_board_support::memory::STM32F746_QSPI;
use sprat_board_support::parts::Parts;
use static_cell::ConstStaticCell;

#[cfg(feature = "qspi")]
mod outside;

const CORE_HZ: u32 = 216_000_000;

bind_interrupts!(struct Interrupts {
    USART1 => BufferedInterruptHandler<peripherals::USART1>;
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
        chip.USART1,
        chip.PB7,
        chip.PA9,
        TO_SEND.take(),
        RECEIVED.take(),
        Interrupts,
        usart::Config::default(),
    );
    let Ok(uart) = uart else { panic!("the serial line refuses its rate") };

    let mut led = Output::new(chip.PI1, Level::Low, Speed::Low);
    let mut converter = Adc::new(chip.ADC1);
    let mut sensor = converter.enable_temperature();
    let parts = Parts {
        light: |on: bool| led.set_level(Level::from(on)),
        // The sensor wants 10 microseconds at least; this is 17.
        thermometer: || {
            Calibration::F7.hundredths(converter.blocking_read(&mut sensor, SampleTime::CYCLES480))
        },
    };

    let mut dog = IndependentWatchdog::new(chip.IWDG, WATCHDOG_SECONDS * 1_000_000);
    dog.unleash();
    let clock = clock(core.DCB, core.DWT, CORE_HZ, move || dog.pet());
    #[cfg(not(feature = "qspi"))]
    serve(firmware!(STM32F746, &Solo, stack_used_bytes), Ring(uart), parts, clock);

    #[cfg(feature = "qspi")]
    {
        use embassy_stm32::fmc::Fmc;
        use embassy_stm32::qspi::Qspi;

        // Data, clock, select.
        let mut flash = Qspi::new_blocking_bank1(
            chip.QUADSPI,
            chip.PD11,
            chip.PD12,
            chip.PE2,
            chip.PD13,
            chip.PB2,
            chip.PB6,
            outside::flash_config(),
        );
        outside::show_flash(&mut flash);
        // Addresses, banks, data, bytes, and the clock's and the commands' lines.
        let ram = outside::ram(Fmc::sdram_a12bits_d16bits_4banks_bank1(
            chip.FMC,
            chip.PF0,
            chip.PF1,
            chip.PF2,
            chip.PF3,
            chip.PF4,
            chip.PF5,
            chip.PF12,
            chip.PF13,
            chip.PF14,
            chip.PF15,
            chip.PG0,
            chip.PG1,
            chip.PG4,
            chip.PG5,
            chip.PD14,
            chip.PD15,
            chip.PD0,
            chip.PD1,
            chip.PE7,
            chip.PE8,
            chip.PE9,
            chip.PE10,
            chip.PE11,
            chip.PE12,
            chip.PE13,
            chip.PE14,
            chip.PE15,
            chip.PD8,
            chip.PD9,
            chip.PD10,
            chip.PE0,
            chip.PE1,
            chip.PC3,
            chip.PG8,
            chip.PG15,
            chip.PH3,
            chip.PF11,
            chip.PH5,
            outside::Mt48Lc4m32b2With16Lines,
        ));
        serve_in(ram, firmware!(STM32F746_QSPI, &Solo, stack_used_bytes), Ring(uart), parts, clock)
    }
}

/// The core at 216 MHz, buses at 54 and 108, the converter at 27, from the board's oscillator of 25 MHz.
fn clocks() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(25_000_000), mode: HseMode::Oscillator });
    rcc.pll_src = PllSource::HSE;
    rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV25,
        mul: PllMul::MUL432,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV1;
    rcc.apb1_pre = APBPrescaler::DIV4;
    rcc.apb2_pre = APBPrescaler::DIV2;
    config
}
