//! The parts of which every supported model is built.
//!
//! Each works on a chunk of T tokens, whose rows lie one after the other, and treats a token in a chunk exactly
//! as it would alone.

use sprat_format::{Activation, Config, Norm, Pairing, Position};

use crate::cache::{Cache, Run};
use crate::kernels::Kernels;
use crate::math;
use crate::weights::Matrix;

/// Normalizes each row of `x` (T x H) into `out`.
pub(crate) fn norm(
    config: &Config,
    kernels: &Kernels,
    weight: &[f32],
    bias: Option<&[f32]>,
    x: &[f32],
    out: &mut [f32],
) {
    let width = weight.len();
    let count = width as f32;
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        match config.norm {
            Norm::RmsNorm => out.copy_from_slice(x),
            Norm::LayerNorm => {
                let mean = (kernels.sum)(x) / count;
                out.iter_mut().zip(x).for_each(|(out, x)| *out = x - mean);
            }
        }
        let variance = (kernels.dot)(out, out) / count;
        let scale = 1.0 / math::sqrt(variance + config.norm_eps);
        out.iter_mut().zip(weight).for_each(|(out, weight)| *out = *out * scale * weight);
        add_bias(bias, out);
    }
}

/// A chunk's rows as input of matrices, quantized when the first q8 matrix asks for it.
pub(crate) struct Input<'s> {
    x: &'s [f32],
    q: &'s mut [i8],
    scales: &'s mut [f32],
    quantized: bool,
}

impl<'s> Input<'s> {
    /// `q` and `scales` are work space for the quantized form.
    pub(crate) fn new(x: &'s [f32], q: &'s mut [i8], scales: &'s mut [f32]) -> Self {
        Self { x, q, scales, quantized: false }
    }

    /// `out` (T x rows) = each row of the input times the transposed matrix, plus the bias.
    pub(crate) fn times(
        &mut self,
        kernels: &Kernels,
        matrix: &Matrix,
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) {
        match matrix {
            Matrix::F32 { cols, values } => (kernels.matmul_f32)(values, *cols, self.x, out),
            Matrix::F16 { cols, values } => (kernels.matmul_f16)(values, *cols, self.x, out),
            Matrix::Q8 { cols, matrix } => {
                let values = self.x.len() / cols * matrix.stride;
                let (q, scales) = (&mut self.q[..values], &mut self.scales[..values / matrix.group]);
                if !self.quantized {
                    (kernels.quantize)(self.x, *cols, matrix.group, q, scales);
                    self.quantized = true;
                }
                (kernels.matmul_q8)(matrix, q, scales, out);
            }
        }
        add_bias(bias, out);
    }
}

/// Adds the bias to each row.
fn add_bias(bias: Option<&[f32]>, rows: &mut [f32]) {
    if let Some(bias) = bias {
        rows.chunks_exact_mut(bias.len()).for_each(|row| add(bias, row));
    }
}

/// `sum` += `x`.
pub(crate) fn add(x: &[f32], sum: &mut [f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}

/// Cosines and sines (T x dims/2 each) of the angles at positions `start`, `start` + 1, ...
pub(crate) fn rotary_angles(frequencies: &[f32], start: usize, cos: &mut [f32], sin: &mut [f32]) {
    let width = frequencies.len();
    if width == 0 {
        return;
    }
    for (token, (cos, sin)) in cos.chunks_exact_mut(width).zip(sin.chunks_exact_mut(width)).enumerate() {
        let position = (start + token) as f32;
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(frequencies) {
            (*sin, *cos) = math::sin_cos(position * frequency);
        }
    }
}

/// Rotates every head of every row of `x` (T x width) by its position's angles (T x dims/2).
pub(crate) fn rotate(config: &Config, x: &mut [f32], width: usize, cos: &[f32], sin: &[f32]) {
    let Position::Rotary { dims, pairing } = config.position else { return };
    let pairs = dims as usize / 2;
    let angles = cos.chunks_exact(pairs).zip(sin.chunks_exact(pairs));
    for (row, (cos, sin)) in x.chunks_exact_mut(width).zip(angles) {
        for head in row.chunks_exact_mut(config.head_dim as usize) {
            for pair in 0..pairs {
                let (first, second) = match pairing {
                    Pairing::Half => (pair, pair + pairs),
                    Pairing::Interleaved => (2 * pair, 2 * pair + 1),
                };
                let (a, b) = (head[first], head[second]);
                head[first] = a * cos[pair] - b * sin[pair];
                head[second] = a * sin[pair] + b * cos[pair];
            }
        }
    }
}

/// Causal attention of one token at `position` (its own key and value are in the cache already): `out`
/// (heads*head_dim) = for each head the mean of the values, weighted by softmax(query . key / sqrt(head_dim)).
/// `query` (heads*head_dim) is scaled in place; `scores` (at least position + 1) and `quantized`
/// (head_dim rounded up to whole words) are work space.
pub(crate) fn attend(
    config: &Config,
    kernels: &Kernels,
    cache: &Cache,
    layer: usize,
    position: usize,
    query: &mut [f32],
    scores: &mut [f32],
    quantized: &mut [i8],
    out: &mut [f32],
) {
    let head_dim = config.head_dim as usize;
    let heads_per_kv = (config.heads / config.kv_heads) as usize;
    let scores = &mut scores[..position + 1];
    let scale = 1.0 / math::sqrt(head_dim as f32);
    query.iter_mut().for_each(|q| *q *= scale);
    for (head, (query, out)) in query.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)).enumerate() {
        let kv_head = head / heads_per_kv;
        match cache.keys(layer, kv_head, scores.len()) {
            Run::Q8 { values, scales, stride } => {
                let mut query_scale = [0.0];
                (kernels.quantize)(query, head_dim, stride, quantized, &mut query_scale);
                (kernels.score_q8)(quantized, query_scale[0], values, scales, scores);
            }
            Run::F16(keys) => (kernels.score_f16)(query, keys, scores),
            Run::F32(keys) => (kernels.score_f32)(query, keys, scores),
        }
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, &s| if s > most { s } else { most });
        scores.iter_mut().for_each(|s| *s = math::exp(*s - most));
        out.fill(0.0);
        match cache.values(layer, kv_head, scores.len()) {
            Run::Q8 { values, scales, stride } => (kernels.mix_q8)(scores, values, scales, stride, out),
            Run::F16(values) => (kernels.mix_f16)(scores, values, out),
            Run::F32(values) => (kernels.mix_f32)(scores, values, out),
        }
        let inverse = 1.0 / (kernels.sum)(scores);
        out.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// Applies the non-linearity to each element.
pub(crate) fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Silu => x.iter_mut().for_each(|x| *x = math::silu(*x)),
        Activation::GeluTanh => x.iter_mut().for_each(|x| *x = math::gelu_tanh(*x)),
        Activation::GeluErf => x.iter_mut().for_each(|x| *x = math::gelu_erf(*x)),
        Activation::Relu => x.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
    }
}

/// `product` *= `x`.
pub(crate) fn multiply(x: &[f32], product: &mut [f32]) {
    product.iter_mut().zip(x).for_each(|(product, x)| *product *= x);
}
