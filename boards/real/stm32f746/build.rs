//! The board's memory, from the packed model, and its linker scripts.

use sprat_board_support::build_script::run;
use sprat_board_support::memory::{STM32F746, STM32F746_QSPI};

fn main() {
    run(if cfg!(feature = "qspi") { &STM32F746_QSPI } else { &STM32F746 });
}
