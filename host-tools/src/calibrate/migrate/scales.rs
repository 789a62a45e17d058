//! The search for scales between what is put out and the matrices that take it in.
//!
//! The noise is a sum of products, each of a largest element and a sum of squares, so its slope is known in closed form;
//! logarithms of the scales go down it in steps that become smaller (Adam, Kingma and Ba 2015).

use rayon::prelude::*;

/// Steps of descent.
const STEPS: usize = 120;
/// The first step, of a logarithm.
const FIRST_STEP: f64 = 0.08;
/// The last one.
const LAST_STEP: f64 = 0.002;
/// Rows of activations that are looked at, at most: the largest of a group is stable long before.
const MOST_ROWS: usize = 3072;
/// Scales stay within this factor of 1, so that nothing leaves the range of half precision.
const MOST_SCALE: f64 = 64.0;

/// Matrices that take in the same numbers.
pub(super) struct Site<'a> {
    /// Numbers of a row.
    pub cols: usize,
    /// Numbers that share a step.
    pub group: usize,
    /// T x columns: what is taken in.
    pub rows: &'a [f32],
    /// Each rows x columns.
    pub matrices: &'a [&'a [f32]],
    /// Columns of a head, and heads that share their scales.
    pub shared: Option<(usize, usize)>,
}

/// One side of a product: inputs, or weights.
struct Side {
    /// Magnitudes, row by row.
    rows: Vec<f32>,
    /// Sum of squares of each column.
    squares: Vec<f64>,
}

impl Side {
    fn new<'r>(rows: impl Iterator<Item = &'r [f32]>, cols: usize) -> Self {
        let rows: Vec<f32> = rows.flatten().map(|x| x.abs()).collect();
        let mut squares = vec![0.0; cols];
        for row in rows.chunks_exact(cols) {
            squares.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        Self { rows, squares }
    }

    /// For each column, the sum of the squares of its elements times `factors` where they are the largest of their group.
    fn largest(&self, factors: &[f32], group: usize) -> Vec<f64> {
        let cols = factors.len();
        let block = |rows: &[f32]| {
            let mut sums = vec![0.0; cols];
            for row in rows.chunks_exact(cols) {
                for start in (0..cols).step_by(group) {
                    let (mut most, mut place) = (0.0f32, start);
                    for at in start..cols.min(start + group) {
                        let x = row[at] * factors[at];
                        if x > most {
                            (most, place) = (x, at);
                        }
                    }
                    sums[place] += f64::from(most) * f64::from(most);
                }
            }
            sums
        };
        let blocks: Vec<Vec<f64>> = self.rows.par_chunks(cols * 256).map(block).collect();
        let mut sums = vec![0.0; cols];
        blocks.iter().for_each(|block| sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x));
        sums
    }
}

/// The noise and its slope along the logarithm of each scale.
fn noise(
    inputs: &Side,
    weights: &Side,
    group: usize,
    logarithms: &[f64],
    weight_noise: f64,
) -> (f64, Vec<f64>) {
    let cols = logarithms.len();
    let scales: Vec<f64> = logarithms.iter().map(|x| x.exp()).collect();
    let up: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
    let down: Vec<f32> = scales.iter().map(|&scale| (1.0 / scale) as f32).collect();
    let (most_x, most_w) = (inputs.largest(&down, group), weights.largest(&up, group));
    let (mut total, mut slope) = (0.0, vec![0.0; cols]);
    for start in (0..cols).step_by(group) {
        let own = start..cols.min(start + group);
        let x: f64 = most_x[own.clone()].iter().sum();
        let w: f64 = most_w[own.clone()].iter().sum::<f64>() * weight_noise;
        let square_w = |i: usize| weights.squares[i] * scales[i] * scales[i];
        let square_x = |i: usize| inputs.squares[i] / (scales[i] * scales[i]);
        let (sum_w, sum_x): (f64, f64) =
            own.clone().fold((0.0, 0.0), |(w, x), i| (w + square_w(i), x + square_x(i)));
        total += x * sum_w + w * sum_x;
        for i in own {
            slope[i] = 2.0 * (x * square_w(i) - most_x[i] * sum_w)
                + 2.0 * (weight_noise * most_w[i] * sum_x - w * square_x(i));
        }
    }
    (total, slope)
}

/// Scales for the columns: what is taken in is to be divided by them, and the matrices' columns multiplied.
pub(super) fn find(site: &Site<'_>, weight_noise: f64) -> Vec<f32> {
    let Site { cols, group, .. } = *site;
    let stride = (site.rows.len() / cols).max(1).div_ceil(MOST_ROWS);
    let inputs = Side::new(site.rows.chunks_exact(cols).step_by(stride), cols);
    let weights = Side::new(site.matrices.iter().flat_map(|matrix| matrix.chunks_exact(cols)), cols);
    let mut logarithms = vec![0.0f64; cols];
    let (mut mean, mut square) = (vec![0.0; cols], vec![0.0; cols]);
    let (mut best, mut least) = (logarithms.clone(), f64::INFINITY);
    for step in 0..STEPS {
        let (total, mut slope) = noise(&inputs, &weights, group, &logarithms, weight_noise);
        if total < least {
            (best, least) = (logarithms.clone(), total);
        }
        if total <= 0.0 {
            break;
        }
        if let Some((head, sharing)) = site.shared {
            share(&mut slope, head, sharing);
        }
        let progress = step as f64 / STEPS as f64;
        let size = FIRST_STEP * (1.0 - progress) + LAST_STEP;
        let (first, second) = (1.0 - 0.9f64.powi(step as i32 + 1), 1.0 - 0.99f64.powi(step as i32 + 1));
        for i in 0..cols {
            let slope = slope[i] * cols as f64 / total;
            mean[i] = 0.9 * mean[i] + 0.1 * slope;
            square[i] = 0.99 * square[i] + 0.01 * slope * slope;
            let step = size * (mean[i] / first) / ((square[i] / second).sqrt() + 1e-3);
            logarithms[i] = (logarithms[i] - step).clamp(-MOST_SCALE.ln(), MOST_SCALE.ln());
        }
    }
    best.iter().map(|x| x.exp() as f32).collect()
}

/// Replaces slopes by their mean over the heads that share them.
fn share(slope: &mut [f64], head: usize, sharing: usize) {
    for heads in slope.chunks_mut(head * sharing) {
        for i in 0..head {
            let mean = (0..sharing).map(|other| heads[other * head + i]).sum::<f64>() / sharing as f64;
            (0..sharing).for_each(|other| heads[other * head + i] = mean);
        }
    }
}
