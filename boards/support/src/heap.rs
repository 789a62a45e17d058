//! A global allocator for boards that learn at boot how much RAM they have, such as external PSRAM.
//!
//! The runtime never allocates; it takes one arena from whoever has it. On most boards that is a static. Where
//! its size is not known when linking, it is the first allocation from this heap, and a copy of the model the second. This is the only place of
//! the workspace that has an allocator, and a firmware that does not ask for the feature has none.

extern crate alloc;

use core::alloc::Layout;
use core::mem::MaybeUninit;

use embedded_alloc::TlsfHeap;

/// Alignment of the arena that the runtime asks for.
const ARENA_ALIGNMENT: usize = 16;
/// Alignment that a packed file promises its sections.
const MODEL_ALIGNMENT: usize = 64;

#[global_allocator]
static HEAP: TlsfHeap = TlsfHeap::empty();

/// Gives `region` to the allocator and takes the arena from it, zeroed and aligned for the runtime; `None`
/// when the region, less the allocator's own bookkeeping, has no `arena_bytes`.
///
/// # Panics
/// When called twice: the allocator takes one region.
pub fn arena(region: &'static mut [MaybeUninit<u8>], arena_bytes: usize) -> Option<&'static mut [u8]> {
    let layout = Layout::from_size_align(arena_bytes, ARENA_ALIGNMENT).ok()?;
    if arena_bytes == 0 || region.is_empty() {
        return None;
    }
    // SAFETY: the region is exclusively borrowed for the rest of the program, not empty, and the allocator
    // itself refuses a second one.
    unsafe { HEAP.init(region.as_mut_ptr().expose_provenance(), region.len()) };
    // SAFETY: the layout has a size.
    let start = unsafe { alloc::alloc::alloc_zeroed(layout) };
    if start.is_null() {
        return None;
    }
    // SAFETY: a fresh allocation of that many zeroed bytes, never freed.
    Some(unsafe { core::slice::from_raw_parts_mut(start, arena_bytes) })
}

/// A copy of a packed model, aligned as it has to be, from what [`arena`] has left; `None` when that is too little.
pub fn copy(model: &[u8]) -> Option<&'static [u8]> {
    let layout =
        Layout::from_size_align(model.len(), MODEL_ALIGNMENT).ok().filter(|layout| layout.size() > 0)?;
    // SAFETY: the layout has a size.
    let start = unsafe { alloc::alloc::alloc(layout) };
    if start.is_null() {
        return None;
    }
    // SAFETY: a fresh allocation of as many bytes, which are written before they are read, never freed.
    unsafe {
        start.copy_from_nonoverlapping(model.as_ptr(), model.len());
        Some(core::slice::from_raw_parts(start, model.len()))
    }
}
