//! A linear layer without bias: `y = x W^T`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{elements, tensor, with_elements};
use crate::matrix::{Matrix, product};

/// Of `x` (tokens x in) and `W` (out x in): tokens x out.
#[derive(Clone, Copy, Debug)]
pub struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((tokens, inputs), (outputs, _)) = (x_layout.shape().dims2()?, weight_layout.shape().dims2()?);
        let x = Matrix::new(elements(x, x_layout)?, tokens, inputs, inputs);
        let weight = Matrix::new(elements(weight, weight_layout)?, outputs, inputs, inputs);
        Ok((CpuStorage::F32(product(x, weight.transposed())), (tokens, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, weight.dim(0)?);
        let (dx, dweight) = with_elements([x, weight, dy], |[x, weight, dy]| {
            let x = Matrix::new(x, tokens, inputs, inputs);
            let weight = Matrix::new(weight, outputs, inputs, inputs);
            let dy = Matrix::new(dy, tokens, outputs, outputs);
            Ok((product(dy, weight), product(dy.transposed(), x)))
        })?;
        Ok((Some(tensor(dx, x)?), Some(tensor(dweight, weight)?)))
    }
}
