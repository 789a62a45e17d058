//! The sum of two tensors of one shape.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::elements;
use crate::vector::vectorized;

/// `a + b`, on the caller's thread.
#[derive(Clone, Copy, Debug)]
pub struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if a_layout.shape() != b_layout.shape() {
            bail!("a sum of {:?} and {:?}", a_layout.shape(), b_layout.shape());
        }
        let (a, b) = (elements(a, a_layout)?, elements(b, b_layout)?);
        let sum = vectorized(|| a.iter().zip(b).map(|(a, b)| a + b).collect());
        Ok((CpuStorage::F32(sum), a_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dy.clone()), Some(dy.clone())))
    }
}
