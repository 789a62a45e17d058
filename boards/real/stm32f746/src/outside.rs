//! The memories around the chip: 16 MiB of flash at the quad serial interface, 8 MiB of SDRAM.
//!
//! Both are memory like any other once they are switched on. Pins are from the board's schematic (UM1907, MB1191), the
//! flash's commands from its data sheet (Micron N25Q128A), the SDRAM's times from its own (Micron MT48LC4M32B2).

use core::mem::MaybeUninit;

use embassy_stm32::fmc::Fmc;
use embassy_stm32::mode::Blocking;
use embassy_stm32::peripherals::{FMC, QUADSPI};
use embassy_stm32::qspi::enums::{
    AddressSize, ChipSelectHighTime, DummyCycles, MemorySize, QspiWidth, SampleShifting,
};
use embassy_stm32::qspi::{self, Qspi, TransferConfig};
use embedded_hal::delay::DelayNs;
use sprat_board_support::cortex_m::{Outside, map_outside};
use sprat_board_support::memory::{Region, STM32F746_QSPI};
use stm32_fmc::{Sdram, SdramChip, SdramConfiguration, SdramTiming};

use crate::CORE_HZ;

/// All that the interface may show; beyond the flash's end there is nothing, and reading it would never end.
const QSPI_WINDOW: Region = Region { origin: 0x9000_0000, bytes: 256 << 20 };

/// 4 bits at 108 MHz.
pub fn flash_config() -> qspi::Config {
    let mut config = qspi::Config::default();
    config.memory_size = MemorySize::_16MiB;
    config.address_size = AddressSize::_24bit;
    // Half of the bus's clock.
    config.prescaler = 1;
    config.cs_high_time = ChipSelectHighTime::_6Cycle;
    config.sample_shifting = SampleShifting::HalfCycle;
    config
}

/// Shows the flash at [`STM32F746_QSPI`]'s address.
pub fn show_flash(flash: &mut Qspi<'_, QUADSPI, Blocking>) {
    // A debugger's loader may have left it in another mode; a reset ends that.
    const RESET_ENABLE: u8 = 0x66;
    const RESET: u8 = 0x99;
    for instruction in [RESET_ENABLE, RESET] {
        flash.blocking_command(TransferConfig { iwidth: QspiWidth::SING, instruction, ..Default::default() });
    }
    // After a reset it is deaf for 40 microseconds at most.
    Wait.delay_us(50);
    // Quad input/output fast read, whose pause has 10 cycles unless it was set.
    flash.enable_memory_map(&TransferConfig {
        iwidth: QspiWidth::SING,
        awidth: QspiWidth::QUAD,
        dwidth: QspiWidth::QUAD,
        instruction: 0xeb,
        address: None,
        dummy: DummyCycles::_10,
    });
    map_outside(1, &QSPI_WINDOW, Outside::Closed);
    map_outside(2, &STM32F746_QSPI.model, Outside::ReadOnly);
}

/// Half of the chip's 32 data lines are connected, so that half of its 16 MiB is there.
pub struct Mt48Lc4m32b2With16Lines;

impl SdramChip for Mt48Lc4m32b2With16Lines {
    // Bursts of one, in order; 3 cycles from a command to its data; writes are single.
    const MODE_REGISTER: u16 = 0x230;
    // At 108 MHz a cycle is 9.3 ns. (MT48LC4M32B2-6A, "Electrical characteristics".)
    const TIMING: SdramTiming = SdramTiming {
        startup_delay_ns: 100_000,
        max_sd_clock_hz: 108_000_000,
        refresh_period_ns: 15_625,
        mode_register_to_active: 2,
        // 67 ns.
        exit_self_refresh: 8,
        // 42 ns.
        active_to_precharge: 5,
        // 60 ns.
        row_cycle: 7,
        // 18 ns.
        row_precharge: 2,
        row_to_column: 2,
    };
    const CONFIG: SdramConfiguration = SdramConfiguration {
        column_bits: 8,
        row_bits: 12,
        memory_data_width: 16,
        internal_banks: 4,
        cas_latency: 3,
        write_protection: false,
        read_burst: true,
        read_pipe_delay_cycles: 0,
    };
}

/// Switches the SDRAM on, and is all of it.
#[allow(unsafe_code)]
pub fn ram(mut sdram: Sdram<Fmc<'static, FMC>, Mt48Lc4m32b2With16Lines>) -> &'static mut [MaybeUninit<u8>] {
    let start = sdram.init(&mut Wait);
    let bytes = STM32F746_QSPI.external_ram.map_or(0, |ram| {
        map_outside(3, &ram, Outside::Ram);
        ram.bytes as usize
    });
    // SAFETY: the memory behind the controller, of which the linker knows nothing. There is one controller, which is taken.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), bytes) }
}

/// Waits by counting instructions, each of which takes a cycle or more.
struct Wait;

impl DelayNs for Wait {
    fn delay_ns(&mut self, ns: u32) {
        cortex_m::asm::delay((u64::from(ns) * u64::from(CORE_HZ)).div_ceil(1_000_000_000) as u32);
    }
}
