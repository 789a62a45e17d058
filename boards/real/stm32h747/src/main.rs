//! The firmware of the STM32H747I-DISCO: the clocks, the caches, the pins and the watchdog of its Cortex-M7, around the
//! application of all boards. The Cortex-M4 sleeps.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::mem::MaybeUninit;

use embassy_stm32::adc::{Adc, SampleTime};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllDiv, PllMul, PllPreDiv, PllSource, SupplyConfig,
    Sysclk, VoltageScale, mux,
};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, SharedData, bind_interrupts, peripherals};
use sprat::Solo;
use sprat_board_glue::clock::WATCHDOG_SECONDS;
use sprat_board_glue::cortex_m::clock;
use sprat_board_glue::serve;
use sprat_board_glue::stm32::Calibration;
use sprat_board_glue::wire::Ring;
use sprat_board_support::cortex_m::{guard_stack, stack_used_bytes};
use sprat_board_support::firmware;
use sprat_board_support::memory::STM32H747;
use sprat_board_support::parts::Parts;
use static_cell::ConstStaticCell;

const CORE_HZ: u32 = 400_000_000;

bind_interrupts!(struct Interrupts {
    USART1 => BufferedInterruptHandler<peripherals::USART1>;
});

/// What the Cortex-M4 finds where it starts, which it does with the options that the chip leaves the factory with: the end
/// of its own RAM, an address, and there `wfi` for ever. (RM0399, 2.6 "Boot configuration".)
#[allow(unsafe_code)]
#[unsafe(link_section = ".second_core")]
#[used]
static SLEEP: [u32; 3] = [0x1004_8000, 0x0810_0009, 0xe7fd_bf30];

/// For a firmware on the other core, which there is none of.
static SHARED: MaybeUninit<SharedData> = MaybeUninit::uninit();

static RECEIVED: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);
static TO_SEND: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);

#[cortex_m_rt::entry]
fn main() -> ! {
    guard_stack();
    let Some(mut core) = cortex_m::Peripherals::take() else { cortex_m::peripheral::SCB::sys_reset() };
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    let chip = embassy_stm32::init_primary(clocks(), &SHARED);

    // The serial line of the board's debugger, 115,200 bits a second.
    let uart = BufferedUart::new(
        chip.USART1,
        chip.PA10,
        chip.PA9,
        TO_SEND.take(),
        RECEIVED.take(),
        Interrupts,
        usart::Config::default(),
    );
    let Ok(uart) = uart else { panic!("the serial line refuses its rate") };

    // LD1 shines when its pin is low.
    let mut led = Output::new(chip.PI12, Level::High, Speed::Low);
    let mut converter = Adc::new(chip.ADC3);
    let mut sensor = converter.enable_temperature();
    let parts = Parts {
        light: |on: bool| led.set_level(Level::from(!on)),
        // The sensor wants 9 microseconds at least; this is 32.
        thermometer: || {
            Calibration::H7.hundredths(converter.blocking_read(&mut sensor, SampleTime::CYCLES810_5))
        },
    };

    let mut dog = IndependentWatchdog::new(chip.IWDG1, WATCHDOG_SECONDS * 1_000_000);
    dog.unleash();
    let clock = clock(core.DCB, core.DWT, CORE_HZ, move || dog.pet());
    serve(firmware!(STM32H747, &Solo, stack_used_bytes), Ring(uart), parts, clock)
}

/// The core at 400 MHz, which is the most with the step-down converter that feeds it; buses at 200 and 100, the analog
/// converter at 25; from the board's crystal of 25 MHz.
fn clocks() -> Config {
    let pll = |mul, divp| Pll {
        source: PllSource::HSE,
        prediv: PllPreDiv::DIV5,
        mul,
        divp: Some(divp),
        divq: None,
        divr: None,
    };
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(25_000_000), mode: HseMode::Oscillator });
    rcc.pll1 = Some(pll(PllMul::MUL160, PllDiv::DIV2));
    rcc.pll2 = Some(pll(PllMul::MUL80, PllDiv::DIV16));
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.supply_config = SupplyConfig::DirectSMPS;
    rcc.voltage_scale = VoltageScale::Scale1;
    rcc.mux.adcsel = mux::Adcsel::PLL2_P;
    config
}
