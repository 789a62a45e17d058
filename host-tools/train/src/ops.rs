//! The differentiable operations of a Llama, as candle's custom operations.
//!
//! Candle's own are either composed of many small ones (each a pass over memory and an allocation) or have no backward
//! pass. Here each is one forward and one backward function over slices, on the caller's thread: several tapes are
//! recorded side by side, one a micro-batch. Rows are tokens; sequences stand back to back without padding.

mod add;
mod attention;
mod cross_entropy;
mod fake_quant;
mod linear;
mod norm;
mod rows;
mod swiglu;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

pub use add::Add;
pub use attention::{Attention, Rotation};
pub use cross_entropy::CrossEntropy;
pub use fake_quant::FakeQuant;
pub use linear::Linear;
pub use norm::RmsNorm;
pub use rows::Rows;
pub use swiglu::SwiGlu;

/// The elements of an operation's argument.
fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("the operation needs contiguous tensors"),
    }
}

/// Lends the elements of tensors, which must be contiguous f32 on the CPU.
pub(crate) fn with_elements<const N: usize, R>(
    tensors: [&Tensor; N],
    work: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices = [&[][..]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("the operation needs tensors of the CPU") };
        *slice = elements(storage, layout)?;
    }
    work(slices)
}

/// A tensor of the CPU that takes the elements over.
fn tensor(elements: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(elements, like.shape(), like.device())
}
