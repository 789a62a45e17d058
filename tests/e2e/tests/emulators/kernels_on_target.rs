//! The kernels of the emulated cores: every one gives the bits of the portable kernel, and the q8 product costs no
//! more instructions than it should.
//!
//! Emulated instructions are exactly repeatable, so the bounds have no slack for noise.

use sprat_e2e::cores::{A53, A76, Core, Count, Job, M0, M4F, M7, M33, M55};

/// The q8 products that are bounded: in groups of 64, with one token.
const SHAPES: [(&str, u64); 2] = [
    ("rows 64, cols 256, group 64, tokens 1", 64 * 256),
    ("rows 128, cols 512, group 64, tokens 1", 128 * 512),
];

/// Compares the kernels, and counts q8 products, of which each may cost so many hundredths of an instruction.
fn check(test: &str, core: &Core, bound: u64) {
    if !core.can_run(test) {
        return;
    }
    let compared = core.run(Job::Battery).unwrap();
    assert_eq!(compared.kernels, core.kernels, "{}", core.name);
    assert_eq!(compared.batteries[0].0, core.kernels, "{}", core.name);
    assert!(compared.batteries.iter().all(|(_, cases)| *cases > 3000), "{:?}", compared.batteries);
    let counted = core.run(Job::Count).unwrap();
    assert_eq!(counted.kernels, core.kernels);
    for (shape, products) in SHAPES {
        let is_shape =
            |count: &&Count| count.workload.starts_with("MatmulQ8") && count.workload.contains(shape);
        let Count { units, instructions, .. } = *counted.counts.iter().find(is_shape).unwrap();
        println!("{}: {instructions} instructions for {units} products", core.name);
        assert_eq!(units, products);
        assert!(instructions * 100 <= units * bound, "{instructions} for {units} products");
        assert!(instructions * 100 > units * bound / 4, "{instructions} cannot be right");
    }
}

#[test]
fn m4f_gives_the_portable_bits_within_its_instructions() {
    check("m4f_gives_the_portable_bits_within_its_instructions", &M4F, 112);
}

#[test]
fn m7_gives_the_portable_bits_within_its_instructions() {
    check("m7_gives_the_portable_bits_within_its_instructions", &M7, 112);
}

#[test]
fn m33_gives_the_portable_bits_within_its_instructions() {
    check("m33_gives_the_portable_bits_within_its_instructions", &M33, 112);
}

#[test]
fn m55_gives_the_portable_bits_within_its_instructions() {
    check("m55_gives_the_portable_bits_within_its_instructions", &M55, 20);
}

/// No bound of its own: what is tracked is what the compiler makes of the portable kernels.
#[test]
fn m0_runs_the_portable_kernels() {
    check("m0_runs_the_portable_kernels", &M0, 1500);
}

#[test]
fn a53_gives_the_portable_bits_within_its_instructions() {
    check("a53_gives_the_portable_bits_within_its_instructions", &A53, 30);
}

#[test]
fn a76_gives_the_portable_bits_within_its_instructions() {
    check("a76_gives_the_portable_bits_within_its_instructions", &A76, 14);
}
