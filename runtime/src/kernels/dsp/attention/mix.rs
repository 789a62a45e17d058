//! Values of one head, or of two that share them, summed by weight.

use core::arch::naked_asm;

use sprat_format::WORD;

use crate::kernels::{PAIR, Q8Heads};

/// Adds the values, each times its head's weight, times `unit`, to `out`, head by head.
pub(super) fn mix(weights: &[i32], values: &Q8Heads, unit: f32, heads: usize, out: &mut [f32]) {
    let stride = values.stride;
    let head_dim = out.len() / heads;
    let pairs = weights.len() / (2 * heads);
    for col in (0..head_dim).step_by(WORD) {
        let columns = &values.values[col..];
        let mut mixing = Mixing {
            weights: weights.as_ptr(),
            values: columns.as_ptr(),
            stride,
            pairs,
            out: [out.as_mut_ptr(); 2],
            unit,
        };
        let width = WORD.min(head_dim - col);
        let mut words = [[0.0; WORD]; PAIR];
        if width == WORD {
            for (pointer, out) in mixing.out.iter_mut().zip(out.chunks_exact_mut(head_dim)) {
                *pointer = out[col..].as_mut_ptr();
            }
        } else {
            mixing.out = words.each_mut().map(|word| word.as_mut_ptr());
        }
        // SAFETY: every position has a whole word from `col` on, aligned, as the stride is a multiple of words; there
        // is at least one pair of positions, and of weights of each head. Each head has four places for outputs.
        unsafe {
            match (heads, stride) {
                (1, _) => mix_one(&mixing),
                (_, 8) => mix_two::<8>(&mixing),
                (_, 16) => mix_two::<16>(&mixing),
                (_, 32) => mix_two::<32>(&mixing),
                (_, 64) => mix_two::<64>(&mixing),
                _ => mix_halves(&mixing),
            }
        }
        if width < WORD {
            for (word, out) in words.iter().zip(out.chunks_exact_mut(head_dim)) {
                out[col..].iter_mut().zip(word).for_each(|(out, mixed)| *out += mixed);
            }
        }
    }
}

/// What the loops over values read; they know the places of the fields.
#[repr(C)]
struct Mixing {
    /// For every two positions, a word for each head and as many words that do not count.
    weights: *const i32,
    /// A word at every multiple of `stride` bytes.
    values: *const i8,
    stride: usize,
    pairs: usize,
    /// Four places for each head.
    out: [*mut f32; PAIR],
    unit: f32,
}

/// Adds four sums times the unit in `s4` to the four outputs at a pointer.
macro_rules! add_mixed {
    ($out:literal, $s0:literal, $s1:literal, $s2:literal, $s3:literal) => {
        concat!(
            "vmov s8, s9, ",
            $s0,
            ", ",
            $s1,
            "
            vmov s10, s11, ",
            $s2,
            ", ",
            $s3,
            "
            vldmia ",
            $out,
            ", {{s12-s15}}
            vcvt.f32.s32 s8, s8
            vcvt.f32.s32 s9, s9
            vcvt.f32.s32 s10, s10
            vcvt.f32.s32 s11, s11
            vmla.f32 s12, s8, s4
            vmla.f32 s13, s9, s4
            vmla.f32 s14, s10, s4
            vmla.f32 s15, s11, s4
            vstmia ",
            $out,
            ", {{s12-s15}}
            "
        )
    };
}

/// Four components of one head.
///
/// # Safety
/// The fields are as they say; there is at least one pair.
#[unsafe(naked)]
unsafe extern "C" fn mix_one(_: &Mixing) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        ldr lr, [r0, #16]
        vldr s4, [r0, #24]
        ldm r0, {{r0-r3}}
        movs r4, #0
        movs r5, #0
        movs r6, #0
        movs r7, #0
        2:
        ldr r8, [r1]
        ldr r9, [r1, r2]
        ldr r12, [r0], #8
        add r1, r1, r2, lsl #1
        pkhbt r10, r8, r9, lsl #16
        pkhtb r11, r9, r8, asr #16
        sxtb16 r8, r10
        sxtb16 r9, r10, ror #8
        smlad r4, r8, r12, r4
        smlad r5, r9, r12, r5
        sxtb16 r8, r11
        sxtb16 r9, r11, ror #8
        smlad r6, r8, r12, r6
        smlad r7, r9, r12, r7
        subs r3, #1
        bne 2b",
        add_mixed!("lr", "r4", "r5", "r6", "r7"),
        "pop {{r4-r11, pc}}",
    )
}

/// Two positions' words, at `r1` and STRIDE behind it, times the weights of two heads in `r2` and `r3`.
macro_rules! mix_pair {
    ($first:literal, $second:literal) => {
        concat!(
            "ldrd r2, r3, [r0], #16
            ldr r12, [r1, #",
            $first,
            "]
            ldr lr, [r1, #",
            $second,
            "]
            pkhbt r12, r12, lr, lsl #16
            sxtb16 lr, r12
            sxtb16 r12, r12, ror #8
            smlad r4, lr, r2, r4
            smlad r8, lr, r3, r8
            smlad r5, r12, r2, r5
            smlad r9, r12, r3, r9
            ldr r12, [r1, #",
            $first,
            "]
            ldr lr, [r1, #",
            $second,
            "]
            pkhtb r12, lr, r12, asr #16
            sxtb16 lr, r12
            sxtb16 r12, r12, ror #8
            smlad r6, lr, r2, r6
            smlad r10, lr, r3, r10
            smlad r7, r12, r2, r7
            smlad r11, r12, r3, r11
            "
        )
    };
}

/// Four components of each of two heads.
///
/// # Safety
/// The fields are as they say, the stride is STRIDE; there is at least one pair.
#[unsafe(naked)]
unsafe extern "C" fn mix_two<const STRIDE: usize>(_: &Mixing) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        ldrd r2, r3, [r0, #16]
        vmov s2, s3, r2, r3
        vldr s4, [r0, #24]
        ldr r12, [r0, #12]
        ldrd r0, r1, [r0]
        movs r4, #0
        movs r5, #0
        movs r6, #0
        movs r7, #0
        mov r8, r4
        mov r9, r4
        mov r10, r4
        mov r11, r4
        lsrs r2, r12, #1
        vmov s1, r2
        bcc 3f",
        mix_pair!("0", "{stride}"),
        "add r1, #2 * {stride}
        3:
        vmov r2, s1
        cmp r2, #0
        beq 4f
        2:",
        mix_pair!("0", "{stride}"),
        mix_pair!("2 * {stride}", "3 * {stride}"),
        "vmov r2, s1
        add r1, #4 * {stride}
        subs r2, #1
        vmov s1, r2
        bne 2b
        4:
        vmov r2, r3, s2, s3",
        add_mixed!("r2", "r4", "r5", "r6", "r7"),
        add_mixed!("r3", "r8", "r9", "r10", "r11"),
        "pop {{r4-r11, pc}}",
        stride = const STRIDE,
    )
}

/// Two components of each of two heads over all pairs, into `r4` and `r5`, `r6` and `r7`.
macro_rules! mix_half {
    ($label:literal, $pack:literal) => {
        concat!(
            "ldm lr, {{r0-r3}}
            movs r4, #0
            movs r5, #0
            movs r6, #0
            movs r7, #0
            ",
            $label,
            ":
            ldr r8, [r1]
            ldr r9, [r1, r2]
            ldrd r10, r11, [r0], #16
            add r1, r1, r2, lsl #1
            ",
            $pack,
            "
            sxtb16 r9, r8
            sxtb16 r8, r8, ror #8
            smlad r4, r9, r10, r4
            smlad r5, r8, r10, r5
            smlad r6, r9, r11, r6
            smlad r7, r8, r11, r7
            subs r3, #1
            bne ",
            $label,
            "b
            "
        )
    };
}

/// Four components of each of two heads, two at a time.
///
/// # Safety
/// The fields are as they say; there is at least one pair.
#[unsafe(naked)]
unsafe extern "C" fn mix_halves(_: &Mixing) {
    naked_asm!(
        env!("SPRAT_ASSEMBLER"),
        "push {{r4-r11, lr}}
        mov lr, r0
        vldr s4, [r0, #24]",
        mix_half!("2", "pkhbt r8, r8, r9, lsl #16"),
        "vmov s0, s1, r4, r5
        vmov s2, s3, r6, r7",
        mix_half!("3", "pkhtb r8, r9, r8, asr #16"),
        "ldrd r0, r1, [lr, #16]
        vmov r2, r3, s0, s1",
        add_mixed!("r0", "r2", "r3", "r4", "r5"),
        "vmov r2, r3, s2, s3",
        add_mixed!("r1", "r2", "r3", "r6", "r7"),
        "pop {{r4-r11, pc}}",
    )
}
