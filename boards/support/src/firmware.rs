//! What is linked into every firmware beside its code: the packed model, the arena, the room for a request.

#[cfg(feature = "console")]
use core::cell::RefCell;
#[cfg(all(feature = "heap", target_os = "none"))]
use core::mem::MaybeUninit;

#[cfg(all(feature = "heap", target_os = "none"))]
use sprat::EngineError;
use sprat::Team;
#[cfg(feature = "console")]
use static_cell::ConstStaticCell;

#[cfg(feature = "console")]
use crate::app::AppError;
#[cfg(feature = "console")]
use crate::console::{Counter, Serial};
#[cfg(all(feature = "heap", target_os = "none"))]
use crate::heap;
#[cfg(feature = "console")]
use crate::serve::{self, Peripherals, ServeMemory, Site};
use crate::slots::Slots;
#[cfg(all(feature = "slots", feature = "defmt", target_os = "none"))]
use crate::slots::{self, NoModel, Room, Slot};

/// What a firmware is made of.
pub struct Firmware {
    /// The board's name.
    pub board: &'static str,
    /// The target triple that it was built for.
    pub target: &'static str,
    /// The packed model, in flash.
    pub model: &'static [u8],
    /// Tokens of context that the arena was planned for.
    pub context_tokens: u32,
    /// Where models lie that are written at run time.
    pub slots: Slots,
    /// Bytes of the arena that the plan asks for.
    pub arena_bytes: usize,
    /// Bytes of the window through which a model is streamed; 0 for one that is used where it lies.
    pub window_bytes: usize,
    /// The arena, and behind it window and head of a streamed model, aligned to 16 bytes; empty where it is to lie in RAM
    /// outside of the chip.
    pub arena: &'static mut [u8],
    /// Room for a request.
    pub request: &'static mut [u8],
    /// The cores that compute together.
    pub team: &'static dyn Team,
    /// Bytes of stack that the linker reserved.
    pub stack_reserved_bytes: u32,
    /// The stack's high-water mark, in bytes.
    pub stack_used_bytes: fn() -> u32,
}

impl Firmware {
    /// Says in the log what it is made of.
    #[cfg(feature = "defmt")]
    pub fn log(&self) {
        defmt::info!(
            "{=str}: model {=usize} bytes, context {=u32} tokens, arena {=usize} bytes, stack {=u32} bytes",
            self.board,
            self.model.len(),
            self.context_tokens,
            self.arena_bytes,
            self.stack_reserved_bytes,
        );
    }

    /// The same with the newest whole model of the slots in place of the one that is linked in, which is used when there
    /// is none.
    ///
    /// # Errors
    /// There is no model.
    #[cfg(all(feature = "slots", feature = "defmt", target_os = "none"))]
    pub fn with_newest(self) -> Result<Self, NoModel> {
        let room = Room {
            context_tokens: self.context_tokens,
            arena_bytes: self.arena_bytes,
            cores: self.team.size(),
        };
        let linked = Some(self.model).filter(|model| !model.is_empty());
        let found = self.slots.boot(slots::region(), &room, linked)?;
        for (slot, error) in Slot::BOTH.iter().zip(found.refused) {
            if let Some(error) = error {
                defmt::warn!("slot {=str} is passed over: {}", slot.name(), error);
            }
        }
        match found.slot {
            Some(slot) => {
                defmt::info!("the model is number {=u32}, in slot {=str}", found.sequence, slot.name());
            }
            None => defmt::info!("the model is the one that is linked in"),
        }
        Ok(Self { model: found.model, ..self })
    }

    /// The same in RAM that is found at boot: its arena lies there, and the model behind it if there is room for a copy.
    /// For RAM that is faster than the flash in which the model lies.
    ///
    /// # Errors
    /// There is too little of it for the arena.
    #[cfg(all(feature = "heap", target_os = "none"))]
    pub fn in_ram(self, ram: &'static mut [MaybeUninit<u8>]) -> Result<Self, EngineError> {
        let have = ram.len();
        let Some(arena) = heap::arena(ram, self.arena_bytes) else {
            return Err(EngineError::ArenaTooSmall { need: self.arena_bytes, have });
        };
        let copy = heap::copy(self.model);
        #[cfg(feature = "defmt")]
        defmt::info!(
            "{=usize} bytes of RAM outside; the model is copied there: {=bool}",
            have,
            copy.is_some()
        );
        Ok(Self { arena, model: copy.unwrap_or(self.model), ..self })
    }

    /// Holds conversations until the wire is gone, which on a board it never is. `counts_per_second` is 0 where the
    /// counter counts instructions. To be called once: the memory of a conversation is there once.
    ///
    /// # Errors
    /// A model or an arena that the runtime refuses.
    #[cfg(feature = "console")]
    pub fn converse(
        self,
        counts_per_second: u64,
        device: &RefCell<impl Peripherals>,
        serial: &mut impl Serial,
        counter: &mut (impl Counter + Send),
    ) -> Result<(), AppError> {
        static MEMORY: ConstStaticCell<ServeMemory> = ConstStaticCell::new(ServeMemory::new());
        #[cfg(feature = "defmt")]
        self.log();
        let site = Site {
            board: self.board,
            model: self.model,
            context_tokens: self.context_tokens,
            team: self.team,
            counts_per_second,
            stack_used_bytes: self.stack_used_bytes,
        };
        serve::serve(&site, self.arena, MEMORY.take(), device, serial, counter)
    }
}

/// The firmware around the model that the build script was given: a [`Firmware`](crate::Firmware) of a board, the team of
/// its cores, and what measures its stack.
///
/// The model lies in its own section and is used there; the arena is one static whose size the build script took from
/// the model's plan. To be called once: it takes both.
#[macro_export]
macro_rules! firmware {
    ($board:expr, $team:expr, $stack_used_bytes:expr $(,)?) => {{
        /// What the build script took from the packed model.
        mod plan {
            include!(concat!(env!("OUT_DIR"), "/model.rs"));
        }

        /// The widest load of any kernel, and what the runtime asks for.
        #[repr(C, align(16))]
        struct Arena([u8; plan::STATIC_ARENA_BYTES]);

        static ARENA: $crate::ConstStaticCell<Arena> =
            $crate::ConstStaticCell::new(Arena([0; plan::STATIC_ARENA_BYTES]));
        static REQUEST: $crate::ConstStaticCell<[u8; plan::REQUEST_BYTES]> =
            $crate::ConstStaticCell::new([0; plan::REQUEST_BYTES]);

        $crate::Firmware {
            board: $board.name,
            target: env!("SPRAT_TARGET"),
            model: &plan::MODEL.0,
            context_tokens: plan::CONTEXT_TOKENS,
            slots: const { $board.slots() },
            arena_bytes: plan::ARENA_BYTES,
            window_bytes: plan::WINDOW_BYTES,
            arena: &mut ARENA.take().0,
            request: REQUEST.take(),
            team: $team,
            stack_reserved_bytes: plan::STACK_BYTES,
            stack_used_bytes: $stack_used_bytes,
        }
    }};
}
