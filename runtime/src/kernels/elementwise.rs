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

/// `product` *= `x`.
#[inline(always)]
pub(super) fn multiply(x: &[f32], product: &mut [f32]) {
    product.iter_mut().zip(x).for_each(|(product, x)| *product *= x);
}

/// `x` = `x` * `scale` * `weight`, rounded after each product.
#[inline(always)]
pub(super) fn normalize(scale: f32, weight: &[f32], x: &mut [f32]) {
    x.iter_mut().zip(weight).for_each(|(x, weight)| *x = *x * scale * weight);
}

/// Applies the non-linearity to each element.
#[inline(always)]
pub(super) fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Silu => x.iter_mut().for_each(|x| *x = math::silu(*x)),
        Activation::GeluTanh => x.iter_mut().for_each(|x| *x = math::gelu_tanh(*x)),
        Activation::GeluErf => x.iter_mut().for_each(|x| *x = math::gelu_erf(*x)),
        Activation::Relu => x.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
    }
}
