//! What is linked into every firmware beside its code: the packed model, the arena, the room for a request.

use sprat::Team;

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
    /// The arena, aligned to 16 bytes.
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
        struct Arena([u8; plan::ARENA_BYTES]);

        static ARENA: $crate::ConstStaticCell<Arena> =
            $crate::ConstStaticCell::new(Arena([0; plan::ARENA_BYTES]));
        static REQUEST: $crate::ConstStaticCell<[u8; plan::REQUEST_BYTES]> =
            $crate::ConstStaticCell::new([0; plan::REQUEST_BYTES]);

        $crate::Firmware {
            board: $board.name,
            target: env!("SPRAT_TARGET"),
            model: &plan::MODEL.0,
            context_tokens: plan::CONTEXT_TOKENS,
            arena: &mut ARENA.take().0,
            request: REQUEST.take(),
            team: $team,
            stack_reserved_bytes: plan::STACK_BYTES,
            stack_used_bytes: $stack_used_bytes,
        }
    }};
}
