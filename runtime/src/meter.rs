//! What a pass costs: its products, counted exactly, and an observer that is told of every stage.
//!
//! Time is the observer's affair: a clock on a laptop, a cycle counter on a board. Without an observer a stage
//! costs one comparison. Products are the multiplications and additions of matrices and of attention, which are
//! all that grows faster than the width of the model; they are counted where they are done.

use core::cell::Cell;

use crate::weights::Matrix;

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Whatever the caller does between two passes.
    Outside,
    /// Looking up tokens and positions.
    Embedding,
    /// The norms before attention, the feed-forward block and the head.
    Norm,
    /// Queries, keys and values, rotated and put into the cache.
    Qkv,
    /// What tokens read of each other.
    Attention,
    /// The matrix that mixes the heads.
    Output,
    /// The feed-forward block.
    FeedForward,
    /// The logits.
    Head,
    /// Choosing a token.
    Sampling,
}

impl Stage {
    /// Every stage, in the order of a pass.
    pub const ALL: [Self; 9] = [
        Self::Outside,
        Self::Embedding,
        Self::Norm,
        Self::Qkv,
        Self::Attention,
        Self::Output,
        Self::FeedForward,
        Self::Head,
        Self::Sampling,
    ];

    /// The name for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Qkv => "qkv",
            Self::Attention => "attention",
            Self::Output => "output",
            Self::FeedForward => "feed-forward",
            Self::Head => "head",
            Self::Sampling => "sampling",
        }
    }
}

/// Whoever wants to know where the time goes.
pub trait Probe: Sync {
    /// A stage begins, and the one before it has ended.
    fn begin(&self, stage: Stage);
}

/// Whoever wants to see the numbers that quantization rounds: calibration, on the host.
#[cfg(feature = "taps")]
pub trait Tap: Sync {
    /// Rows (T x columns) that a matrix multiplies, as they are before they are quantized. `matrix` is the address of
    /// its values; of matrices that read the same input, the first one's.
    fn input(&self, matrix: usize, rows: &[f32]);
    /// The queries (T x heads*head_dim) and keys (T x kv_heads*head_dim) of a layer, rotated.
    fn heads(&self, layer: usize, queries: &[f32], keys: &[f32]);
    /// The residual stream (T x H) after a layer.
    fn residual(&self, layer: usize, rows: &[f32]) {
        let _ = (layer, rows);
    }
}

/// The engine's counter and observers.
#[derive(Default)]
pub(crate) struct Meter<'p> {
    products: Cell<u64>,
    pub(crate) probe: Option<&'p dyn Probe>,
    #[cfg(feature = "taps")]
    pub(crate) tap: Option<&'p dyn Tap>,
}

#[cfg(feature = "taps")]
impl Meter<'_> {
    pub(crate) fn show_input(&self, matrix: &Matrix, rows: &[f32]) {
        if let Some(tap) = self.tap {
            tap.input(matrix.address(), rows);
        }
    }

    pub(crate) fn show_heads(&self, layer: usize, queries: &[f32], keys: &[f32]) {
        if let Some(tap) = self.tap {
            tap.heads(layer, queries, keys);
        }
    }

    pub(crate) fn show_residual(&self, layer: usize, rows: &[f32]) {
        if let Some(tap) = self.tap {
            tap.residual(layer, rows);
        }
    }
}

/// Without the feature there is no one to show anything to.
#[cfg(not(feature = "taps"))]
impl Meter<'_> {
    #[inline(always)]
    pub(crate) fn show_input(&self, _: &Matrix, _: &[f32]) {}

    #[inline(always)]
    pub(crate) fn show_heads(&self, _: usize, _: &[f32], _: &[f32]) {}

    #[inline(always)]
    pub(crate) fn show_residual(&self, _: usize, _: &[f32]) {}
}

impl Meter<'_> {
    #[inline]
    pub(crate) fn begin(&self, stage: Stage) {
        if let Some(probe) = self.probe {
            probe.begin(stage);
        }
    }

    #[inline]
    pub(crate) fn count(&self, products: usize) {
        self.products.set(self.products.get() + products as u64);
    }

    pub(crate) fn products(&self) -> u64 {
        self.products.get()
    }
}
