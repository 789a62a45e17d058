//! The memory of the emulated machine that the firmware is for, named by `SPRAT_MACHINE`.

use std::path::PathBuf;
use std::{env, fs};

/// Machine, start and kilobytes of code, start and kilobytes of RAM, nanoseconds of a SysTick tick, times 100.
const MACHINES: [(&str, u32, u32, u32, u32, u32); 4] = [
    ("mps2-an386", 0, 4096, 0x2000_0000, 4096, 4000),
    ("mps2-an500", 0, 4096, 0x2000_0000, 4096, 4000),
    ("mps2-an505", 0x1000_0000, 4096, 0x3800_0000, 4096, 5000),
    ("mps3-an547", 0, 512, 0x2000_0000, 512, 3125),
];

fn main() {
    println!("cargo::rerun-if-env-changed=SPRAT_MACHINE");
    let wanted = env::var("SPRAT_MACHINE").unwrap_or_else(|_| MACHINES[0].0.to_owned());
    let Some((name, flash, flash_kb, ram, ram_kb, tick)) =
        MACHINES.into_iter().find(|machine| machine.0 == wanted)
    else {
        panic!("SPRAT_MACHINE is {wanted:?}, expected one of {:?}", MACHINES.map(|machine| machine.0));
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    let script = format!(
        "MEMORY {{\n  FLASH : ORIGIN = {flash:#x}, LENGTH = {flash_kb}K\n  RAM : ORIGIN = {ram:#x}, LENGTH = {ram_kb}K\n}}\n"
    );
    fs::write(out.join("memory.x"), script).expect("the build folder can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-env=SPRAT_MACHINE={name}");
    println!("cargo::rustc-env=SPRAT_TICK={tick}");
}
