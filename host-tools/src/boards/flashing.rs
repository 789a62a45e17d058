//! How a board is flashed: with which tool, and where its models lie.

use anyhow::{Result, ensure};
use serde::Deserialize;
use sprat_board_support::slots::Slots;

use super::KIB;

/// What writes to a board's flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// A debug probe, through the program `probe-rs`.
    ProbeRs,
    /// Espressif's boot loader over a serial line, through the program `espflash`.
    Espflash,
    /// A file in UF2 form, copied to the drive that the board's boot loader shows.
    Uf2,
    /// ST's own debug probe and its program `STM32_Programmer_CLI`, which knows flash outside of the chip.
    Stm32Programmer,
}

/// How a board is flashed, as its entry says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flashing {
    /// The tool.
    pub tool: Tool,
    /// The chip's name to the tool.
    pub chip: String,
    /// What the program needs to write to flash outside of the chip: the name of its loader.
    pub loader: Option<String>,
    /// Where the memory for models begins, as the debugger sees it.
    pub model_address: u64,
    /// How much it is, in KiB.
    model_kib: u64,
    /// How much of it is erased at a time, in KiB.
    erase_kib: u64,
    /// Where the numbers come from.
    pub source: String,
}

impl Flashing {
    /// The slots for models, counted from the beginning of the memory for them.
    pub fn slots(&self) -> Slots {
        Slots::within(0, (self.model_kib * KIB) as u32, self.erase_bytes())
    }

    /// Bytes that are erased at a time.
    pub fn erase_bytes(&self) -> u32 {
        (self.erase_kib * KIB) as u32
    }

    pub(super) fn check(&self) -> Result<()> {
        let Self { model_address, model_kib, erase_kib, .. } = self;
        ensure!(
            self.tool != Tool::Stm32Programmer || self.loader.is_some(),
            "flash: a board that is flashed with stm32-programmer needs a loader, the name of a file without .stldr"
        );
        ensure!(
            (1..=model_kib / 2).contains(erase_kib) && *model_kib < 1 << 22,
            "flash: erase_kib is {erase_kib} and model_kib {model_kib}, expected two sectors or more and less than 4 GiB"
        );
        ensure!(
            model_address.is_multiple_of(erase_kib * KIB) && *model_address < 1 << 32,
            "flash: model_address is {model_address:#x}, expected 32 bits and a multiple of a sector of {erase_kib} KiB"
        );
        Ok(())
    }
}
