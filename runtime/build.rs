//! Names the instruction set of a microcontroller build, once, for the one file that chooses kernels.
//!
//! Stable rustc shows no `target_feature` for Thumb targets, so the set follows from the target and, where one
//! target serves several cores, from `-C target-cpu`; `SPRAT_ISA` overrides both, on Thumb targets.

use std::env;

const KNOWN: [&str; 3] = ["portable", "dsp", "mve"];

fn main() {
    println!("cargo::rerun-if-env-changed=SPRAT_ISA");
    println!("cargo::rustc-check-cfg=cfg(sprat_isa, values(\"dsp\", \"mve\"))");
    let target = env::var("TARGET").unwrap_or_default();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // A board's build script runs the runtime on the host, which chooses when it runs.
    let wanted = env::var("SPRAT_ISA").ok().filter(|_| target.starts_with("thumb"));
    let isa = wanted.unwrap_or_else(|| default_isa(&target, &flags).to_owned());
    if !KNOWN.contains(&isa.as_str()) {
        panic!("SPRAT_ISA is {isa:?}, expected one of {KNOWN:?}");
    }
    if isa != "portable" {
        println!("cargo::rustc-cfg=sprat_isa=\"{isa}\"");
    }
    // Functions of nothing but assembly know nothing of the compiler's target.
    let core = if target.starts_with("thumbv8m") { "cortex-m33" } else { "cortex-m4" };
    println!("cargo::rustc-env=SPRAT_ASSEMBLER=.cpu {core}; .fpu fpv4-sp-d16");
}

fn default_isa(target: &str, flags: &str) -> &'static str {
    let cpu = |name: &str| flags.split('\x1f').any(|flag| flag.ends_with(&format!("target-cpu={name}")));
    if cpu("cortex-m55") || cpu("cortex-m85") {
        "mve"
    } else if target.starts_with("thumbv7em") || cpu("cortex-m33") {
        "dsp"
    } else {
        "portable"
    }
}
