//! The numbers of a tensor at a glance: range, size, outliers.
//!
//! What matters before quantizing: a group's scale follows its largest number, so a few far outliers, or one input
//! channel that is much larger than the others, cost all the rest their precision. One tensor is in memory at a time,
//! and all cores work on its rows; the results do not depend on how many they are.

use rayon::prelude::*;
use serde::Serialize;

/// Standard deviations beyond which a number is an outlier.
const SIGMAS: f64 = 6.0;
/// Numbers that a core takes at once, about.
const BAND: usize = 1 << 16;

/// What a tensor's numbers are like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Least number.
    pub min: f32,
    /// Greatest number.
    pub max: f32,
    /// Root of the mean of the squares.
    pub rms: f64,
    /// Share of the numbers, 0 to 1, that are more than six standard deviations off the mean.
    pub outliers: f64,
    /// The input channel (column) with the largest RMS, against the median channel's; `None` for a vector, or where the
    /// median is zero.
    pub largest_channel: Option<Channel>,
}

/// An input channel that stands out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Channel {
    /// Its column.
    pub column: usize,
    /// Its RMS over that of the median column.
    pub ratio: f64,
}

/// Sums over some rows.
struct Sums {
    min: f32,
    max: f32,
    sum: f64,
    squares: Vec<f64>,
}

impl Sums {
    fn of(rows: &[f32], cols: usize) -> Self {
        let mut sums =
            Self { min: f32::INFINITY, max: f32::NEG_INFINITY, sum: 0.0, squares: vec![0.0; cols] };
        for row in rows.chunks(cols) {
            for (&number, square) in row.iter().zip(&mut sums.squares) {
                sums.min = sums.min.min(number);
                sums.max = sums.max.max(number);
                sums.sum += f64::from(number);
                *square += f64::from(number) * f64::from(number);
            }
        }
        sums
    }

    fn add(mut self, other: Self) -> Self {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.squares.iter_mut().zip(other.squares).for_each(|(sum, square)| *sum += square);
        self
    }
}

impl Statistics {
    /// Looks at numbers in rows of `cols`; `None` when there are none.
    pub fn of(numbers: &[f32], cols: usize) -> Option<Self> {
        if numbers.is_empty() || cols == 0 {
            return None;
        }
        let band = (BAND / cols).max(1) * cols;
        let bands: Vec<Sums> = numbers.par_chunks(band).map(|rows| Sums::of(rows, cols)).collect();
        let sums = bands.into_iter().reduce(Sums::add)?;
        let count = numbers.len() as f64;
        let mean = sums.sum / count;
        let mean_square = sums.squares.iter().sum::<f64>() / count;
        let far = SIGMAS * (mean_square - mean * mean).max(0.0).sqrt();
        let is_far = |number: &&f32| (f64::from(**number) - mean).abs() > far;
        let outliers = numbers.par_chunks(band).map(|band| band.iter().filter(is_far).count()).sum::<usize>();
        Some(Self {
            min: sums.min,
            max: sums.max,
            rms: mean_square.sqrt(),
            outliers: outliers as f64 / count,
            largest_channel: (numbers.len() > cols).then(|| largest_channel(&sums.squares)).flatten(),
        })
    }

    /// The greatest magnitude.
    pub fn largest(&self) -> f32 {
        self.min.abs().max(self.max.abs())
    }
}

fn largest_channel(squares: &[f64]) -> Option<Channel> {
    let mut sorted = squares.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().filter(|&median| median > 0.0)?;
    // Of equals the first.
    let larger = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0));
    let (column, square) = squares.iter().copied().enumerate().max_by(larger)?;
    Some(Channel { column, ratio: (square / median).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Numbers;

    #[test]
    fn statistics_are_those_of_the_definition() {
        let mut numbers = Numbers(1).weights(200_000);
        let cols = 100;
        numbers[1234] = 5.0;
        numbers[77_000] = -4.0;
        numbers.iter_mut().skip(7).step_by(cols).for_each(|number| *number *= 3.0);
        let found = Statistics::of(&numbers, cols).unwrap();
        assert_eq!((found.min, found.max, found.largest()), (-4.0, 5.0, 5.0));
        let rms = (numbers.iter().map(|&n| f64::from(n).powi(2)).sum::<f64>() / 2e5).sqrt();
        assert!((found.rms / rms - 1.0).abs() < 1e-12);
        assert_eq!(found.outliers, 2.0 / 2e5);
        let channel = found.largest_channel.unwrap();
        assert_eq!(channel.column, 7);
        assert!((2.5..3.5).contains(&channel.ratio), "{channel:?}");
    }

    #[test]
    fn vectors_have_no_channels_and_zeros_no_ratio() {
        assert_eq!(Statistics::of(&[1.0, 2.0], 2).unwrap().largest_channel, None);
        let zeros = Statistics::of(&[0.0; 8], 2).unwrap();
        assert_eq!((zeros.rms, zeros.outliers, zeros.largest_channel), (0.0, 0.0, None));
        assert_eq!(Statistics::of(&[], 2), None);
    }
}
