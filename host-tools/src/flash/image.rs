//! What is written into a slot by a laptop, and in which order.
//!
//! First everything behind the slot's first sector, then the first sector, in which the header is. Each sector is erased
//! and written once, by tools that know nothing of slots. Until the first sector is touched, what lies there is the
//! header of a model that was older than the one in use; from then on there is no header, or one whose model is whole
//! only when the last byte is. The slot in use is not touched.

use anyhow::{Context as _, Result, ensure};
use sprat_board_support::slots::{Header, MODEL_OFFSET, Slot};

use crate::boards::Flashing;
use crate::table::grouped;

/// A stretch of flash to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is, as the name of a file.
    pub name: &'static str,
    /// Where it begins, as the debugger sees it: at a sector.
    pub address: u64,
    /// What lies there then.
    pub bytes: Vec<u8>,
}

/// The pieces that bring a packed file into a slot, in their order.
///
/// # Errors
/// It is no packed file, or does not fit into a slot.
pub fn pieces(flashing: &Flashing, packed: &[u8], slot: Slot, sequence: u32) -> Result<Vec<Piece>> {
    let slots = flashing.slots();
    let most = slots.model_bytes();
    ensure!(
        packed.len() <= most as usize,
        "the model has {} bytes and a slot has room for {}; take a smaller model, or build a firmware around this one",
        grouped(packed.len() as u64),
        grouped(most.into())
    );
    let header = Header::of(packed, sequence).context("the model is no packed file")?;
    let mut content = vec![0xff; MODEL_OFFSET as usize];
    let header = header.to_bytes();
    content[..header.len()].copy_from_slice(&header);
    content.extend_from_slice(packed);
    // Whole words of any flash, and whole blocks of UF2.
    content.resize(content.len().next_multiple_of(MODEL_OFFSET as usize), 0xff);
    let address = flashing.model_address + u64::from(slots.start(slot));
    let rest = content.split_off(content.len().min(flashing.erase_bytes() as usize));
    let behind = address + content.len() as u64;
    let pieces = [
        Piece { name: "model-rest.bin", address: behind, bytes: rest },
        Piece { name: "model-first.bin", address, bytes: content },
    ];
    Ok(pieces.into_iter().filter(|piece| !piece.bytes.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use embedded_storage::nor_flash::NorFlash as _;
    use sprat_board_support::slots::simulated::{SimulatedFlash, Torn};
    use sprat_board_support::slots::{MappedFlash as _, Room};

    use super::*;
    use crate::boards::Boards;

    const OLD: &[u8] = include_bytes!("../../../tests/fuzz/corpus/packed_file/q8");
    const NEW: &[u8] = include_bytes!("../../../tests/fuzz/corpus/packed_file/f16");
    const ROOM: Room = Room { context_tokens: 4, arena_bytes: 1 << 20, cores: 1 };

    type Nor = SimulatedFlash<4, 1024>;

    /// A board with sectors smaller than these models.
    fn flashing() -> Flashing {
        toml::from_str(
            "tool = 'probe-rs'\nchip = 'x'\nmodel_address = 0x1000\nmodel_kib = 16\nerase_kib = 1\nsource = ''",
        )
        .unwrap()
    }

    /// As the tools do it: sector by sector erased, then page by page written.
    fn write(flash: &mut Nor, pieces: &[Piece]) -> bool {
        let written = pieces.iter().try_for_each(|piece| {
            let from = (piece.address - 0x1000) as u32;
            flash.erase(from, from + (piece.bytes.len() as u32).next_multiple_of(1024))?;
            let places = (from..).step_by(256);
            places.zip(piece.bytes.chunks(256)).try_for_each(|(from, page)| flash.write(from, page))
        });
        written.is_ok()
    }

    fn model(flash: &Nor) -> &[u8] {
        flashing().slots().boot(flash.mapped(), &ROOM, None).unwrap().model
    }

    #[test]
    fn a_power_cut_while_a_probe_writes_leaves_a_whole_model() {
        let flashing = flashing();
        let mut before = Nor::new(16 * 1024);
        // Slot B has a model that is older than that of slot A.
        for (model, slot, sequence) in [(OLD, Slot::B, 1), (OLD, Slot::A, 2)] {
            assert!(write(&mut before, &pieces(&flashing, model, slot, sequence).unwrap()));
        }
        let new = pieces(&flashing, NEW, Slot::B, 3).unwrap();
        assert_eq!(new.iter().map(|piece| piece.address).collect::<Vec<_>>(), [0x3400, 0x3000]);
        let mut whole = Nor::holding(before.mapped());
        assert!(write(&mut whole, &new));
        assert_eq!(model(&whole), NEW);
        let operations = whole.operations();
        let mut seen_new = 0;
        for (cut, torn) in (0..operations).flat_map(|cut| Torn::ALL.map(|torn| (cut, torn))) {
            let mut flash = Nor::holding(before.mapped());
            flash.cut(cut, torn);
            assert!(!write(&mut flash, &new));
            let found = model(&flash);
            assert!(found == OLD || found == NEW, "operation {cut}, {torn:?}");
            // Only when every byte is there; the last page may be one that erasing has written already.
            assert!(found == OLD || flash.mapped() == whole.mapped(), "operation {cut}, {torn:?}");
            seen_new += u32::from(found == NEW);
        }
        assert!(operations > 14 && (1..=8).contains(&seen_new), "{operations}, {seen_new}");
    }

    #[test]
    fn the_default_model_fits_the_slots_of_boards_with_two_megabytes() {
        let boards = Boards::load(None).unwrap();
        let flashing = |name| boards.by_name(name).unwrap().flash.clone().unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assistant/assistant-q8.sprat");
        let packed = std::fs::read(path).unwrap();
        for name in ["rp2350", "stm32h743", "esp32-c3"] {
            let flashing = flashing(name);
            let pieces = pieces(&flashing, &packed, Slot::B, 1).unwrap();
            let slots = flashing.slots();
            let slot = flashing.model_address + u64::from(slots.start(Slot::B));
            let within = slot..=slot + u64::from(slots.slot_bytes);
            assert!(pieces.iter().all(|piece| within.contains(&(piece.address + piece.bytes.len() as u64))));
            assert!(pieces.iter().all(|piece| piece.address.is_multiple_of(flashing.erase_bytes().into())));
        }
        let error = pieces(&flashing("nrf52840"), &packed, Slot::A, 1).unwrap_err().to_string();
        assert!(error.contains("room for 450,304") && error.contains("build a firmware around"), "{error}");
    }
}
