//! A linear layer without bias: `y = x W^T`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{elements, tensor, with_elements};
use crate::matrix::{Matrix, MatrixMut, multiply};

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
        let mut y = vec![0.0; tokens * outputs];
        multiply(MatrixMut::new(&mut y, tokens, outputs, outputs), false, 1.0, x, weight.transposed());
        Ok((CpuStorage::F32(y), (tokens, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, weight.dim(0)?);
        let (mut dx, mut dweight) = (vec![0.0; tokens * inputs], vec![0.0; outputs * inputs]);
        with_elements([x, weight, dy], |[x_elements, weight_elements, dy_elements]| {
            let dy = Matrix::new(dy_elements, tokens, outputs, outputs);
            let weight = Matrix::new(weight_elements, outputs, inputs, inputs);
            multiply(MatrixMut::new(&mut dx, tokens, inputs, inputs), false, 1.0, dy, weight);
            let x = Matrix::new(x_elements, tokens, inputs, inputs);
            let into = MatrixMut::new(&mut dweight, outputs, inputs, inputs);
            multiply(into, false, 1.0, dy.transposed(), x);
            Ok(())
        })?;
        Ok((Some(tensor(dx, x)?), Some(tensor(dweight, weight)?)))
    }
}
