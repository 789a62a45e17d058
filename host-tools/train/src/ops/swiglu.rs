//! The gated feed-forward unit `silu(gate) * up` (Shazeer, 2020).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{elements, tensor, with_elements};
use crate::vector::{sigmoid, vectorized};

/// Of rows that hold a gate and then as many values: tokens x 2 width to tokens x width.
#[derive(Clone, Copy, Debug)]
pub struct SwiGlu;

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, both) = layout.shape().dims2()?;
        let (x, width) = (elements(x, layout)?, both / 2);
        let mut y = vec![0.0; tokens * width];
        vectorized(|| {
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(both)) {
                let (gate, up) = x.split_at(width);
                for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                    *y = gate * sigmoid(*gate) * up;
                }
            }
        });
        Ok((CpuStorage::F32(y), (tokens, width).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, both) = x.dims2()?;
        let width = both / 2;
        let mut dx = vec![0.0; x.elem_count()];
        with_elements([x, dy], |[x, dy]| {
            vectorized(|| {
                let rows = x.chunks_exact(both).zip(dy.chunks_exact(width));
                for (dx, (x, dy)) in dx.chunks_exact_mut(both).zip(rows) {
                    let (dgate, dup) = dx.split_at_mut(width);
                    let (gate, up) = x.split_at(width);
                    // Counted, and of one length that is seen: the compiler makes no vectors of five slices zipped.
                    let (dup, up, dy) = (&mut dup[..width], &up[..width], &dy[..width]);
                    for i in 0..width {
                        let s = sigmoid(gate[i]);
                        dup[i] = dy[i] * gate[i] * s;
                        dgate[i] = dy[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
                    }
                }
            });
            Ok(())
        })?;
        tensor(dx, x).map(Some)
    }
}
