//! AArch64: NEON (every core: A53, A72), and the dot products of A55, A75, A76 and later, chosen at run time.
//!
//! Most kernels are the portable ones, whose lanes a compiler turns into two vectors of four floats. What it does
//! not find are products of bytes and the conversion of half floats: those are written out here.
//!
//! Some targets are built with strict alignment, where a vector load from anywhere becomes a load for each byte. So
//! bytes are read as whole vectors at multiples of their size; where the data does not lie so, the portable kernel
//! computes. Packed files and the arena are laid out for it.
#![allow(unsafe_code)]

use core::arch::aarch64::float32x4_t;
use core::arch::asm;

use super::{Attention, AttentionWork, Kernels, Prepared, Q8, portable};
use crate::team::Tile;

mod attention;
mod blocks;
mod halves;
mod products;

use products::{DotProd, Neon};

/// The table for NEON, which every AArch64 core with floating point has.
pub(super) fn neon() -> Option<&'static Kernels> {
    Some(&NEON)
}

/// The table for the dot product instructions: optional from Armv8.2 on, always there from Armv8.4 on.
///
/// Without an operating system, at EL1 or higher, the core itself is asked.
pub(super) fn dotprod(bare_metal: bool) -> Option<&'static Kernels> {
    let present = if bare_metal { id_register_has_dot_products() } else { detected() };
    present.then_some(&DOTPROD)
}

#[cfg(any(test, feature = "std"))]
fn detected() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

#[cfg(not(any(test, feature = "std")))]
fn detected() -> bool {
    cfg!(target_feature = "dotprod")
}

/// Field DP of ID_AA64ISAR0_EL1 (Arm Architecture Reference Manual, D19.2.61).
fn id_register_has_dot_products() -> bool {
    let features: u64;
    // SAFETY: reading the register has no effect; it can be read at EL1 and above, where code without an operating
    // system runs.
    unsafe {
        asm!("mrs {}, ID_AA64ISAR0_EL1", out(reg) features, options(pure, nomem, nostack, preserves_flags))
    };
    features >> 44 & 0xf != 0
}

/// A vector at any place that may hold a float.
#[repr(C, packed(4))]
struct Loose(float32x4_t);

/// Four floats as a vector. The intrinsic that loads one from anywhere loads bytes where alignment is strict; floats
/// are known to be aligned to themselves.
#[inline(always)]
fn vector(floats: &[f32; 4]) -> float32x4_t {
    // SAFETY: both are four floats, and both need the alignment of one.
    unsafe { (&raw const *floats).cast::<Loose>().read().0 }
}

/// A vector as four floats.
#[inline(always)]
fn floats(vector: float32x4_t) -> [f32; 4] {
    // SAFETY: both are four floats.
    unsafe { core::mem::transmute(vector) }
}

static NEON: Kernels = Kernels {
    name: "neon",
    matmul_q8,
    matmul_f16: halves::matmul_f16,
    attend_q8,
    score_f16: halves::score_f16,
    mix_f16: halves::mix_f16,
    ..portable::KERNELS
};

static DOTPROD: Kernels =
    Kernels { name: "dotprod", matmul_q8: matmul_q8_dotprod, attend_q8: attend_q8_dotprod, ..NEON };

/// Apart, so that what it needs of the stack is not prepared for every call.
#[cold]
#[inline(never)]
fn portable_matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    portable::matmul_q8(matrix, input, out);
}

fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    // SAFETY: every AArch64 core that this table is for has NEON.
    if !unsafe { blocks::matmul_q8::<Neon>(matrix, input, out) } {
        portable_matmul_q8(matrix, input, out);
    }
}

fn matmul_q8_dotprod(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    #[target_feature(enable = "dotprod")]
    fn compiled(matrix: &Q8, input: &Prepared, out: &mut Tile) -> bool {
        // SAFETY: the instructions are among those of this function.
        unsafe { blocks::matmul_q8::<DotProd>(matrix, input, out) }
    }
    // SAFETY: the table with this function is handed out only where the instructions were found.
    if !unsafe { compiled(matrix, input, out) } {
        portable_matmul_q8(matrix, input, out);
    }
}

fn attend_q8(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    // SAFETY: every AArch64 core that these tables are for has NEON.
    unsafe { attention::attend_q8::<Neon>(attention, work, out) };
}

fn attend_q8_dotprod(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
    #[target_feature(enable = "dotprod")]
    fn compiled(attention: &Attention, work: &mut AttentionWork, out: &mut [f32]) {
        // SAFETY: the instructions are among those of this function.
        unsafe { attention::attend_q8::<DotProd>(attention, work, out) };
    }
    // SAFETY: the table with this function is handed out only where the instructions were found.
    unsafe { compiled(attention, work, out) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Implementer and part of MIDR_EL1, whose reading Linux emulates for programs: Arm's cores, and the table that
    /// each must get.
    const CORES: [(u64, &str); 12] = [
        (0xd03, "neon"),    // Cortex-A53
        (0xd04, "neon"),    // Cortex-A35
        (0xd07, "neon"),    // Cortex-A57
        (0xd08, "neon"),    // Cortex-A72
        (0xd09, "neon"),    // Cortex-A73
        (0xd05, "dotprod"), // Cortex-A55
        (0xd0a, "dotprod"), // Cortex-A75
        (0xd0b, "dotprod"), // Cortex-A76
        (0xd0c, "dotprod"), // Neoverse N1
        (0xd0d, "dotprod"), // Cortex-A77
        (0xd41, "dotprod"), // Cortex-A78
        (0xd49, "dotprod"), // Neoverse N2
    ];

    #[test]
    fn each_core_gets_its_table() {
        if std::env::consts::OS != "linux" {
            std::println!("SKIP each_core_gets_its_table: only Linux tells a program what core it runs on");
            return;
        }
        let id: u64;
        // SAFETY: reading the register has no effect.
        unsafe { asm!("mrs {}, MIDR_EL1", out(reg) id, options(pure, nomem, nostack, preserves_flags)) };
        let (implementer, part) = (id >> 24 & 0xff, id >> 4 & 0xfff);
        let found = Kernels::detect().name();
        std::println!("implementer {implementer:#x} part {part:#x}: {found}");
        match CORES.iter().find(|core| implementer == 0x41 && core.0 == part) {
            Some((_, expected)) => assert_eq!(found, *expected, "part {part:#x}"),
            None => std::println!("SKIP each_core_gets_its_table: core {id:#x} is not in the list"),
        }
        assert!(Kernels::by_name("neon").is_some());
        // Linux lets a program read this register too, so both ways to ask can be compared.
        assert_eq!(detected(), id_register_has_dot_products());
    }
}
