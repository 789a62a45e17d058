//! Muon: momentum whose singular values are all made about 1 by a polynomial (Jordan et al., 2024).

use super::Settings;
use crate::matrix::{Matrix, MatrixMut, multiply};
use crate::vector::{dot, vectorized};

const MOMENTUM: f32 = 0.95;
const ITERATIONS: usize = 5;
/// Of the quintic `a x + b x^3 + c x^5`, which grows small singular values fast and keeps others near 1.
const QUINTIC: (f32, f32, f32) = (3.4445, -4.7750, 2.0315);

/// One step of stacked matrices, each of them by itself.
pub fn step(
    values: &mut [f32],
    gradient: &[f32],
    momentum: &mut [f32],
    stacked: &[(String, usize)],
    settings: &Settings,
    share: f32,
) {
    let all_rows: usize = stacked.iter().map(|(_, rows)| rows).sum();
    let inputs = values.len() / all_rows;
    let mut start = 0;
    for &(_, rows) in stacked {
        let part = start..start + rows * inputs;
        start = part.end;
        let (values, momentum) = (&mut values[part.clone()], &mut momentum[part.clone()]);
        // Nesterov's: the momentum as it will be with this gradient once more.
        let mut update = vec![0.0; values.len()];
        vectorized(|| {
            for ((update, momentum), gradient) in update.iter_mut().zip(momentum).zip(&gradient[part]) {
                *momentum = MOMENTUM * *momentum + (1.0 - MOMENTUM) * gradient;
                *update = MOMENTUM * *momentum + (1.0 - MOMENTUM) * gradient;
            }
        });
        let update = orthogonalized(update, rows, inputs);
        let rate = settings.muon_rate * share;
        let scaled = rate * (rows as f32 / inputs as f32).sqrt().max(1.0);
        vectorized(|| {
            for (value, update) in values.iter_mut().zip(&update) {
                *value -= scaled * update + rate * settings.weight_decay * *value;
            }
        });
    }
}

/// The matrix with singular values near 1; a matrix of zeros stays one.
fn orthogonalized(mut x: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    let length = vectorized(|| dot(&x, &x)).sqrt();
    x.iter_mut().for_each(|x| *x /= length + 1e-7);
    // The products are over the longer side.
    let small = rows.min(columns);
    let square = || vec![0.0; small * small];
    let (mut gram, mut quintic) = (square(), square());
    let mut next = vec![0.0; x.len()];
    let (a, b, c) = QUINTIC;
    for _ in 0..ITERATIONS {
        let matrix = Matrix::new(&x, rows, columns, columns);
        let wide = if rows <= columns { matrix } else { matrix.transposed() };
        multiply(MatrixMut::new(&mut gram, small, small, small), false, 1.0, wide, wide.transposed());
        let gram = Matrix::new(&gram, small, small, small);
        multiply(MatrixMut::new(&mut quintic, small, small, small), false, c, gram, gram);
        add(&mut quintic, b, gram.elements());
        let quintic = Matrix::new(&quintic, small, small, small);
        let into = MatrixMut::new(&mut next, rows, columns, columns);
        // The square is symmetric, so it may stand on either side.
        if rows <= columns {
            multiply(into, false, 1.0, quintic, matrix);
        } else {
            multiply(into, false, 1.0, matrix, quintic);
        }
        add(&mut next, a, &x);
        std::mem::swap(&mut x, &mut next);
    }
    x
}

/// `to += factor * from`.
fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    vectorized(|| crate::vector::add_scaled(to, factor, from));
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Products of pairs of rows.
    fn gram(x: &[f32], columns: usize) -> Vec<Vec<f32>> {
        let rows: Vec<_> = x.chunks(columns).collect();
        rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect()
    }

    #[test]
    fn singular_values_become_about_one() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (rows, columns) in [(8, 24), (24, 8), (8, 9)] {
            let elements = (0..rows * columns).map(|_| random.random_range(-1.0..1.0)).collect();
            let x = orthogonalized(elements, rows, columns);
            let wide: Vec<f32> = if rows <= columns {
                x
            } else {
                (0..x.len()).map(|i| x[(i % rows) * columns + i / rows]).collect()
            };
            let (small, large) = (rows.min(columns), rows.max(columns));
            for (i, row) in gram(&wide, large).iter().enumerate() {
                // Gershgorin's circles would be too strict; the quintic itself leaves 0.7 to 1.2.
                assert!(row[i] > 0.4 && row[i] < 1.5, "{rows} x {columns}: {row:?}");
                for (j, &product) in row.iter().enumerate().take(small) {
                    assert!(i == j || product.abs() < 0.4, "{rows} x {columns}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn stacked_matrices_step_apart() {
        let stacked = [("a".to_owned(), 4), ("b".to_owned(), 2)];
        let gradient: Vec<f32> = (0..48).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
        let settings = Settings { weight_decay: 0.5, ..Settings::default() };
        let run = |gradient: &[f32], stacked: &[(String, usize)]| {
            let (mut values, mut momentum) = (vec![1.0; gradient.len()], vec![0.0; gradient.len()]);
            step(&mut values, gradient, &mut momentum, stacked, &settings, 1.0);
            values
        };
        let both = run(&gradient, &stacked);
        assert_eq!(both[..32], run(&gradient[..32], &stacked[..1]));
        assert_eq!(both[32..], run(&gradient[32..], &stacked[1..]));
        let still = run(&[0.0; 32], &stacked[..1]);
        assert!(still.iter().all(|value| (value - 0.99).abs() < 1e-6), "zeros only decay: {still:?}");
    }
}
