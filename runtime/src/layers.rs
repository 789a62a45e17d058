//! The parts of which every supported model is built.
//!
//! Each works on a chunk of T tokens, whose rows lie one after the other, and treats a token in a chunk exactly
//! as it would alone.

use sprat_format::{Activation, Config, Layout, Norm, Pairing, Position};

use crate::cache::{Cache, Run};
use crate::kernels::{Attention, AttentionWork, Kernels, MIX_BLOCK, PAIR, Prepared, Q8, SCORE_ONE};
use crate::math;
use crate::meter::{Meter, Stage};
use crate::team::{Outputs, Team, Workspace, share, share_matrices, share_tokens};
use crate::weights::Matrix;

/// Who computes, and who counts: the kernels of one core, the team of cores, the engine's meter.
#[derive(Clone, Copy)]
pub(crate) struct Compute<'t> {
    pub kernels: &'static Kernels,
    pub team: &'t dyn Team,
    pub meter: &'t Meter<'t>,
}

/// What an element costs that is not part of a matrix, in products: which pieces are worth sharing out follows.
const ELEMENT: usize = 4;
/// As [`ELEMENT`], for a non-linearity.
const ACTIVATION: usize = 4 * ELEMENT;

/// Normalizes each row of `x` (T x H) into `out`.
pub(crate) fn norm(
    config: &Config,
    compute: Compute,
    weight: &[f32],
    bias: Option<&[f32]>,
    x: &[f32],
    out: &mut [f32],
) {
    let Compute { kernels, team, meter } = compute;
    meter.begin(Stage::Norm);
    let width = weight.len();
    share_tokens(team, x.len() * ELEMENT, x.len() / width, out, |own, out| {
        let x = &x[own.start * width..own.end * width];
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            norm_row(config, kernels, weight, bias, x, out);
        }
    });
}

/// Normalizes one row (H).
fn norm_row(
    config: &Config,
    kernels: &Kernels,
    weight: &[f32],
    bias: Option<&[f32]>,
    x: &[f32],
    out: &mut [f32],
) {
    let count = weight.len() as f32;
    let (mean, squares) = match config.norm {
        Norm::RmsNorm => (0.0, (kernels.dot)(x, x)),
        Norm::LayerNorm => {
            let mean = (kernels.sum)(x) / count;
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x - mean);
            (mean, (kernels.dot)(out, out))
        }
    };
    let scale = 1.0 / (kernels.sqrt)(squares / count + config.norm_eps);
    (kernels.normalize)(x, mean, scale, weight, out);
    if let Some(bias) = bias {
        (kernels.add)(bias, out);
    }
}

/// A chunk's rows as input of matrices, quantized when a q8 matrix asks for it.
pub(crate) struct Input<'s> {
    x: &'s [f32],
    prepared: Prepared<'s>,
    /// The layout that the quantized form is for.
    layout: Option<Layout>,
}

/// A matrix, its bias, and the place of the outputs (T x rows).
pub(crate) struct Product<'p, 'm> {
    pub matrix: &'p Matrix<'m>,
    pub bias: Option<&'m [f32]>,
    pub out: &'p mut [f32],
}

impl<'s> Input<'s> {
    /// `work` is space for the quantized form.
    pub(crate) fn new(x: &'s [f32], work: &'s mut Prepared) -> Self {
        let Prepared { values, scales, sums } = work;
        Self { x, prepared: Prepared { values, scales, sums }, layout: None }
    }

    /// `out` (T x rows) = each row of the input times the transposed matrix, plus the bias.
    pub(crate) fn times<'p, 'm>(
        &mut self,
        compute: Compute,
        matrix: &'p Matrix<'m>,
        bias: Option<&'m [f32]>,
        out: &'p mut [f32],
    ) {
        self.times_alike(compute, [Product { matrix, bias, out }]);
    }

    /// The same for several matrices at once, so that the cores meet once and not after each.
    pub(crate) fn times_each<const N: usize>(&mut self, compute: Compute, products: [Product; N]) {
        let layout = |product: &Product| product.matrix.q8().map(|matrix| matrix.layout);
        if products.iter().all(|product| layout(product) == layout(&products[0])) {
            self.times_alike(compute, products);
        } else {
            products.into_iter().for_each(|product| self.times_alike(compute, [product]));
        }
    }

    /// The same for matrices that want one form of the input.
    fn times_alike<const N: usize>(&mut self, compute: Compute, products: [Product; N]) {
        let Compute { kernels, team, meter } = compute;
        let matrices = products.each_ref().map(|product| (product.matrix, product.bias));
        let tokens = self.x.len() / matrices[0].0.cols();
        let count = tokens * matrices.iter().map(|(matrix, _)| matrix.rows() * matrix.cols()).sum::<usize>();
        meter.count(count);
        if let Some(matrix) = matrices[0].0.q8() {
            self.prepare(compute, matrix, tokens);
        }
        let (x, prepared) = (self.x, &self.prepared);
        let outputs = products.map(|product| {
            let unit = product.matrix.q8().map_or(1, Q8::unit);
            Outputs::new(product.out, product.matrix.rows(), unit)
        });
        share_matrices(team, count, outputs, |number, rows, out| {
            let (matrix, bias) = matrices[number];
            match matrix {
                Matrix::F32 { cols, values } => {
                    (kernels.matmul_f32)(&values[rows.start * cols..rows.end * cols], *cols, x, out);
                }
                Matrix::F16 { cols, values } => {
                    (kernels.matmul_f16)(&values[rows.start * cols..rows.end * cols], *cols, x, out);
                }
                Matrix::Q8 { matrix, .. } => {
                    (kernels.matmul_q8)(&matrix.part(rows.clone()), prepared, out);
                }
            }
            if let Some(bias) = bias {
                (0..tokens).for_each(|token| (kernels.add)(&bias[rows.clone()], out.token(token)));
            }
        });
    }

    /// Quantizes the input for matrices like this one, unless it is already.
    fn prepare(&mut self, compute: Compute, matrix: &Q8, tokens: usize) {
        if self.layout == Some(matrix.layout) {
            return;
        }
        self.layout = Some(matrix.layout);
        let Q8 { group, stride, layout, .. } = *matrix;
        let Prepared { values, scales, sums } = core::mem::take(&mut self.prepared);
        self.prepared = Prepared {
            values: &mut values[..tokens * 2 * stride],
            scales: &mut scales[..tokens * stride / group],
            sums: &mut sums[..tokens * stride / group],
        };
        let Prepared { values, scales, sums } = &mut self.prepared;
        let (x, cols) = (self.x, self.x.len() / tokens);
        let buffers = (&mut **values, (&mut **scales, &mut **sums));
        share_tokens(compute.team, x.len() * ELEMENT, tokens, buffers, |own, (values, (scales, sums))| {
            let x = &x[own.start * cols..own.end * cols];
            let mut part = Prepared { values, scales, sums };
            (compute.kernels.prepare)(x, cols, group, layout, &mut part);
        });
    }
}

/// `sum` += `x`, both T x H.
pub(crate) fn add(compute: Compute, tokens: usize, x: &[f32], sum: &mut [f32]) {
    let width = x.len() / tokens;
    share_tokens(compute.team, x.len() * ELEMENT, tokens, sum, |own, sum| {
        (compute.kernels.add)(&x[own.start * width..own.end * width], sum);
    });
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
pub(crate) fn rotate(
    config: &Config,
    compute: Compute,
    tokens: usize,
    x: &mut [f32],
    cos: &[f32],
    sin: &[f32],
) {
    let Position::Rotary { dims, pairing } = config.position else { return };
    let pairs = dims as usize / 2;
    let width = x.len() / tokens;
    share_tokens(compute.team, x.len() * ELEMENT, tokens, x, |own, x| {
        let angles = own.start * pairs..own.end * pairs;
        rotate_rows(config, pairing, x, width, pairs, &cos[angles.clone()], &sin[angles]);
    });
}

/// The same for some rows of so many pairs each.
fn rotate_rows(
    config: &Config,
    pairing: Pairing,
    x: &mut [f32],
    width: usize,
    pairs: usize,
    cos: &[f32],
    sin: &[f32],
) {
    let angles = cos.chunks_exact(pairs).zip(sin.chunks_exact(pairs));
    for (row, (cos, sin)) in x.chunks_exact_mut(width).zip(angles) {
        for head in row.chunks_exact_mut(config.head_dim as usize) {
            let head = &mut head[..2 * pairs];
            match pairing {
                Pairing::Half => {
                    let (first, second) = head.split_at_mut(pairs);
                    for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
                Pairing::Interleaved => {
                    for ([a, b], (cos, sin)) in head.as_chunks_mut().0.iter_mut().zip(cos.iter().zip(sin)) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
            }
        }
    }
}

/// Causal attention of a chunk's tokens, the first at position `start` (their own keys and values are in the
/// cache already): `out` (T x heads*head_dim) = for each head the mean of the values at the token's and all
/// earlier positions, weighted by softmax(query . key / sqrt(head_dim)). `query` (T x heads*head_dim) may be scaled
/// in place; each member of the team needs work space as the plan says.
pub(crate) fn attend(
    config: &Config,
    compute: Compute,
    cache: &Cache,
    layer: usize,
    start: usize,
    query: &mut [f32],
    work: Workspace,
    out: &mut [f32],
) {
    let head_dim = config.head_dim as usize;
    let width = config.query_size() as usize;
    let shared = (config.heads / config.kv_heads) as usize;
    let kernels = compute.kernels;
    let scale = 1.0 / (kernels.sqrt)(head_dim as f32);
    let is_q8 = matches!(cache.keys(layer, 0, 0), Run::Q8(_));
    if !is_q8 {
        query.iter_mut().for_each(|q| *q *= scale);
    }
    let query = &*query;
    let tokens = out.len() / width;
    let products: usize = (0..tokens).map(|token| 2 * width * (start + token + 1)).sum();
    compute.meter.count(products);
    share(compute.team, products, out, width, head_dim, work, &|own, out, work| {
        for (token, query) in query.chunks_exact(width).enumerate() {
            let positions = start + token + 1;
            let (mut query, mut out) = (&query[own.clone()], out.token(token));
            let mut head = own.start / head_dim;
            while !query.is_empty() {
                let kv_head = head / shared;
                // Heads that share keys and values go together as far as the kernels take them.
                let count = match is_q8 {
                    true => (shared - head % shared).min(PAIR).min(query.len() / head_dim),
                    false => 1,
                };
                let (heads, others) = query.split_at(count * head_dim);
                let (heads_out, others_out) = out.split_at_mut(count * head_dim);
                match (cache.keys(layer, kv_head, positions), cache.values(layer, kv_head, positions)) {
                    (Run::Q8(keys), Run::Q8(values)) => {
                        let scale = scale * (core::f32::consts::LOG2_E * SCORE_ONE as f32);
                        let attention = Attention { query: heads, head_dim, scale, keys, values };
                        let floats = bytemuck::cast_slice_mut(work.floats);
                        let (multipliers, scores) = floats.split_at_mut(cache.context().min(MIX_BLOCK));
                        let work = &mut AttentionWork { scores, multipliers, query: work.bytes };
                        (kernels.attend_q8)(&attention, work, heads_out);
                    }
                    (keys, values) => {
                        attend_floats(kernels, heads, keys, values, &mut work.floats[..positions], heads_out);
                    }
                }
                (query, out, head) = (others, others_out, head + count);
            }
        }
    });
}

/// Attention of one query (head_dim), scaled already, over P positions of a cache of floats: `out` (head_dim).
/// `scores` (P) is work space.
fn attend_floats(
    kernels: &Kernels,
    query: &[f32],
    keys: Run,
    values: Run,
    scores: &mut [f32],
    out: &mut [f32],
) {
    match keys {
        Run::F16(keys) => (kernels.score_f16)(query, keys, scores),
        Run::F32(keys) => (kernels.score_f32)(query, keys, scores),
        Run::Q8(_) => return,
    }
    let total = (kernels.softmax)(scores);
    out.fill(0.0);
    match values {
        Run::F16(values) => (kernels.mix_f16)(scores, values, out),
        Run::F32(values) => (kernels.mix_f32)(scores, values, out),
        Run::Q8(_) => return,
    }
    let inverse = 1.0 / total;
    out.iter_mut().for_each(|out| *out *= inverse);
}

/// Applies the non-linearity to each element of `x` (T x F).
pub(crate) fn activate(compute: Compute, activation: Activation, tokens: usize, x: &mut [f32]) {
    let Compute { kernels, team, .. } = compute;
    share_tokens(team, ACTIVATION * x.len(), tokens, x, |_, x| (kernels.activate)(activation, x));
}

/// `up` *= the non-linearity of `gate`, both T x F.
pub(crate) fn activate_gate(
    compute: Compute,
    activation: Activation,
    tokens: usize,
    gate: &[f32],
    up: &mut [f32],
) {
    let Compute { kernels, team, .. } = compute;
    let width = gate.len() / tokens;
    share_tokens(team, ACTIVATION * gate.len(), tokens, up, |own, up| {
        (kernels.gate)(activation, &gate[own.start * width..own.end * width], up);
    });
}
