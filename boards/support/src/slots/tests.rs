//! Slots on flash whose power fails at every operation.

extern crate std;

use std::format;
use std::string::ToString as _;
use std::vec::Vec;

use embedded_storage::nor_flash::{NorFlash as _, NorFlashErrorKind};

use super::simulated::{SimulatedFlash, Torn};
use super::*;

/// Two models of different bytes and lengths, about 3 KiB each.
const OLD: &[u8] = include_bytes!("../../../../tests/fuzz/corpus/packed_file/q8");
const NEW: &[u8] = include_bytes!("../../../../tests/fuzz/corpus/packed_file/f16");

/// For models much larger than these.
const ROOM: Room = Room { context_tokens: 4, arena_bytes: 1 << 20, cores: 1 };

/// Where the region begins in the simulated flash: behind a firmware.
const ORIGIN: u32 = 8192;
const REGION_BYTES: u32 = 16384;

type Nor = SimulatedFlash<4, 1024>;

fn slots(erase_bytes: usize) -> Slots {
    Slots::within(ORIGIN, REGION_BYTES, erase_bytes as u32)
}

fn region<const W: usize, const E: usize>(flash: &SimulatedFlash<W, E>) -> &[u8] {
    &flash.mapped()[ORIGIN as usize..]
}

fn boot<const W: usize, const E: usize>(flash: &SimulatedFlash<W, E>) -> Result<Found<'_>, NoModel> {
    slots(E).boot(region(flash), &ROOM, None)
}

/// Which slot a board would keep: the one it runs from.
fn in_use<const W: usize, const E: usize>(flash: &SimulatedFlash<W, E>) -> Option<Slot> {
    boot(flash).ok().and_then(|found| found.slot)
}

fn update<const W: usize, const E: usize, const PAGE: usize>(
    flash: &mut SimulatedFlash<W, E>,
    keep: Option<Slot>,
    model: &[u8],
    piece: usize,
) -> Result<Written, UpdateError> {
    let mut updater = Updater::<_, PAGE>::begin(flash, slots(E), keep, model.len() as u32)?;
    model.chunks(piece).try_for_each(|piece| updater.write(piece))?;
    updater.finish(&ROOM)
}

fn flash<const W: usize, const E: usize>() -> SimulatedFlash<W, E> {
    SimulatedFlash::new((ORIGIN + REGION_BYTES) as usize)
}

/// States in which a board may be when an update begins, each with the model that it runs.
fn states<const W: usize, const E: usize>() -> Vec<(SimulatedFlash<W, E>, Option<&'static [u8]>)> {
    let empty = flash();
    let mut first = flash();
    update::<W, E, 256>(&mut first, None, OLD, 99).unwrap();
    let mut second = SimulatedFlash::holding(first.mapped());
    let keep = in_use(&second);
    update::<W, E, 256>(&mut second, keep, OLD, 99).unwrap();
    let mut third = SimulatedFlash::holding(second.mapped());
    let keep = in_use(&third);
    update::<W, E, 256>(&mut third, keep, OLD, 99).unwrap();
    assert_eq!([&first, &second, &third].map(in_use), [Slot::A, Slot::B, Slot::A].map(Some));
    [(empty, None), (first, Some(OLD)), (second, Some(OLD)), (third, Some(OLD))].into()
}

/// Every state that one power cut leaves of an update with the new model; whether the update was at its header.
fn cuts<const W: usize, const E: usize, const PAGE: usize>(
    before: &SimulatedFlash<W, E>,
    keep: Option<Slot>,
    piece: usize,
    mut see: impl FnMut(SimulatedFlash<W, E>, bool, &str),
) {
    let mut whole = SimulatedFlash::<W, E>::holding(before.mapped());
    update::<W, E, PAGE>(&mut whole, keep, NEW, piece).unwrap();
    let operations = whole.operations();
    assert!(operations as usize > NEW.len() / PAGE.max(256), "{operations} operations");
    for (cut, torn) in (0..operations).flat_map(|cut| Torn::ALL.map(|torn| (cut, torn))) {
        let mut flash = SimulatedFlash::<W, E>::holding(before.mapped());
        flash.cut(cut, torn);
        let error = update::<W, E, PAGE>(&mut flash, keep, NEW, piece).unwrap_err();
        assert_eq!(error, UpdateError::Flash(NorFlashErrorKind::Other));
        let left = SimulatedFlash::holding(flash.mapped());
        see(left, cut + 1 == operations, &format!("operation {cut} of {operations}, {torn:?}"));
    }
    see(whole, true, "whole");
}

fn a_power_cut_leaves_a_whole_model<const W: usize, const E: usize, const PAGE: usize>(piece: usize) {
    for (before, old) in states::<W, E>() {
        let (mut seen_old, mut seen_new) = (0, 0);
        cuts::<W, E, PAGE>(&before, in_use(&before), piece, |left, at_header, what| {
            let found = boot(&left).ok().map(|found| found.model);
            match found {
                Some(model) if model == NEW => {
                    assert!(at_header, "{what}: the new model before its header");
                    seen_new += 1;
                }
                found => {
                    assert_eq!(found, old, "{what}");
                    seen_old += 1;
                }
            }
            if what == "whole" {
                assert_eq!(found, Some(NEW));
            }
            // Whatever was left, the next update goes through.
            let mut again = SimulatedFlash::<W, E>::holding(left.mapped());
            let keep = in_use(&again);
            update::<W, E, PAGE>(&mut again, keep, NEW, piece).unwrap();
            assert_eq!(boot(&again).unwrap().model, NEW, "{what}, and then an update");
        });
        // The header's last state is written as a whole, and then the update itself ends.
        assert!(seen_old > 8 && seen_new >= 2, "{seen_old} and {seen_new}");
    }
}

#[test]
fn a_power_cut_leaves_a_whole_model_on_flash_of_many_kinds() {
    // As nRF52840 and ESP32, RP2350, STM32H7, and flash that is written by the page.
    a_power_cut_leaves_a_whole_model::<4, 1024, 256>(1000);
    a_power_cut_leaves_a_whole_model::<1, 4096, 256>(1);
    a_power_cut_leaves_a_whole_model::<32, 8192, 64>(77);
    a_power_cut_leaves_a_whole_model::<256, 1024, 1024>(4096);
}

#[test]
fn a_second_power_cut_leaves_a_whole_model_too() {
    let mut before = flash::<4, 1024>();
    update::<4, 1024, 512>(&mut before, None, OLD, 300).unwrap();
    cuts::<4, 1024, 512>(&before, Some(Slot::A), 300, |left, _, first| {
        let old = boot(&left).unwrap().model.to_vec();
        cuts::<4, 1024, 512>(&left, in_use(&left), 300, |left, _, second| {
            let model = boot(&left).unwrap().model;
            assert!(model == old || model == NEW, "{first}, then {second}");
        });
    });
}

/// These tests would see a board without a model: here is one that gives up the model that it runs.
#[test]
fn giving_up_the_slot_in_use_is_seen() {
    let mut before = Nor::new((ORIGIN + REGION_BYTES) as usize);
    update::<4, 1024, 256>(&mut before, None, OLD, 256).unwrap();
    let mut without = 0;
    cuts::<4, 1024, 256>(&before, Some(Slot::B), 256, |left, _, _| {
        without += u32::from(boot(&left).is_err())
    });
    assert!(without > 10, "{without}");
}

#[test]
fn nothing_but_the_slot_that_is_not_in_use_is_touched() {
    let mut flash = Nor::holding(&[0xa5; (ORIGIN + REGION_BYTES) as usize]);
    flash.erase(ORIGIN, ORIGIN + REGION_BYTES).unwrap();
    update::<4, 1024, 256>(&mut flash, None, OLD, 256).unwrap();
    let before = flash.mapped().to_vec();
    let second = (ORIGIN + slots(1024).slot_bytes) as usize;
    update::<4, 1024, 256>(&mut flash, Some(Slot::A), NEW, 256).unwrap();
    assert_eq!(flash.mapped()[..second], before[..second]);
    assert!(before[..ORIGIN as usize].iter().all(|byte| *byte == 0xa5));
    assert_ne!(flash.mapped()[second..], before[second..]);
}

#[test]
fn the_newest_model_is_used_and_the_next_one_is_its_other_slot() {
    let mut flash = Nor::new((ORIGIN + REGION_BYTES) as usize);
    for (model, slot, sequence) in [(OLD, Slot::A, 1), (NEW, Slot::B, 2), (OLD, Slot::A, 3)] {
        let keep = in_use(&flash);
        let written = update::<4, 1024, 256>(&mut flash, keep, model, 64).unwrap();
        assert_eq!(written, Written { slot, sequence });
        let found = boot(&flash).unwrap();
        assert_eq!((found.slot, found.sequence, found.refused), (Some(slot), sequence, [None; 2]));
        assert_eq!(found.model, model);
        assert!(found.model.as_ptr().addr().is_multiple_of(64));
    }
}

#[test]
fn sequence_numbers_wrap() {
    assert!(comes_after(1, 0) && !comes_after(0, 1) && !comes_after(7, 7));
    assert!(comes_after(0, u32::MAX) && !comes_after(u32::MAX, 0));
}

/// The region with one slot's content.
fn with_slot(slot: Slot, header: Header, model: &[u8]) -> Nor {
    let mut flash = Nor::new((ORIGIN + REGION_BYTES) as usize);
    let start = ORIGIN + slots(1024).start(slot);
    flash.write(start, &header.to_bytes()).unwrap();
    flash.write(start + MODEL_OFFSET, model).unwrap();
    flash
}

#[test]
fn what_is_wrong_with_a_slot_is_said() {
    let header = Header::of(NEW, 5).unwrap();
    let wrong = |header, model: &[u8]| boot(&with_slot(Slot::B, header, model)).unwrap_err();
    let NoModel { a, b } = wrong(header, OLD);
    assert_eq!(a, SlotError::NoHeader);
    assert!(matches!(b, SlotError::OtherModel { recorded, .. } if recorded == header.model_checksum), "{b}");
    let b = wrong(Header { model_bytes: 1 << 20, ..header }, NEW).b;
    assert_eq!(b, SlotError::Length { found: 1 << 20, most: slots(1024).model_bytes() });
    let mut damaged = NEW.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let b = wrong(header, &damaged).b;
    assert!(matches!(b, SlotError::Model(_)) && b.to_string().contains("section DATA is damaged"), "{b}");
    let mut bytes = header.to_bytes();
    bytes[13] ^= 1;
    assert!(matches!(Header::read(&bytes), Err(SlotError::HeaderChecksum { .. })));
    bytes[0] = 0;
    assert_eq!(Header::read(&bytes), Err(SlotError::NoHeader));
    let text = NoModel { a, b }.to_string();
    assert!(text.contains("slot a: no model was written") && text.contains("sprat flash --model"), "{text}");
}

#[test]
fn a_header_of_another_version_is_refused_as_such() {
    let mut bytes = Header::of(NEW, 5).unwrap().to_bytes();
    bytes[8] = 2;
    let checksum = sprat::format::crc32(&bytes[..28]);
    bytes[28..].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(Header::read(&bytes), Err(SlotError::Version { found: 2, supported: VERSION }));
}

#[test]
fn a_newer_model_without_room_leaves_the_older_one_and_else_the_linked_one() {
    let mut flash = Nor::new((ORIGIN + REGION_BYTES) as usize);
    update::<4, 1024, 256>(&mut flash, None, OLD, 64).unwrap();
    update::<4, 1024, 256>(&mut flash, Some(Slot::A), NEW, 64).unwrap();
    let small = Room { arena_bytes: 16, ..ROOM };
    let found = slots(1024).boot(region(&flash), &small, Some(OLD)).unwrap();
    assert_eq!((found.slot, found.model), (None, OLD));
    let is_small =
        |error| matches!(error, Some(SlotError::Room(EngineError::ArenaTooSmall { have: 16, .. })));
    assert!(found.refused.into_iter().all(is_small), "{:?}", found.refused);
    let broken = with_slot(Slot::B, Header::of(OLD, 9).unwrap(), NEW);
    let mut both = flash.mapped().to_vec();
    let second = (ORIGIN + slots(1024).slot_bytes) as usize;
    both[second..].copy_from_slice(&broken.mapped()[second..]);
    let both = Nor::holding(&both);
    let found = boot(&both).unwrap();
    assert_eq!((found.slot, found.model), (Some(Slot::A), OLD));
    assert!(matches!(found.refused, [None, Some(SlotError::OtherModel { .. })]), "{:?}", found.refused);
}

#[test]
fn updates_that_cannot_be_are_refused_and_leave_what_was_there() {
    let mut flash = Nor::new((ORIGIN + REGION_BYTES) as usize);
    update::<4, 1024, 256>(&mut flash, None, OLD, 64).unwrap();
    let begin = |flash: &mut Nor, slots, bytes| {
        Updater::<_, 256>::begin(flash, slots, Some(Slot::A), bytes).map(drop).unwrap_err()
    };
    let most = slots(1024).model_bytes();
    assert_eq!(
        begin(&mut flash, slots(1024), most + 1),
        UpdateError::TooLarge { need: most + 1, have: most }
    );
    for wrong in [
        Slots { origin: ORIGIN + 4, ..slots(1024) },
        Slots { slot_bytes: 1025, ..slots(1024) },
        Slots { slot_bytes: 1 << 20, ..slots(1024) },
        Slots { origin: u32::MAX / 1024 * 1024, ..slots(1024) },
    ] {
        assert!(matches!(begin(&mut flash, wrong, 100), UpdateError::Geometry { .. }));
    }
    let mut damaged = NEW.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let refused = update::<4, 1024, 256>(&mut flash, Some(Slot::A), &damaged, 64).unwrap_err();
    assert!(matches!(refused, UpdateError::Refused(SlotError::Model(_))), "{refused}");
    let refused = update::<4, 1024, 256>(&mut flash, Some(Slot::A), b"not a model", 64).unwrap_err();
    assert!(matches!(refused, UpdateError::Refused(SlotError::Model(_))), "{refused}");

    let mut updater = Updater::<_, 256>::begin(&mut flash, slots(1024), Some(Slot::A), 100).unwrap();
    updater.write(&NEW[..60]).unwrap();
    assert_eq!(updater.missing_bytes(), 40);
    assert_eq!(updater.write(&NEW[..41]), Err(UpdateError::TooMany { announced: 100 }));
    assert_eq!(updater.finish(&ROOM), Err(UpdateError::Incomplete { have: 60, announced: 100 }));
    let found = boot(&flash).unwrap();
    assert_eq!((found.slot, found.model), (Some(Slot::A), OLD));
}
