//! Boards that a plan can be made for, and how fast they compute.
//!
//! Their memory is [`sprat_board_support::memory`]'s, from which the build script and the linker work too, so
//! that what is planned here is what is built there.

use sprat_board_support::memory;

/// A board as the planner sees it.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name, flash and RAM.
    pub memory: memory::Board,
    /// Processor core.
    pub core: &'static str,
    /// Instructions a second, at one instruction a cycle.
    pub clock_hz: u64,
    /// Instructions for one product of a q8 matrix, with everything that a token costs besides attention.
    pub weight_instructions: f64,
    /// Instructions for one product of attention with a q8 cache.
    pub attention_instructions: f64,
}

/// What the DSP kernels take on the emulated Cortex-M4F. `sprat emulate` of the default model, told to write a story,
/// with `--max-tokens 16` and 110: 1,103,285 and 1,206,954 instructions for each token fed, at mean positions of 15 and
/// 62. Other cores with the DSP extension run the same instructions, some of them two at a time, some waiting for flash.
const DSP_INSTRUCTIONS: [f64; 2] = [1.23, 1.72];

const fn board(memory: memory::Board, core: &'static str, clock_mhz: u64) -> Board {
    let clock_hz = clock_mhz * 1_000_000;
    let [weight_instructions, attention_instructions] = DSP_INSTRUCTIONS;
    Board { memory, core, clock_hz, weight_instructions, attention_instructions }
}

/// Every board.
pub const BOARDS: &[Board] = &[
    board(memory::QEMU_MPS2_AN386, "Cortex-M4F (emulated)", 25),
    board(memory::NRF52840, "Cortex-M4F", 64),
    board(memory::RP2350, "Cortex-M33", 150),
    board(memory::STM32H743, "Cortex-M7", 480),
];

impl Board {
    /// The board of a name.
    ///
    /// # Errors
    /// No such board, with those that there are.
    pub fn by_name(name: &str) -> anyhow::Result<&'static Self> {
        BOARDS.iter().find(|board| board.memory.name == name).ok_or_else(|| {
            let all: Vec<_> = BOARDS.iter().map(|board| board.memory.name).collect();
            anyhow::anyhow!("there is no board {name:?}; known boards: {}", all.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_can_be_planned_for() {
        assert!(memory::BOARDS.iter().all(|board| Board::by_name(board.name).is_ok()));
    }
}
