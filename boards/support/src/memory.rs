//! Which boards have firmware, what memory each has, and whether a model fits.
//!
//! The board's linker script is generated from these numbers and the host tools' plan is computed from them,
//! so the plan that a person reads is the one that the linker enforces.

use core::fmt;

use sprat::format::{Config, Limits};
use sprat::{Plan, PlanError};

use crate::protocol::REQUEST_OVERHEAD_BYTES;
use crate::slots::Slots;

mod boards;
mod real;

pub use boards::*;
pub use real::*;

/// A stretch of a board's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub origin: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Region {
    /// The first address behind it.
    pub const fn end(&self) -> u64 {
        self.origin + self.bytes
    }

    /// Whether an address lies in it.
    pub const fn contains(&self, address: u64) -> bool {
        self.origin <= address && address < self.end()
    }
}

/// A board, as far as memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its name, which begins the name of every firmware for it. It is its package's name, with a dash and `feature`
    /// behind it where there is one.
    pub name: &'static str,
    /// The feature with which its package builds for it; else empty.
    pub feature: &'static str,
    /// The target triple.
    pub target: &'static str,
    /// The core as the compiler calls it, where the target stands for several; else empty.
    pub cpu: &'static str,
    /// Cargo's profile: another one where the compiler has vectors to use.
    pub profile: &'static str,
    /// Cores that compute a token together.
    pub cores: u32,
    /// Flash for code and constants.
    pub firmware: Region,
    /// Flash for the packed model, or with the feature `slots` for two of them.
    pub model: Region,
    /// Bytes of it that are erased at a time.
    pub model_erase_bytes: u32,
    /// RAM for arena and the firmware's own statics, and for the stack unless that has memory of its own.
    pub ram: Region,
    /// Memory of its own for the stack, which then lies at the lower end of it: RAM that is closer to the core.
    pub stack: Option<Region>,
    /// RAM outside of the chip, which the firmware switches on: for the arena, and for a copy of the model where there is
    /// room for one.
    pub external_ram: Option<Region>,
    /// What the chip needs in a linker script to boot; else empty.
    pub boot_script: &'static str,
    /// The linker script of a hardware abstraction layer that lays out memory itself; else empty. The model is then one
    /// of its constants, and the stack is what the variables leave of the RAM.
    pub hal_script: &'static str,
    /// Other addresses at which the core sees what was in the flash: code, where that has a window of its own.
    pub windows: &'static [Region],
    /// RAM that the firmware's own statics may take, beside the buffer for the request. The linker checks it.
    pub statics_bytes: u64,
    /// Stack that the firmware needs above what the runtime does: its own frames, and the fault handler's.
    pub stack_bytes: u64,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Stack that questions with tools take besides: the tools, and the frames of a session.
pub const ASK_STACK_BYTES: u64 = 4 * KIB;
/// Statics that they take besides: the memory of a session.
pub const ASK_STATICS_BYTES: u64 = KIB;

/// Stack that conversations take beside that: the wire, and the chains that vote.
pub const CONSOLE_STACK_BYTES: u64 = 4 * KIB;
/// Statics that they take besides: the wire's buffers and the memory of a conversation.
pub const CONSOLE_STATICS_BYTES: u64 = 10 * KIB;

/// Stack that a streamed model takes besides: its opening, and the reading between rows.
pub const STREAM_STACK_BYTES: u64 = 2 * KIB;

/// Statics of an allocator: a list for every class of sizes.
pub const HEAP_STATICS_BYTES: u64 = 5 * KIB;
/// What an allocator takes of the RAM that it is given, at most.
pub const HEAP_BYTES: u64 = 4 * KIB;

/// The packed model that a firmware is built around unless another is named, relative to the workspace.
pub const DEFAULT_MODEL: &str = "models/assistant/assistant-q8.sprat";

/// What the linker calls the packed model in a firmware.
pub const MODEL_SYMBOL: &str = "sprat_model";

/// Text that a prompt may have for each token of the context unless it is set, in bytes.
pub const PROMPT_BYTES_A_TOKEN: u32 = 4;

/// The same limits for another context: the text of a prompt grows and shrinks with it, unless it was set.
pub fn limits_for_context(limits: &Limits, context: u32) -> Limits {
    let follows = limits.prompt_bytes == limits.context.saturating_mul(PROMPT_BYTES_A_TOKEN);
    let prompt_bytes =
        if follows { context.saturating_mul(PROMPT_BYTES_A_TOKEN) } else { limits.prompt_bytes };
    Limits { context, prompt_bytes, ..*limits }
}

impl Board {
    /// Where models lie that are exchanged, counted from the beginning of the memory for them.
    pub const fn slots(&self) -> Slots {
        Slots::within(0, self.model.bytes as u32, self.model_erase_bytes)
    }

    /// The board called `name`, or whose firmware `name` is: a board's name may be followed by a dash and more.
    pub fn find(name: &str) -> Option<&'static Self> {
        let is_named = |board: &&Self| {
            name.strip_prefix(board.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        BOARDS.iter().filter(is_named).max_by_key(|board| board.name.len())
    }

    /// Where every byte of RAM goes for a model that fits this board.
    ///
    /// # Errors
    /// What does not fit, with the bytes needed and present, and the largest context that would.
    pub fn fit(&self, model_bytes: u64, config: &Config, limits: &Limits) -> Result<Fit, Misfit> {
        if model_bytes > self.model.bytes {
            return Err(Misfit::Flash { need: model_bytes, have: self.model.bytes });
        }
        let fit = self.ram_use(config, limits).map_err(Misfit::Plan)?;
        if !self.holds(&fit) {
            let arena = fit.arena_bytes + HEAP_BYTES;
            let in_chip = self.ram.bytes + self.stack.map_or(0, |own| own.bytes.min(fit.stack_bytes));
            let (need, have) = match self.external_ram {
                Some(ram) if arena > ram.bytes => (arena, ram.bytes),
                _ => (fit.stack_bytes + self.variables_bytes(&fit), in_chip),
            };
            let largest_context = self.largest_context(config, limits);
            return Err(Misfit::Ram { context: limits.context, need, have, largest_context });
        }
        Ok(fit)
    }

    /// The largest context that fits the RAM; `None` when not even one token does. Never more than the positions
    /// that the model was trained for.
    pub fn largest_context(&self, config: &Config, limits: &Limits) -> Option<u32> {
        let fits = |context| {
            self.ram_use(config, &limits_for_context(limits, context)).is_ok_and(|fit| self.holds(&fit))
        };
        // RAM use grows with the context, so the last one that fits is found by halving.
        let (mut fitting, mut failing) = (0, config.max_positions.saturating_add(1));
        while failing - fitting > 1 {
            let middle = fitting + (failing - fitting) / 2;
            if fits(middle) { fitting = middle } else { failing = middle }
        }
        (fitting > 0).then_some(fitting)
    }

    /// Whether there is as much RAM, in the places where it is used.
    fn holds(&self, fit: &Fit) -> bool {
        let (stack, has_stack) = match self.stack {
            Some(own) => (0, fit.stack_bytes <= own.bytes),
            None => (fit.stack_bytes, true),
        };
        let has_arena = self.external_ram.is_none_or(|ram| fit.arena_bytes + HEAP_BYTES <= ram.bytes);
        has_stack && has_arena && stack + self.variables_bytes(fit) <= self.ram.bytes
    }

    /// Bytes of [`ram`](Self::ram) for everything but the stack.
    pub fn variables_bytes(&self, fit: &Fit) -> u64 {
        let variables = fit.request_bytes + fit.statics_bytes;
        if self.external_ram.is_some() { variables } else { fit.arena_bytes + variables }
    }

    /// The name of its package.
    pub fn package(&self) -> &'static str {
        let name = self.name.strip_suffix(self.feature).filter(|_| !self.feature.is_empty());
        name.and_then(|name| name.strip_suffix('-')).unwrap_or(self.name)
    }

    /// Where every byte of RAM goes, whether there is as much or not.
    ///
    /// # Errors
    /// Limits that the runtime cannot plan for.
    pub fn ram_use(&self, config: &Config, limits: &Limits) -> Result<Fit, PlanError> {
        Ok(Fit::new(
            Plan::for_team(config, limits, self.cores as usize)?,
            limits,
            self.stack_bytes,
            self.statics_bytes,
        ))
    }
}

/// Where the RAM of a board goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The runtime's plan.
    pub plan: Plan,
    /// The one arena: KV cache, scratch, logits.
    pub arena_bytes: u64,
    /// The stack, the runtime's and the firmware's.
    pub stack_bytes: u64,
    /// The buffer for one request.
    pub request_bytes: u64,
    /// Everything else that the firmware keeps.
    pub statics_bytes: u64,
}

impl Fit {
    /// A plan with what a firmware adds to it: its own stack and statics.
    pub fn new(plan: Plan, limits: &Limits, stack_bytes: u64, statics_bytes: u64) -> Self {
        Self {
            plan,
            arena_bytes: plan.arena_bytes as u64,
            stack_bytes: (plan.stack_bytes as u64 + stack_bytes).next_multiple_of(8),
            request_bytes: u64::from(limits.prompt_bytes) + REQUEST_OVERHEAD_BYTES as u64,
            statics_bytes,
        }
    }

    /// All of it.
    pub const fn ram_bytes(&self) -> u64 {
        self.arena_bytes + self.stack_bytes + self.request_bytes + self.statics_bytes
    }
}

/// Why a model does not fit a board.
#[derive(Clone, Copy, Debug)]
pub enum Misfit {
    /// The packed file is larger than the flash for it.
    Flash {
        /// Bytes of the packed file.
        need: u64,
        /// Bytes of flash.
        have: u64,
    },
    /// Arena, stack and statics are more than the RAM.
    Ram {
        /// The context asked for, in tokens.
        context: u32,
        /// Bytes needed.
        need: u64,
        /// Bytes of RAM.
        have: u64,
        /// The largest context that fits.
        largest_context: Option<u32>,
    },
    /// The limits are none that the runtime can plan for.
    Plan(PlanError),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Flash { need, have } => write!(
                f,
                "the model does not fit the flash: {need} bytes needed, {have} available, {} missing; \
                 take a smaller model or pack it with smaller weights",
                need.saturating_sub(have)
            ),
            Self::Ram { context, need, have, largest_context } => {
                let missing = need.saturating_sub(have);
                write!(
                    f,
                    "a context of {context} tokens does not fit the RAM: {need} bytes needed, \
                     {have} available, {missing} missing; "
                )?;
                match largest_context {
                    Some(largest) => write!(f, "the largest context that fits is {largest}"),
                    None => write!(f, "no context fits, take a smaller model"),
                }
            }
            Self::Plan(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Misfit {}

#[cfg(test)]
mod tests {
    use sprat::format::{Activation, FeedForward, KvType, Norm, Pairing, Position};

    use super::*;
    use crate::slots::Slot;

    extern crate std;
    use std::vec::Vec;

    const CONFIG: Config = Config {
        vocab_size: 1024,
        hidden_size: 128,
        // So many that the longest context does not fit the largest board.
        layers: 8,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        ffn_size: 256,
        max_positions: 1 << 20,
        norm: Norm::RmsNorm,
        norm_eps: 1e-5,
        position: Position::Rotary { dims: 32, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(Activation::Silu),
        group: 32,
        ..Config::PLAIN
    };

    fn every_board() -> impl Iterator<Item = &'static Board> {
        BOARDS.iter().chain(REAL_BOARDS)
    }

    const LIMITS: Limits =
        Limits { context: 256, prefill_chunk: 8, prompt_bytes: 1024, kv: KvType::Q8, logits_rows: 0 };

    #[test]
    fn boards_are_found_by_the_beginning_of_a_name() {
        assert_eq!(Board::find("qemu-mps2-an386"), Some(&QEMU_MPS2_AN386));
        assert_eq!(Board::find("qemu-mps2-an386-drill"), Some(&QEMU_MPS2_AN386));
        assert_eq!(Board::find("qemu-mps2-an3860"), None);
        assert_eq!(Board::find(""), None);
    }

    #[test]
    fn packages_are_named_without_their_feature() {
        assert_eq!(STM32F746.package(), "stm32f746");
        assert_eq!(STM32F746_QSPI.package(), "stm32f746");
        assert_eq!(ESP32_C3.package(), "esp32-c3");
    }

    #[test]
    fn regions_are_aligned_and_apart() {
        for board in every_board() {
            let regions: Vec<_> = [board.firmware, board.model, board.ram]
                .into_iter()
                .chain(board.stack)
                .chain(board.external_ram)
                .collect();
            for (i, one) in regions.iter().enumerate() {
                let others = regions.iter().skip(i + 1);
                let apart = |other: &Region| one.end() <= other.origin || other.end() <= one.origin;
                assert!(others.into_iter().all(apart), "{}", board.name);
            }
            assert!(board.model.origin.is_multiple_of(64), "{}", board.name);
            let slots = board.slots();
            let erased = [board.model.origin as u32, slots.start(Slot::B), slots.slot_bytes];
            assert!(
                erased.iter().all(|bytes| bytes.is_multiple_of(board.model_erase_bytes)),
                "{}",
                board.name
            );
            assert!(2 * u64::from(slots.slot_bytes) <= board.model.bytes, "{}", board.name);
            // The guard below the stack is 64 KiB.
            let stack = board.stack.unwrap_or(board.ram);
            assert!(stack.origin.is_multiple_of(0x1_0000), "{}", board.name);
        }
    }

    #[test]
    fn the_largest_context_fits_and_one_more_does_not() {
        for board in every_board() {
            let largest = board.largest_context(&CONFIG, &LIMITS).unwrap();
            let fit = |context| board.fit(1000, &CONFIG, &limits_for_context(&LIMITS, context));
            let largest_fit = fit(largest).unwrap();
            let stack = if board.stack.is_some() { 0 } else { largest_fit.stack_bytes };
            assert!(stack + board.variables_bytes(&largest_fit) <= board.ram.bytes);
            let external = board.external_ram.map_or(u64::MAX, |ram| ram.bytes);
            assert!(largest_fit.arena_bytes <= external, "{}", board.name);
            match fit(largest + 1) {
                Err(Misfit::Ram { context, need, have, largest_context }) => {
                    assert_eq!((context, largest_context), (largest + 1, Some(largest)));
                    assert!(need > have);
                }
                other => panic!("{}: {other:?}", board.name),
            }
        }
    }

    #[test]
    fn a_model_larger_than_the_flash_is_refused_with_the_bytes() {
        let have = QEMU_MPS2_AN386.model.bytes;
        let error = QEMU_MPS2_AN386.fit(have + 10, &CONFIG, &LIMITS).unwrap_err();
        assert!(matches!(error, Misfit::Flash { need, .. } if need == have + 10), "{error:?}");
    }
}
