//! Rows of a table by index: the embedding, and the positions that have a loss.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{elements, tensor, with_elements};
use crate::vector::{add_scaled, vectorized};

/// Of a table (rows x width): indices x width.
#[derive(Clone, Debug)]
pub struct Rows(pub Arc<[u32]>);

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let table = elements(table, layout)?;
        let mut found = Vec::with_capacity(self.0.len() * width);
        for &index in self.0.iter() {
            let index = index as usize;
            if index >= rows {
                bail!("row {index} of a table of {rows}");
            }
            found.extend_from_slice(&table[index * width..][..width]);
        }
        Ok((CpuStorage::F32(found), (self.0.len(), width).into()))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let width = table.dim(1)?;
        let mut dtable = vec![0.0; table.elem_count()];
        with_elements([dy], |[dy]| {
            vectorized(|| {
                for (&index, dy) in self.0.iter().zip(dy.chunks_exact(width)) {
                    add_scaled(&mut dtable[index as usize * width..][..width], 1.0, dy);
                }
            });
            Ok(())
        })?;
        tensor(dtable, table).map(Some)
    }
}
