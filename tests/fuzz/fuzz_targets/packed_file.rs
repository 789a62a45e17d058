//! Any bytes as a packed file: refused or read whole, never a panic.
//!
//! Checksums would stop nearly every mutation at the door, so they are written anew first; what is tested is
//! everything behind them. A file that passes is run for two tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::format::{HEADER_BYTES, PackedFile, SECTION_BYTES};
use sprat::{Engine, Image, Kernels, Plan};

/// CRC-32/ISO-HDLC, bit by bit.
fn crc(parts: &[&[u8]]) -> u32 {
    !parts.iter().flat_map(|part| part.iter()).fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn reseal(file: &mut [u8]) -> Option<()> {
    let count = u32::from_le_bytes(file.get(12..16)?.try_into().ok()?) as usize;
    let table = HEADER_BYTES..HEADER_BYTES.checked_add(count.checked_mul(SECTION_BYTES)?)?;
    file.get(table.clone())?;
    for at in table.clone().step_by(SECTION_BYTES) {
        let field = |from: usize| file[at + from..at + from + 8].try_into().map(u64::from_le_bytes).ok();
        let (offset, length) = (field(8)? as usize, field(16)? as usize);
        if let Some(bytes) = file.get(offset..offset.saturating_add(length)) {
            let sum = crc(&[bytes]).to_le_bytes();
            file[at + 4..at + 8].copy_from_slice(&sum);
        }
    }
    let sum = crc(&[&file[..28], &file[table]]).to_le_bytes();
    file[28..32].copy_from_slice(&sum);
    Some(())
}

fuzz_target!(|data: &[u8]| {
    let mut words = vec![0u128; data.len().div_ceil(16)];
    // SAFETY: any bit pattern is a u128 and a byte, and the slice ends where the words end.
    let file = unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), data.len()) };
    file.copy_from_slice(data);
    let _ = PackedFile::parse(file).map(|_| ());
    let _ = reseal(file);
    let Ok(packed) = PackedFile::parse(file) else { return };
    assert!(packed.tensors().count() > 0);
    let Ok(image) = Image::new(file) else { return };
    let Ok(plan) = Plan::new(image.config(), image.limits()) else { return };
    if plan.arena_bytes > 1 << 20 {
        return;
    }
    let mut arena = vec![0u128; plan.arena_bytes / 16];
    // SAFETY: as above; the plan is a multiple of 16.
    let arena = unsafe { core::slice::from_raw_parts_mut(arena.as_mut_ptr().cast::<u8>(), plan.arena_bytes) };
    let mut engine = Engine::new(&image, *image.limits(), arena, Kernels::detect()).expect("the plan was followed");
    let _ = engine.feed(&[0, 1]);
});
