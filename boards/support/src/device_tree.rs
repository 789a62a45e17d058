//! RAM that is found at boot, in the description of itself that a machine hands over.
//! (Devicetree Specification, 3.4 and 5.)

use core::mem::MaybeUninit;

use fdt::Fdt;

use crate::memory::Region;

/// The RAM behind what the firmware is linked for, up to its end, or to the description if that lies there; `None` where the
/// description is none, or tells of no RAM there.
///
/// # Safety
/// `description` is what the boot loader, or the emulator, handed over; it is called once, and nothing uses memory beyond
/// `linked`.
pub unsafe fn ram_behind(linked: &Region, description: usize) -> Option<&'static mut [MaybeUninit<u8>]> {
    let description = core::ptr::with_exposed_provenance::<u8>(description);
    // SAFETY: by the caller's word; what begins with another number than a description's is refused.
    let tree = unsafe { Fdt::from_ptr(description) }.ok()?;
    let begin = linked.end() as usize;
    let memory = tree.memory();
    let ends = memory.regions().filter_map(|region| {
        let start = region.starting_address.addr();
        let end = start.checked_add(region.size?)?;
        (start <= linked.origin as usize && begin < end).then_some(end)
    });
    let end = ends.max()?;
    let lies_there = (begin..end).contains(&description.addr());
    let end = if lies_there { description.addr() } else { end };
    // SAFETY: RAM by the machine's word, of which by the caller's word nothing uses anything.
    Some(unsafe {
        core::slice::from_raw_parts_mut(
            core::ptr::with_exposed_provenance_mut::<MaybeUninit<u8>>(begin),
            end - begin,
        )
    })
}
