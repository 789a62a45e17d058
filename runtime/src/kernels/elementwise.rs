//! The portable kernels that treat every element alike: what lies between the matrices.
//!
//! They are in the table because a prompt's chunk is long: compiled for wide vectors, they vanish beside the
//! matrices.

use sprat_format::Activation;

use crate::math;

/// `sum` += `x`.
#[inline(always)]
pub(super) fn add(x: &[f32], sum: &mut [f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}

/// `out` = (`x` - `mean`) * `scale` * `weight`, rounded after each step.
#[inline(always)]
pub(super) fn normalize(x: &[f32], mean: f32, scale: f32, weight: &[f32], out: &mut [f32]) {
    let elements = out.iter_mut().zip(x.iter().zip(weight));
    elements.for_each(|(out, (x, weight))| *out = (x - mean) * scale * weight);
}

/// The body with the function of each non-linearity, so that each has a loop of its own.
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
#[inline(always)]
pub(super) fn activate(activation: Activation, x: &mut [f32]) {
    for_activation!(activation, function => x.iter_mut().for_each(|x| *x = function(*x)));
}

/// `up` *= the non-linearity of `gate`.
#[inline(always)]
pub(super) fn gate(activation: Activation, gate: &[f32], up: &mut [f32]) {
    for_activation!(activation, function => {
        up.iter_mut().zip(gate).for_each(|(up, gate)| *up *= function(*gate));
    });
}
