//! Bringing a firmware, a model or both onto a real board.
//!
//! What is written where is decided here and in [`image`]; the writing itself is done by the program that everybody uses
//! for the board's chip ([`programs`]), or by copying a file ([`uf2`], [`drive`]). A model goes into the slot that is not
//! in use, so that the board has a whole one whenever it starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use sprat_board_support::memory::BOARDS;
use sprat_board_support::slots::{HEADER_BYTES, Slot, Slots};

use crate::boards::{Board, Flashing, Tool};
use crate::emulate::linux;
use crate::model::Model;
use image::{Piece, pieces};
use programs::Invocation;

pub mod drive;
pub mod image;
pub mod programs;
pub mod segments;
pub mod uf2;

/// What to flash, and how.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The board.
    pub board: &'a Board,
    /// A packed file for one of the slots.
    pub model: Option<&'a Path>,
    /// A firmware.
    pub firmware: Option<&'a Path>,
    /// The slot; the one that is not in use if it is not said.
    pub slot: Option<Slot>,
    /// Another tool than the board's usual one.
    pub tool: Option<Tool>,
    /// The drive that a file is copied to; the one that is found if it is not said.
    pub drive: Option<&'a Path>,
    /// Say what would be done, and do not touch the board.
    pub dry_run: bool,
}

/// One thing to do.
#[derive(Clone, Debug)]
enum Step {
    /// To run a program.
    Run(Invocation),
    /// To copy a file of these bytes onto the drive.
    Copy { name: &'static str, bytes: Vec<u8> },
}

/// How a board is flashed.
///
/// # Errors
/// It is emulated, or nobody has said how: what to do instead.
pub fn flashing(board: &Board) -> Result<&Flashing> {
    let name = &board.name;
    if BOARDS.iter().any(|known| known.name == *name) {
        bail!(
            "{name} is emulated and needs no flashing: sprat emulate MODEL.sprat --board {name} --prompt \"...\""
        );
    }
    if linux::find(name).is_some() {
        bail!("{name} runs Linux and needs no flashing: copy the packed file to it, and run sprat there");
    }
    board.flash.as_ref().with_context(|| {
        format!(
            "how {name} is flashed is not known; a `flash` line in a file of boards says it (--boards FILE.toml, see \
             boards/README.md)"
        )
    })
}

/// Flashes; `say` is told each step before it is taken. Files for the tools are written into `folder`.
///
/// # Errors
/// A board or a file that cannot be, a tool that is not installed or fails.
pub fn flash(wanted: &Wanted<'_>, folder: &Path, mut say: impl FnMut(&str)) -> Result<()> {
    let flashing = flashing(wanted.board)?;
    ensure!(
        wanted.model.is_some() || wanted.firmware.is_some(),
        "nothing to flash: name a packed file (--model FILE), a firmware (--firmware ELF), or both"
    );
    let tool = wanted.tool.unwrap_or(flashing.tool);
    ensure!(
        (tool == Tool::Uf2) || wanted.drive.is_none(),
        "--drive is for boards that take a file; {} is flashed with {}",
        wanted.board.name,
        match tool {
            Tool::Espflash => "espflash",
            Tool::Stm32Programmer => "STM32CubeProgrammer",
            Tool::ProbeRs | Tool::Uf2 => "probe-rs",
        }
    );
    let packed = wanted.model.map(read_model).transpose()?;
    let mut steps = Vec::new();
    if let Some(elf) = wanted.firmware {
        steps.push(firmware_step(tool, flashing, elf)?);
    }
    if let Some(packed) = &packed {
        let (slot, sequence) = place(wanted, flashing, tool, folder, &mut say)?;
        let pieces = pieces(flashing, packed, slot, sequence)?;
        say(&format!("# {}: slot {}, number {sequence}", wanted.board.name, slot.name()));
        steps.extend(model_steps(tool, flashing, &pieces, folder)?);
    }
    if tool != Tool::Uf2 {
        steps.push(Step::Run(programs::reset(tool, flashing)));
    }
    steps.into_iter().try_for_each(|step| take(step, wanted, &mut say))
}

/// The packed file, whole and checked.
fn read_model(path: &Path) -> Result<Vec<u8>> {
    let model = Model::open_packed(path)?;
    model.image().with_context(|| format!("cannot flash {}", path.display()))?;
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn firmware_step(tool: Tool, flashing: &Flashing, elf: &Path) -> Result<Step> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read the firmware {}", elf.display()))?;
    let segments = segments::of(&bytes).with_context(|| format!("{} is no firmware", elf.display()))?;
    if tool != Tool::Uf2 {
        return Ok(Step::Run(programs::write_firmware(tool, flashing, elf)));
    }
    let segments: Vec<_> = segments.iter().map(|(address, bytes)| (*address, bytes.as_slice())).collect();
    Ok(Step::Copy { name: "firmware.uf2", bytes: uf2::file(uf2::Family::Rp2350Arm, &segments) })
}

/// The steps that write a model, its first sector last.
fn model_steps(tool: Tool, flashing: &Flashing, pieces: &[Piece], folder: &Path) -> Result<Vec<Step>> {
    if tool == Tool::Uf2 {
        let pieces: Vec<_> = pieces.iter().map(|piece| (piece.address, piece.bytes.as_slice())).collect();
        let bytes = uf2::file(uf2::Family::Absolute, &pieces);
        return Ok(vec![Step::Copy { name: "model.uf2", bytes }]);
    }
    let write = |piece: &Piece| {
        let file = folder.join(piece.name);
        fs::write(&file, &piece.bytes).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Step::Run(programs::write_bytes(tool, flashing, piece.address, &file)))
    };
    pieces.iter().map(write).collect()
}

/// The slot for a model, and its sequence number.
fn place(
    wanted: &Wanted<'_>,
    flashing: &Flashing,
    tool: Tool,
    folder: &Path,
    say: &mut impl FnMut(&str),
) -> Result<(Slot, u32)> {
    if tool == Tool::Uf2 {
        // A drive is written and not read.
        let slot = wanted.slot.context(
            "a drive does not tell which slot is in use: say which one to write (--slot a or --slot b; the board logs \
             the one it uses), or use a debug probe (--tool probe-rs)",
        )?;
        return Ok((slot, now()));
    }
    let slots = flashing.slots();
    let mut headers = [None; 2];
    for slot in Slot::BOTH {
        let file = folder.join("header.bin");
        let address = flashing.model_address + u64::from(slots.start(slot));
        let reading = programs::read_header(tool, flashing, address, &file);
        say(&reading.to_string());
        if !wanted.dry_run {
            headers[slot as usize] = Some(programs::header_bytes(tool, &reading, &file)?);
        }
    }
    if wanted.dry_run {
        say("# what these say decides the slot and its number; for an empty board:");
    }
    Ok(next_place(slots, headers, wanted.slot))
}

/// The slot and the number for a new model, beside those whose headers were read.
fn next_place(slots: Slots, headers: [Option<[u8; HEADER_BYTES]>; 2], slot: Option<Slot>) -> (Slot, u32) {
    // A region that has nothing but headers, for the code of the boards to decide.
    let mut region = vec![0xff; 2 * slots.slot_bytes as usize];
    for (slot, header) in Slot::BOTH.into_iter().zip(headers) {
        let start = slots.start(slot) as usize;
        if let Some(header) = header {
            region[start..start + HEADER_BYTES].copy_from_slice(&header);
        }
    }
    let [_, oldest] = slots.by_age(&region);
    (slot.unwrap_or(oldest), slots.next_sequence(&region))
}

/// A sequence number that comes after those that were given by counting and by an earlier clock: seconds since 2020.
fn now() -> u32 {
    const START: Duration = Duration::from_secs(1_577_836_800);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(START).as_secs() as u32
}

fn take(step: Step, wanted: &Wanted<'_>, say: &mut impl FnMut(&str)) -> Result<()> {
    match step {
        Step::Run(invocation) => {
            say(&invocation.to_string());
            if wanted.dry_run { Ok(()) } else { invocation.run() }
        }
        Step::Copy { name, bytes } => {
            let drive = match (wanted.dry_run, wanted.drive) {
                (true, None) => PathBuf::from("DRIVE"),
                _ => drive::find(wanted.drive)?,
            };
            say(&format!("# {} bytes to {}", bytes.len(), drive.join(name).display()));
            if wanted.dry_run { Ok(()) } else { drive::copy(&bytes, &drive, name) }
        }
    }
}

/// The command that shows what a board logs.
///
/// # Errors
/// A board that has no debug connection here.
pub fn monitor(board: &Board, tool: Option<Tool>, firmware: &Path) -> Result<Invocation> {
    let flashing = flashing(board)?;
    ensure!(
        firmware.exists(),
        "there is no {}: the firmware that runs on the board is needed, since the texts of its log stay in the ELF",
        firmware.display()
    );
    // A drive says nothing; a probe does.
    let tool = tool.unwrap_or(flashing.tool);
    Ok(programs::attach(tool, flashing, firmware))
}

#[cfg(test)]
mod tests {
    use sprat_board_support::slots::Header;

    use super::*;
    use crate::boards::Boards;

    fn header(sequence: u32) -> Option<[u8; HEADER_BYTES]> {
        Some(Header { sequence, model_bytes: 100, model_checksum: 1 }.to_bytes())
    }

    #[test]
    fn the_slot_that_is_not_in_use_is_written() {
        let slots = Slots::within(0, 8192, 4096);
        let erased = Some([0xff; HEADER_BYTES]);
        for (headers, place) in [
            ([erased, erased], (Slot::A, 1)),
            ([None, None], (Slot::A, 1)),
            ([header(1), erased], (Slot::B, 2)),
            ([erased, header(7)], (Slot::A, 8)),
            ([header(8), header(7)], (Slot::B, 9)),
            ([header(u32::MAX), header(0)], (Slot::A, 1)),
        ] {
            assert_eq!(next_place(slots, headers, None), place);
            assert_eq!(next_place(slots, headers, Some(Slot::B)), (Slot::B, place.1));
        }
        assert!(now() > 100_000_000 && now() < 1 << 31);
    }

    #[test]
    fn boards_that_need_no_flashing_say_what_to_do() {
        let boards = Boards::load(None).unwrap();
        let error = |name| flashing(boards.by_name(name).unwrap()).unwrap_err().to_string();
        assert!(error("qemu-mps2-an386").contains("sprat emulate MODEL.sprat --board qemu-mps2-an386"));
        assert!(error("raspberry-pi-4").contains("Linux"));
        assert!(error("stm32f407").contains("--boards"));
    }
}
