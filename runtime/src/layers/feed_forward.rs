//! The feed-forward block up to its non-linearity: what the keys of its memory answer.

use sprat_format::{Activation, FeedForward};

use super::{ACTIVATION, Compute, Input, Product};
use crate::kernels::Prepared;
use crate::meter::Stage;
use crate::team::share_tokens;
use crate::weights::LayerWeights;

/// `up` (T x F) = what the block's last matrix multiplies, from the block's input (T x H). `gate` (T x F) and
/// `quantized` are work space.
pub(crate) fn expand(
    feed_forward: FeedForward,
    compute: Compute,
    layer: &LayerWeights,
    tokens: usize,
    input: &[f32],
    quantized: &mut Prepared,
    gate: &mut [f32],
    up: &mut [f32],
) {
    compute.meter.begin(Stage::FeedForward);
    let keys = Product { matrix: &layer.up, bias: layer.up_bias, out: up };
    match (feed_forward, &layer.gate) {
        (FeedForward::Gated(activation), Some(matrix)) => {
            let gates = Product { matrix, bias: layer.gate_bias, out: gate };
            Input::new(input, quantized).times_each(compute, [keys, gates]);
            activate_gate(compute, activation, tokens, gate, up);
        }
        (FeedForward::Plain(activation) | FeedForward::Gated(activation), _) => {
            Input::new(input, quantized).times_each(compute, [keys]);
            activate(compute, activation, tokens, up);
        }
    }
}

/// Applies the non-linearity to each element of `x` (T x F).
fn activate(compute: Compute, activation: Activation, tokens: usize, x: &mut [f32]) {
    let Compute { kernels, team, .. } = compute;
    share_tokens(team, ACTIVATION * x.len(), tokens, x, |_, x| (kernels.activate)(activation, x));
}

/// `up` *= the non-linearity of `gate`, both T x F.
fn activate_gate(compute: Compute, activation: Activation, tokens: usize, gate: &[f32], up: &mut [f32]) {
    let Compute { kernels, team, .. } = compute;
    let width = gate.len() / tokens;
    share_tokens(team, ACTIVATION * gate.len(), tokens, up, |own, up| {
        (kernels.gate)(activation, &gate[own.start * width..own.end * width], up);
    });
}
