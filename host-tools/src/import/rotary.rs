//! Rotary frequencies: the angle per position of each rotated pair, as the packed file holds them.
//!
//! Every scaling of rotary embedding that only changes frequencies is settled here, in double precision, so
//! that the device multiplies a position by a number and knows of no scaling.

use std::f64::consts::TAU;

/// How the frequencies of a longer context are derived from those of the training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scaling {
    /// None: theta^(-2i/dims) (Su et al. 2021).
    Default,
    /// All divided by a factor (position interpolation, Chen et al. 2023).
    Linear { factor: f64 },
    /// Long wavelengths divided, short ones kept, a ramp between (Llama 3.1).
    Llama3 { factor: f64, low_freq_factor: f64, high_freq_factor: f64, original_positions: f64 },
}

/// Radians a position for each of the `dims / 2` pairs.
pub(crate) fn frequencies(theta: f64, dims: u32, scaling: Scaling) -> Vec<f32> {
    let base = (0..dims / 2).map(|i| theta.powf(-2.0 * f64::from(i) / f64::from(dims)));
    base.map(|frequency| scale(frequency, scaling) as f32).collect()
}

fn scale(frequency: f64, scaling: Scaling) -> f64 {
    match scaling {
        Scaling::Default => frequency,
        Scaling::Linear { factor } => frequency / factor,
        Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions } => {
            let wavelength = TAU / frequency;
            if wavelength < original_positions / high_freq_factor {
                frequency
            } else if wavelength > original_positions / low_freq_factor {
                frequency / factor
            } else {
                let smooth = (original_positions / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_from_one_by_a_constant_ratio() {
        let found = frequencies(10_000.0, 8, Scaling::Default);
        assert_eq!(found.len(), 4);
        for (found, expected) in found.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((found / expected - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn linear_scaling_divides() {
        let (plain, scaled) =
            (frequencies(1e4, 16, Scaling::Default), frequencies(1e4, 16, Scaling::Linear { factor: 4.0 }));
        assert!(plain.iter().zip(&scaled).all(|(p, s)| (p / 4.0 - s).abs() <= 1e-7 * p));
    }

    #[test]
    fn llama3_scaling_keeps_short_wavelengths_and_divides_long_ones() {
        let scaling = Scaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_positions: 8192.0,
        };
        let plain = frequencies(500_000.0, 128, Scaling::Default);
        let scaled = frequencies(500_000.0, 128, scaling);
        assert_eq!(plain[0], scaled[0]);
        assert!((plain[63] / scaled[63] - 8.0).abs() < 1e-4);
        assert!(plain.iter().zip(&scaled).all(|(p, s)| s <= p && *s >= p / 8.01));
        assert!(scaled.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
