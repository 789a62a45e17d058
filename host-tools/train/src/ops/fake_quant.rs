//! Numbers as int8 leaves them, with gradients that pass as if they had not been changed (Bengio et al., 2013).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use half::f16;

use super::elements;
use crate::vector::{max_magnitude, rounded, vectorized};

/// Of any tensor: groups of `group` elements of its rows are rounded to 127 steps on both sides of zero.
///
/// The same as the packer does to weights, whose scales have half precision, and the runtime to the inputs of
/// matrices.
#[derive(Clone, Copy, Debug)]
pub struct FakeQuant {
    /// Elements that share a scale.
    pub group: usize,
    /// Whether scales have half precision.
    pub halves: bool,
}

impl CustomOp1 for FakeQuant {
    fn name(&self) -> &'static str {
        "fake-quant"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let mut y = elements(x, layout)?.to_vec();
        vectorized(|| {
            for group in y.chunks_exact_mut(width).flat_map(|row| row.chunks_mut(self.group)) {
                let scale = max_magnitude(group) / 127.0;
                let scale = if self.halves { f16::from_f32(scale).to_f32() } else { scale };
                if scale == 0.0 {
                    group.fill(0.0);
                    continue;
                }
                for element in group {
                    *element = rounded((*element / scale).clamp(-127.0, 127.0)) * scale;
                }
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.clone()))
    }
}
