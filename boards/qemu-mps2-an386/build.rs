//! The board's memory, from the packed model, and its linker scripts.
//!
//! The scripts are arguments of the package, so that building from any folder links the same.

use sprat_board_support::build_script;
use sprat_board_support::memory::QEMU_MPS2_AN386;

fn main() {
    build_script::run(&QEMU_MPS2_AN386);
    // Regions start where the script says, not where a page of an operating system would.
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}
