//! The parts of which every supported model is built.
//!
//! Each works on a chunk of T tokens, whose rows lie one after the other, and treats a token in a chunk exactly
//! as it would alone.

use sprat_format::{Activation, Config, Layout, Norm, Pairing, Position};

use crate::cache::{Cache, Run};
use crate::kernels::{Attention, AttentionWork, Kernels, MIX_BLOCK, PAIR, Prepared};
use crate::math;
use crate::team::{Team, Workspace, share};
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
    let scale = |x: &[f32]| 1.0 / (kernels.sqrt)((kernels.dot)(x, x) / count + config.norm_eps);
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        match config.norm {
            Norm::RmsNorm => {
                let scale = scale(x);
                out.iter_mut().zip(x).zip(weight).for_each(|((out, x), weight)| *out = x * scale * weight);
            }
            Norm::LayerNorm => {
                let mean = (kernels.sum)(x) / count;
                out.iter_mut().zip(x).for_each(|(out, x)| *out = x - mean);
                let scale = scale(out);
                out.iter_mut().zip(weight).for_each(|(out, weight)| *out = *out * scale * weight);
            }
        }
        add_bias(bias, out);
    }
}

/// Who computes: the kernels of one core, and the team of cores.
#[derive(Clone, Copy)]
pub(crate) struct Compute<'t> {
    pub kernels: &'static Kernels,
    pub team: &'t dyn Team,
}

/// A chunk's rows as input of matrices, quantized when a q8 matrix asks for it.
pub(crate) struct Input<'s> {
    x: &'s [f32],
    prepared: Prepared<'s>,
    /// The layout that the quantized form is for.
    layout: Option<Layout>,
}

impl<'s> Input<'s> {
    /// `work` is space for the quantized form.
    pub(crate) fn new(x: &'s [f32], work: &'s mut Prepared) -> Self {
        let Prepared { values, scales, sums } = work;
        Self { x, prepared: Prepared { values, scales, sums }, layout: None }
    }

    /// `out` (T x rows) = each row of the input times the transposed matrix, plus the bias.
    pub(crate) fn times(&mut self, compute: Compute, matrix: &Matrix, bias: Option<&[f32]>, out: &mut [f32]) {
        let Compute { kernels, team } = compute;
        let x = self.x;
        let work = Workspace { floats: &mut [], bytes: &mut [] };
        match matrix {
            Matrix::F32 { cols, values } => {
                share(team, out, values.len() / cols, 1, work, &|rows, out, _| {
                    (kernels.matmul_f32)(&values[rows.start * cols..rows.end * cols], *cols, x, out);
                });
            }
            Matrix::F16 { cols, values } => {
                share(team, out, values.len() / cols, 1, work, &|rows, out, _| {
                    (kernels.matmul_f16)(&values[rows.start * cols..rows.end * cols], *cols, x, out);
                });
            }
            Matrix::Q8 { cols, matrix } => {
                let values = x.len() / cols * matrix.stride;
                let input = &mut Prepared {
                    values: &mut self.prepared.values[..2 * values],
                    scales: &mut self.prepared.scales[..values / matrix.group],
                    sums: &mut self.prepared.sums[..values / matrix.group],
                };
                if self.layout != Some(matrix.layout) {
                    (kernels.prepare)(x, *cols, matrix.group, matrix.layout, input);
                    self.layout = Some(matrix.layout);
                }
                let input = &*input;
                share(team, out, matrix.rows, matrix.unit(), work, &|rows, out, _| {
                    (kernels.matmul_q8)(&matrix.part(rows), input, out);
                });
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
    // Four at a time, since small cores are not given unrolled loops.
    let ((sums, sum_rest), (xs, x_rest)) = (sum.as_chunks_mut::<4>(), x.as_chunks::<4>());
    for (sum, x) in sums.iter_mut().zip(xs) {
        let ([s0, s1, s2, s3], [x0, x1, x2, x3]) = (*sum, *x);
        *sum = [s0 + x0, s1 + x1, s2 + x2, s3 + x3];
    }
    sum_rest.iter_mut().zip(x_rest).for_each(|(sum, x)| *sum += x);
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
    share(compute.team, out, width, head_dim, work, &|own, out, work| {
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
                        let scale = scale * (core::f32::consts::LOG2_E * 65536.0);
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

/// The body once for each non-linearity, so that each loop has its own.
macro_rules! for_activation {
    ($activation:expr, $function:ident => $body:expr) => {
        match $activation {
            Activation::Silu => {
                let $function = math::silu;
                $body
            }
            Activation::GeluTanh => {
                let $function = math::gelu_tanh;
                $body
            }
            Activation::GeluErf => {
                let $function = math::gelu_erf;
                $body
            }
            Activation::Relu => {
                let $function = |x| if x > 0.0 { x } else { 0.0 };
                $body
            }
        }
    };
}

/// Applies the non-linearity to each element.
pub(crate) fn activate(activation: Activation, x: &mut [f32]) {
    for_activation!(activation, function => x.iter_mut().for_each(|x| *x = function(*x)));
}

/// `up` *= the non-linearity of `gate`.
pub(crate) fn activate_gate(kernels: &Kernels, activation: Activation, gate: &[f32], up: &mut [f32]) {
    if activation == Activation::Silu {
        return (kernels.gate_silu)(gate, up);
    }
    for_activation!(activation, function => {
        up.iter_mut().zip(gate).for_each(|(up, gate)| *up *= function(*gate))
    });
}
