//! What is linked into every firmware beside its code: the packed model, the arena, the room for a request.

/// The firmware around the model that the build script was given: a [`Firmware`](crate::semihosted::Firmware) of a
/// board, the team of its cores, and what measures its stack.
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

        /// The packed file promises its sections an alignment, relative to its own start.
        #[repr(C, align(64))]
        struct Model([u8; plan::MODEL_BYTES]);

        // A section of its own, so that the linker places the model in the memory that the board sets aside for it.
        #[allow(unsafe_code)]
        #[unsafe(link_section = ".model")]
        static MODEL: Model = Model(*plan::MODEL_FILE);

        /// The widest load of any kernel, and what the runtime asks for.
        #[repr(C, align(16))]
        struct Arena([u8; plan::ARENA_BYTES]);

        static ARENA: $crate::ConstStaticCell<Arena> =
            $crate::ConstStaticCell::new(Arena([0; plan::ARENA_BYTES]));
        static REQUEST: $crate::ConstStaticCell<[u8; plan::REQUEST_BYTES]> =
            $crate::ConstStaticCell::new([0; plan::REQUEST_BYTES]);

        $crate::semihosted::Firmware {
            board: $board.name,
            target: env!("SPRAT_TARGET"),
            model: &MODEL.0,
            context_tokens: plan::CONTEXT_TOKENS,
            arena: &mut ARENA.take().0,
            request: REQUEST.take(),
            team: $team,
            stack_reserved_bytes: plan::STACK_BYTES,
            stack_used_bytes: $stack_used_bytes,
        }
    }};
}
