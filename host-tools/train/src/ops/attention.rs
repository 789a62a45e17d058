//! Causal attention of grouped heads with rotated queries and keys (Su et al., 2021; Ainslie et al., 2023).
//!
//! Sequences stand back to back; each attends to itself alone and its positions begin at 0. Scores are computed in
//! blocks of rows, so that less than half of those above the diagonal are. Probabilities are kept for the backward
//! pass: they are no larger than what else a layer keeps, and exponentials are what attention's time goes into.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{elements, tensor, with_elements};
use crate::matrix::{Matrix, MatrixMut, multiply};
use crate::vector::{dot, softmax, vectorized};

/// Rows of scores that are computed at once.
const BLOCK: usize = 32;

/// Sines and cosines of rotary positions, in halves: elements i and i + width / 2 are a pair.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Positions x width / 2.
    cosines: Vec<f32>,
    sines: Vec<f32>,
    half: usize,
}

impl Rotation {
    /// For heads of `width` elements at `positions`.
    pub fn new(positions: usize, width: usize, theta: f64) -> Self {
        let half = width / 2;
        let angle = |index: usize| {
            let frequency = theta.powf(-2.0 * (index % half) as f64 / width as f64);
            (index / half) as f64 * frequency
        };
        let angles = || (0..positions * half).map(angle);
        let cosines = angles().map(|angle| angle.cos() as f32).collect();
        Self { cosines, sines: angles().map(|angle| angle.sin() as f32).collect(), half }
    }

    /// Turns a head at a position, or turns it back.
    #[inline(always)]
    fn turn(&self, head: &mut [f32], position: usize, back: bool) {
        let at = position * self.half;
        let (cosines, sines) = (&self.cosines[at..][..self.half], &self.sines[at..][..self.half]);
        let (first, second) = head.split_at_mut(self.half);
        let sign = if back { -1.0 } else { 1.0 };
        for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
            let sine = sign * sine;
            (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
        }
    }
}

/// Of rows of all queries, all keys, all values (tokens x (heads + 2 kv_heads) * width): tokens x heads * width.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; each serves as many heads of queries, in order.
    pub kv_heads: usize,
    /// Elements of a head.
    pub width: usize,
    /// Of at least as many positions as a sequence has.
    pub rotation: Arc<Rotation>,
    /// Where each sequence begins, and where the last one ends.
    pub bounds: Arc<[usize]>,
    saved: OnceLock<Saved>,
}

/// What the backward pass needs again.
#[derive(Clone, Debug)]
struct Saved {
    /// The argument with its queries and keys rotated.
    rotated: Vec<f32>,
    /// Of each sequence and head of queries, length x length.
    probabilities: Vec<f32>,
}

impl Attention {
    /// See the fields.
    pub fn new(
        heads: usize,
        kv_heads: usize,
        width: usize,
        rotation: Arc<Rotation>,
        bounds: Arc<[usize]>,
    ) -> Self {
        Self { heads, kv_heads, width, rotation, bounds, saved: OnceLock::new() }
    }

    fn sequences(&self) -> impl Iterator<Item = Range<usize>> {
        self.bounds.windows(2).map(|ends| ends[0]..ends[1])
    }

    fn row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// Where within a row of the argument the query, the key and the value of a head of queries are.
    fn columns(&self, head: usize) -> [usize; 3] {
        let kv_head = head / (self.heads / self.kv_heads);
        [head, self.heads + kv_head, self.heads + self.kv_heads + kv_head].map(|head| head * self.width)
    }

    fn turn(&self, rows: &mut [f32], back: bool) {
        let (row, turned) = (self.row(), (self.heads + self.kv_heads) * self.width);
        vectorized(|| {
            for sequence in self.sequences() {
                let start = sequence.start;
                for token in sequence {
                    for head in rows[token * row..][..turned].chunks_exact_mut(self.width) {
                        self.rotation.turn(head, token - start, back);
                    }
                }
            }
        });
    }
}

/// Blocks of the rows of a sequence.
fn blocks(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(length))
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, row) = layout.shape().dims2()?;
        if row != self.row() || self.bounds.last() != Some(&tokens) {
            bail!("attention over {tokens} x {row}; expected {:?} x {}", self.bounds.last(), self.row());
        }
        let mut rotated = elements(qkv, layout)?.to_vec();
        self.turn(&mut rotated, false);
        let scores: usize = self.sequences().map(|sequence| sequence.len() * sequence.len()).sum();
        let mut probabilities = vec![0.0; self.heads * scores];
        let out_row = self.heads * self.width;
        let mut out = vec![0.0; tokens * out_row];
        let mut free = &mut probabilities[..];
        for sequence in self.sequences() {
            let (length, rows) = (sequence.len(), &rotated[sequence.start * row..]);
            for head in 0..self.heads {
                let [q, k, v] = self.columns(head);
                let (scores, rest) = free.split_at_mut(length * length);
                free = rest;
                for block in blocks(length) {
                    let (count, seen, start) = (block.len(), block.end, block.start);
                    let scores = &mut scores[start * length..block.end * length];
                    multiply(
                        MatrixMut::new(scores, count, seen, length),
                        false,
                        self.scale(),
                        Matrix::new(&rows[start * row + q..], count, self.width, row),
                        Matrix::new(&rows[k..], seen, self.width, row).transposed(),
                    );
                    vectorized(|| {
                        for (index, scores) in scores.chunks_exact_mut(length).enumerate() {
                            let (past, future) = scores.split_at_mut(start + index + 1);
                            softmax(past);
                            future[..count - index - 1].fill(0.0);
                        }
                    });
                    let at = (sequence.start + start) * out_row + head * self.width;
                    multiply(
                        MatrixMut::new(&mut out[at..], count, self.width, out_row),
                        false,
                        1.0,
                        Matrix::new(scores, count, seen, length),
                        Matrix::new(&rows[v..], seen, self.width, row),
                    );
                }
            }
        }
        // A second forward pass of the same operation computes the same.
        self.saved.get_or_init(|| Saved { rotated, probabilities });
        Ok((CpuStorage::F32(out), (tokens, out_row).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, dout: &Tensor) -> Result<Option<Tensor>> {
        let Some(Saved { rotated, probabilities }) = self.saved.get() else {
            bail!("attention without a forward pass")
        };
        let (row, out_row, width) = (self.row(), self.heads * self.width, self.width);
        let mut dqkv = vec![0.0; qkv.elem_count()];
        let longest = self.sequences().map(|sequence| sequence.len()).max().unwrap_or(0);
        let mut dscores = vec![0.0; BLOCK * longest];
        with_elements([dout], |[dout]| {
            let mut probabilities = &probabilities[..];
            for sequence in self.sequences() {
                let (length, rows) = (sequence.len(), &rotated[sequence.start * row..]);
                let (drows, dout) = (&mut dqkv[sequence.start * row..], &dout[sequence.start * out_row..]);
                for head in 0..self.heads {
                    let [q, k, v] = self.columns(head);
                    let (head_probabilities, rest) = probabilities.split_at(length * length);
                    probabilities = rest;
                    for block in blocks(length) {
                        let (count, seen, start) = (block.len(), block.end, block.start);
                        let p = &head_probabilities[start * length..block.end * length];
                        let p_matrix = Matrix::new(p, count, seen, length);
                        let d = Matrix::new(&dout[start * out_row + head * width..], count, width, out_row);
                        let into = MatrixMut::new(&mut drows[v..], seen, width, row);
                        multiply(into, true, 1.0, p_matrix.transposed(), d);
                        let values = Matrix::new(&rows[v..], seen, width, row);
                        let into = MatrixMut::new(&mut dscores, count, seen, seen);
                        multiply(into, false, 1.0, d, values.transposed());
                        vectorized(|| {
                            let rows = dscores.chunks_exact_mut(seen).zip(p.chunks_exact(length));
                            for (d, p) in rows.take(count) {
                                let p = &p[..seen];
                                let mean = dot(d, p);
                                for (d, p) in d.iter_mut().zip(p) {
                                    *d = (*d - mean) * p;
                                }
                            }
                        });
                        let d = Matrix::new(&dscores, count, seen, seen);
                        let into = MatrixMut::new(&mut drows[start * row + q..], count, width, row);
                        let keys = Matrix::new(&rows[k..], seen, width, row);
                        multiply(into, false, self.scale(), d, keys);
                        let into = MatrixMut::new(&mut drows[k..], seen, width, row);
                        let queries = Matrix::new(&rows[start * row + q..], count, width, row);
                        multiply(into, true, self.scale(), d.transposed(), queries);
                    }
                }
            }
            Ok(())
        })?;
        self.turn(&mut dqkv, true);
        tensor(dqkv, qkv).map(Some)
    }
}
