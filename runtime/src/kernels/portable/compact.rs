//! The product of a q8 matrix in any layout, in little code.
//!
//! For tables whose own kernel takes one layout only: a file that was packed for another core still runs, and flash
//! is not spent on making that fast.

use sprat_format::WORD;

use super::to_f32;
use crate::kernels::{Prepared, Q8};
use crate::team::Tile;

/// What [`matmul_q8`](super::matmul_q8) does.
#[cold]
#[inline(never)]
pub(in crate::kernels) fn matmul_q8(matrix: &Q8, input: &Prepared, out: &mut Tile) {
    let Q8 { values, group, stride, layout, .. } = *matrix;
    let groups = stride / group;
    let bias = layout.bias();
    let tokens = input.values.chunks_exact(2 * stride).zip(input.scales.chunks_exact(groups));
    for (token, (q, scales)) in tokens.enumerate() {
        for (row, out) in out.token(token).iter_mut().enumerate() {
            let mut acc = 0.0;
            for (index, (q, scale)) in q.chunks_exact(group).zip(scales).enumerate() {
                let mut sum = 0;
                for (word, q) in q.as_chunks::<WORD>().0.iter().enumerate() {
                    // A word of columns lies together in every layout.
                    let weights = &values[layout.value_at(stride, row, index * group + word * WORD)..];
                    for ((weight, bias), q) in weights.iter().zip(bias).zip(q) {
                        sum += i32::from(*weight ^ bias as i8) * i32::from(*q);
                    }
                }
                let weight_scale = to_f32(matrix.scales[layout.scale_at(groups, row, index)]);
                acc += sum as f32 * (weight_scale * scale);
            }
            *out = acc;
        }
    }
}
