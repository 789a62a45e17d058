//! The board's memory, from the packed model, and its linker scripts.

fn main() {
    sprat_board_support::build_script::run(&sprat_board_support::memory::RASPBERRY_PI_BARE);
}
