//! How the error grows from layer to layer: the residual stream after each layer against the checkpoint's.
//!
//! The engine shows the stream to an observer; both runs read the same tokens, so their streams can be compared
//! number by number. The relative error is the root of the summed squares of the differences over that of the
//! checkpoint's stream. A model whose stream was put into another basis before it was quantized (a rotation) has the
//! same logits and yet another stream: its numbers here mean nothing.

use std::sync::{Mutex, PoisonError};

use sprat::Tap;

/// The residual stream of the chunk that was fed last: for each layer T x H.
#[derive(Debug, Default)]
pub(super) struct Residuals(Mutex<Vec<Vec<f32>>>);

impl Tap for Residuals {
    fn input(&self, _: usize, _: &[f32]) {}

    fn heads(&self, _: usize, _: &[f32], _: &[f32]) {}

    fn residual(&self, layer: usize, rows: &[f32]) {
        let mut layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if layers.len() <= layer {
            layers.resize_with(layer + 1, Vec::new);
        }
        layers[layer].clear();
        layers[layer].extend_from_slice(rows);
    }
}

/// Sums of squares of a layer.
#[derive(Clone, Copy, Debug, Default)]
struct Squares {
    difference: f64,
    reference: f64,
}

/// Sums of squares for each layer.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerErrors(Vec<Squares>);

impl LayerErrors {
    /// Takes in the chunk that both were fed last.
    pub fn add(&mut self, reference: &Residuals, found: &Residuals) {
        let lock = |residuals: &Residuals| {
            std::mem::take(&mut *residuals.0.lock().unwrap_or_else(PoisonError::into_inner))
        };
        // The reference is compared with several models: it stays where it is.
        let reference = reference.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock(found);
        self.0.resize(self.0.len().max(found.len()), Squares::default());
        for (sum, (reference, found)) in self.0.iter_mut().zip(reference.iter().zip(&found)) {
            for (&expected, &found) in reference.iter().zip(found) {
                sum.difference += (f64::from(found) - f64::from(expected)).powi(2);
                sum.reference += f64::from(expected).powi(2);
            }
        }
    }

    /// Takes in the sums of a later window.
    pub fn append(&mut self, later: &Self) {
        self.0.resize(self.0.len().max(later.0.len()), Squares::default());
        for (sum, later) in self.0.iter_mut().zip(&later.0) {
            sum.difference += later.difference;
            sum.reference += later.reference;
        }
    }

    /// The relative error after each layer; 0 where the checkpoint's stream is zero.
    pub fn relative(&self) -> Vec<f64> {
        let relative = |sum: &Squares| match sum.reference > 0.0 {
            true => (sum.difference / sum.reference).sqrt(),
            false => 0.0,
        };
        self.0.iter().map(relative).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relative_error_is_that_of_the_sums() {
        let (reference, found) = (Residuals::default(), Residuals::default());
        let mut errors = LayerErrors::default();
        let chunks = [([3.0, 4.0], [3.0, 4.5]), ([0.0, 5.0], [1.2, 5.0])];
        for (expected, seen) in chunks {
            for layer in 0..2 {
                reference.residual(layer, &expected);
                found.residual(layer, if layer == 0 { &expected } else { &seen });
            }
            errors.add(&reference, &found);
        }
        let expected = ((0.25f64 + 1.44) / 50.0).sqrt();
        let relative = errors.relative();
        assert_eq!(relative[0], 0.0);
        assert!((relative[1] - expected).abs() < 1e-7, "{relative:?}");
        let mut twice = errors.clone();
        twice.append(&errors);
        assert_eq!(twice.relative(), relative);
    }
}
