//! Root mean square normalization (Zhang and Sennrich, 2019).

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{elements, tensor, with_elements};
use crate::vector::{dot, vectorized};

/// Of `x` (tokens x width) and a weight (width): `x / sqrt(mean(x^2) + epsilon) * weight`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// Keeps a row of zeros from being divided by zero.
    pub epsilon: f32,
}

impl RmsNorm {
    /// What a row is multiplied by.
    #[inline(always)]
    fn scale(self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.epsilon).sqrt()
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (elements(x, x_layout)?, elements(weight, weight_layout)?);
        let mut y = vec![0.0; x.len()];
        vectorized(|| {
            for (y, x) in y.chunks_exact_mut(weight.len()).zip(x.chunks_exact(weight.len())) {
                let scale = self.scale(x);
                for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                    *y = x * scale * weight;
                }
            }
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = weight.elem_count();
        let (mut dx, mut dweight) = (vec![0.0; x.elem_count()], vec![0.0; width]);
        with_elements([x, weight, dy], |[x, weight, dy]| {
            vectorized(|| {
                let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
                for (dx, (x, dy)) in dx.chunks_exact_mut(width).zip(rows) {
                    let scale = self.scale(x);
                    for (((dx, dweight), (x, dy)), weight) in
                        dx.iter_mut().zip(&mut dweight).zip(x.iter().zip(dy)).zip(weight)
                    {
                        *dx = dy * weight;
                        *dweight += dy * x * scale;
                    }
                    let along = dot(dx, x) * scale * scale / width as f32;
                    for (dx, x) in dx.iter_mut().zip(x) {
                        *dx = (*dx - x * along) * scale;
                    }
                }
            });
            Ok(())
        })?;
        Ok((Some(tensor(dx, x)?), Some(tensor(dweight, weight)?)))
    }
}
