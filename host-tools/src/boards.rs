//! Boards that a plan can be made for: their memories, their clocks, and what their cores take for a product.
//!
//! They are data, not code: `boards.toml` beside this file, where every number has its source, and a file of the
//! user's in the same form that adds boards and cores or replaces them. A board with firmware here has the memory that
//! [`sprat_board_support::memory`] gives to its build script and linker; a test holds the table to it. How many
//! instructions a core takes is read from the counts that the emulator made ([`counts`]).

pub mod counts;
mod flashing;

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;

use counts::Counts;
pub use flashing::{Flashing, Tool};

/// The boards that are known without a file of the user's.
const TABLE: &str = include_str!("boards/boards.toml");

const KIB: u64 = 1024;
/// Flash for a firmware unless the board says another number: what the emulated board's takes, rounded up.
const FIRMWARE_KIB: u64 = 96;

/// What kind of memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// On the chip, read in place.
    Flash,
    /// Beside the chip, mapped: QSPI, OSPI.
    ExternalFlash,
    /// RAM for the core alone, as fast as it is.
    TightlyCoupled,
    /// RAM on the chip.
    Ram,
    /// SDRAM, PSRAM and the like.
    ExternalRam,
}

impl Kind {
    /// Whether it can be written at run time.
    pub const fn is_ram(self) -> bool {
        matches!(self, Self::TightlyCoupled | Self::Ram | Self::ExternalRam)
    }
}

/// A contiguous stretch of memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its size in KiB.
    kib: u64,
    /// What something else needs of it, in KiB.
    #[serde(default)]
    reserved_kib: u64,
    /// Whether the packed file may lie there; by default in flash.
    holds_model: Option<bool>,
    /// What its interface can bring, in 10^6 bytes a second; as fast as the core unless said.
    peak_mb_s: Option<f64>,
    /// The share of it that reads of weights are assumed to get.
    #[serde(default = "whole")]
    share: f64,
    /// Where the numbers come from.
    pub source: String,
}

const fn whole() -> f64 {
    1.0
}

impl Memory {
    /// Bytes for model, arena and firmware.
    pub const fn available_bytes(&self) -> u64 {
        (self.kib - self.reserved_kib) * KIB
    }

    /// Whether the packed file may lie there.
    pub fn holds_model(&self) -> bool {
        self.holds_model.unwrap_or(!self.kind.is_ram())
    }

    /// Bytes a second that reads are assumed to get; `None` where the core never waits.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.peak_mb_s.map(|peak| peak * self.share * 1e6)
    }
}

/// A processor core.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Its name.
    pub name: String,
    /// The target whose instructions were counted.
    pub counted_on: String,
    /// Cycles for an instruction, on average: an assumption.
    pub cycles_per_instruction: f64,
    /// The assumption's reason, and the kernels.
    pub why: String,
}

/// A board as its entry says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    title: String,
    core: String,
    clock_mhz: f64,
    #[serde(default = "one")]
    cores: u32,
    #[serde(default = "firmware_kib")]
    firmware_kib: u64,
    source: String,
    #[serde(default)]
    note: String,
    memory: Vec<Memory>,
    flash: Option<Flashing>,
}

const fn one() -> u32 {
    1
}

const fn firmware_kib() -> u64 {
    FIRMWARE_KIB
}

/// A file of boards.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    core: Vec<Core>,
    #[serde(default)]
    board: Vec<Entry>,
}

/// A board as the planner sees it.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its name on the command line.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Its core.
    pub core: Core,
    /// What the core takes.
    pub counts: Counts,
    /// Cycles a second.
    pub clock_hz: f64,
    /// Cores that compute a token together.
    pub cores: u32,
    /// Bytes kept for the firmware in the first memory that holds the model.
    pub firmware_bytes: u64,
    /// Data sheets.
    pub source: String,
    /// What a person should know of it; may be empty.
    pub note: String,
    /// Its memories, the fastest first.
    pub memory: Vec<Memory>,
    /// How it is flashed; `None` where that is not known.
    pub flash: Option<Flashing>,
}

/// All boards.
#[derive(Debug)]
pub struct Boards(Vec<Board>);

impl Boards {
    /// The boards of the table, and those of a file of the user's, which add to them or replace them.
    ///
    /// # Errors
    /// The file cannot be read, or what it says is no board, by line or name.
    pub fn load(own: Option<&Path>) -> Result<Self> {
        let mut file: File = toml::from_str(TABLE).context("the table of boards is damaged")?;
        if let Some(path) = own {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the file of boards {}", path.display()))?;
            let more: File = toml::from_str(&text).map_err(|error| {
                // The parser's own text draws the line and points at it; an error here is one line.
                let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
                anyhow!(
                    "{}, line {line}: {}; expected [[board]] and [[core]] entries as boards/README.md describes them",
                    path.display(),
                    error.message()
                )
            })?;
            file.core.retain(|core| more.core.iter().all(|new| new.name != core.name));
            file.board.retain(|board| more.board.iter().all(|new| new.name != board.name));
            file.core.extend(more.core);
            file.board.extend(more.board);
        }
        let File { core: cores, board: entries } = file;
        let board = |entry: Entry| {
            let name = entry.name.clone();
            let file = own.map_or("the table of boards".into(), |path| path.display().to_string());
            Board::new(entry, &cores).with_context(|| format!("board {name:?} of {file}"))
        };
        entries.into_iter().map(board).collect::<Result<_>>().map(Self)
    }

    /// The board of a name.
    ///
    /// # Errors
    /// No such board, with those that there are.
    pub fn by_name(&self, name: &str) -> Result<&Board> {
        self.0.iter().find(|board| board.name == name).ok_or_else(|| {
            let all: Vec<_> = self.iter().map(|board| board.name.as_str()).collect();
            anyhow!(
                "there is no board {name:?}; known boards: {}; a file of your own adds one (--boards FILE.toml)",
                all.join(", ")
            )
        })
    }

    /// Every board, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Board> {
        self.0.iter()
    }
}

impl Board {
    fn new(entry: Entry, cores: &[Core]) -> Result<Self> {
        let Entry { name, title, core, clock_mhz, cores: team, firmware_kib, source, note, memory, flash } =
            entry;
        let core = cores.iter().find(|known| known.name == core).ok_or_else(|| {
            let all: Vec<_> = cores.iter().map(|core| core.name.as_str()).collect();
            anyhow!("there is no core {core:?}; known cores: {}; a [[core]] entry adds one", all.join(", "))
        })?;
        let cycles = core.cycles_per_instruction;
        let positive = |what: &str, number: f64| {
            ensure!(number.is_finite() && number > 0.0, "{what} is {number}, expected more than 0");
            Ok(())
        };
        positive("clock_mhz", clock_mhz)?;
        positive("cycles_per_instruction of its core", cycles)?;
        ensure!((1..=256).contains(&team), "cores is {team}, expected 1 to 256");
        for memory in &memory {
            let Memory { name, kib, reserved_kib, peak_mb_s, share, .. } = memory;
            ensure!(
                reserved_kib < kib && *kib < 1 << 40,
                "memory {name:?}: kib is {kib} and reserved_kib {reserved_kib}, expected less reserved than there is"
            );
            positive(&format!("memory {name:?}: peak_mb_s"), peak_mb_s.unwrap_or(1.0))?;
            ensure!(
                *share > 0.0 && *share <= 1.0,
                "memory {name:?}: share is {share}, expected more than 0, at most 1"
            );
        }
        let boot = memory.iter().find(|memory| memory.holds_model());
        let boot =
            boot.context("no memory holds the model: one of a flash kind, or with holds_model, is needed")?;
        ensure!(
            firmware_kib * KIB <= boot.available_bytes(),
            "firmware_kib is {firmware_kib}, more than there is of {:?}",
            boot.name
        );
        ensure!(
            memory.iter().any(|memory| memory.kind.is_ram()),
            "it has no RAM: a memory of a RAM kind is needed"
        );
        if let Some(flash) = &flash {
            flash.check()?;
        }
        Ok(Self {
            name,
            title,
            counts: Counts::of(&core.counted_on)?,
            core: core.clone(),
            clock_hz: clock_mhz * 1e6,
            cores: team,
            firmware_bytes: firmware_kib * KIB,
            source,
            note,
            memory,
            flash,
        })
    }
}

#[cfg(test)]
mod tests {
    use sprat_board_support::memory;

    use super::*;

    #[test]
    fn a_board_with_firmware_is_planned_as_it_is_built() {
        let boards = Boards::load(None).unwrap();
        for built in memory::BOARDS.iter().chain(memory::REAL_BOARDS) {
            let board = boards.by_name(built.name).unwrap();
            let flash = board.memory.iter().find(|memory| memory.holds_model()).unwrap();
            let ram: Vec<_> = board.memory.iter().filter(|memory| memory.kind.is_ram()).collect();
            // Firmware that does not lie in front of the model takes nothing from it.
            let shares = built.firmware.end() == built.model.origin;
            let firmware_bytes = if shares { built.firmware.bytes } else { 0 };
            assert_eq!(board.firmware_bytes, firmware_bytes, "{}", built.name);
            assert_eq!(flash.available_bytes(), firmware_bytes + built.model.bytes, "{}", built.name);
            assert_eq!(board.cores, built.cores, "{}", built.name);
            // Where a HAL lays out the flash, the linked model is one of its constants, and slots lie elsewhere.
            if let Some(flash) = board.flash.as_ref().filter(|_| built.hal_script.is_empty()) {
                assert_eq!((flash.model_address, flash.slots()), (built.model.origin, built.slots()));
            }
            let regions = built.stack.iter().chain(&built.external_ram).chain([&built.ram]);
            let built_ram: Vec<_> = regions.map(|region| region.bytes).collect();
            // What lies outside of the chip and is not used comes behind.
            let ram: Vec<_> = ram.iter().map(|ram| ram.available_bytes()).collect();
            assert_eq!(ram[..built_ram.len()], built_ram, "{}", built.name);
        }
    }

    #[test]
    fn every_board_of_the_table_has_its_sources() {
        let boards = Boards::load(None).unwrap();
        assert!(boards.iter().count() >= 22);
        for board in boards.iter() {
            assert_eq!(boards.iter().filter(|other| other.name == board.name).count(), 1, "{}", board.name);
            assert!(board.flash.as_ref().is_none_or(|flash| !flash.source.is_empty()), "{}", board.name);
            assert!(!board.source.is_empty() && !board.core.why.is_empty() && !board.title.is_empty());
            assert!(board.memory.iter().all(|memory| !memory.source.is_empty()), "{}", board.name);
        }
    }

    fn load(text: &str) -> Result<Boards> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Boards::load(Some(file.path()))
    }

    const OWN: &str = r#"
[[board]]
name = "rp2350"
title = "a larger one"
core = "Cortex-M33"
clock_mhz = 300
source = "measured"
memory = [
  { name = "flash", kind = "flash", kib = 16384, source = "soldered" },
  { name = "RAM", kind = "ram", kib = 520, source = "data sheet" },
]
"#;

    #[test]
    fn a_file_adds_boards_and_replaces_them() {
        let known = Boards::load(None).unwrap().iter().count();
        let boards = load(OWN).unwrap();
        assert_eq!(boards.iter().count(), known);
        assert_eq!(boards.by_name("rp2350").unwrap().title, "a larger one");
        let boards = load(&OWN.replace("\"rp2350\"", "\"mine\"")).unwrap();
        assert_eq!(boards.iter().count(), known + 1);
        assert_eq!(boards.by_name("mine").unwrap().clock_hz, 300e6);
    }

    #[test]
    fn what_is_no_board_is_refused_by_name() {
        let fails = |from: &str, to: &str, parts: &[&str]| {
            let error = format!("{:#}", load(&OWN.replace(from, to)).unwrap_err());
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        };
        fails("clock_mhz", "clock", &["line 6", "unknown field `clock`", "boards/README.md"]);
        fails("Cortex-M33", "Z80", &["\"rp2350\"", "no core \"Z80\"", "Cortex-M33"]);
        fails("clock_mhz = 300", "clock_mhz = 0", &["clock_mhz is 0"]);
        fails("\"flash\", kib", "\"ram\", kib", &["no memory holds the model"]);
        fails("\"ram\"", "\"flash\"", &["no RAM"]);
        fails("kib = 520", "kib = 520, reserved_kib = 521", &["\"RAM\"", "521"]);
        fails("kib = 520", "kib = 520, share = 2.0", &["share is 2"]);
        let flash = |erase_kib| {
            format!(
                "flash = {{ tool = \"uf2\", chip = \"x\", model_address = 0x1000_0800, model_kib = 8, \
                 erase_kib = {erase_kib}, source = \"\" }}\nmemory = ["
            )
        };
        fails("memory = [", &flash(0), &["erase_kib is 0"]);
        fails("memory = [", &flash(8), &["erase_kib is 8", "model_kib"]);
        fails("memory = [", &flash(4), &["model_address is 0x10000800", "4 KiB"]);
    }
}
