//! What a pass costs: its products, counted exactly, and an observer that is told of every stage.
//!
//! Time is the observer's affair: a clock on a laptop, a cycle counter on a board. Without an observer a stage
//! costs one comparison. Products are the multiplications and additions of matrices and of attention, which are
//! all that grows faster than the width of the model; they are counted where they are done.

use core::cell::Cell;

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

    /// The residual stream (T x H) after a layer, for each token of the chunk under way.
    #[cfg(feature = "taps")]
    fn residual(&self, layer: usize, rows: &[f32]) {
        let _ = (layer, rows);
    }
}

/// The engine's counter and observer.
#[derive(Default)]
pub(crate) struct Meter<'p> {
    products: Cell<u64>,
    pub(crate) probe: Option<&'p dyn Probe>,
}

impl Meter<'_> {
    #[inline]
    pub(crate) fn begin(&self, stage: Stage) {
        if let Some(probe) = self.probe {
            probe.begin(stage);
        }
    }

    /// Shows the residual stream after a layer, where the build has the feature `taps`; else it is nothing.
    #[inline]
    pub(crate) fn residual(&self, _layer: usize, _rows: &[f32]) {
        #[cfg(feature = "taps")]
        if let Some(probe) = self.probe {
            probe.residual(_layer, _rows);
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
