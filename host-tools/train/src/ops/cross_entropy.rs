//! The cross-entropy of logits with the tokens that come next.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{elements, tensor, with_elements};
use crate::vector::{softmax, vectorized};

/// Of logits (tokens x vocabulary): the sum of `-log p(target)` times `scale`, in nats.
///
/// The scale is one over all tokens of the batch, of which one tape may see a part only.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    targets: Arc<[u32]>,
    scale: f32,
    /// The gradient, which falls off the forward pass.
    gradient: OnceLock<Vec<f32>>,
}

impl CrossEntropy {
    /// For these targets, one for each row of logits.
    pub fn new(targets: Arc<[u32]>, scale: f32) -> Self {
        Self { targets, scale, gradient: OnceLock::new() }
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, vocabulary) = layout.shape().dims2()?;
        if tokens != self.targets.len() {
            bail!("{tokens} rows of logits for {} targets", self.targets.len());
        }
        let logits = elements(logits, layout)?;
        let mut gradient = logits.to_vec();
        let mut loss = 0.0;
        vectorized(|| {
            let rows = gradient.chunks_exact_mut(vocabulary).zip(logits.chunks_exact(vocabulary));
            for ((row, logits), &target) in rows.zip(self.targets.iter()) {
                let log_sum = softmax(row);
                loss += f64::from(log_sum - logits[target as usize]);
                row[target as usize] -= 1.0;
                for element in row {
                    *element *= self.scale;
                }
            }
        });
        // A second forward pass of the same operation computes the same.
        self.gradient.get_or_init(|| gradient);
        Ok((CpuStorage::F32(vec![(loss * f64::from(self.scale)) as f32]), ().into()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let Some(gradient) = self.gradient.get() else { bail!("cross-entropy without a forward pass") };
        let factor = with_elements([dy], |[dy]| Ok(dy[0]))?;
        tensor(gradient.iter().map(|element| element * factor).collect(), logits).map(Some)
    }
}
