//! Every transcendental function of the runtime, the same code on every target.
//!
//! libm is compiled from the same Rust source everywhere and uses nothing but IEEE operations, so a result
//! has the same bits on a laptop and on a microcontroller; the platform's own mathematics library would not.

/// e^x.
pub(crate) fn exp(x: f32) -> f32 {
    libm::expf(x)
}

/// The square root, correctly rounded.
pub(crate) fn sqrt(x: f32) -> f32 {
    libm::sqrtf(x)
}

/// Sine and cosine of an angle in radians.
pub(crate) fn sin_cos(x: f32) -> (f32, f32) {
    (libm::sinf(x), libm::cosf(x))
}

/// x * sigmoid(x).
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU by the tanh approximation of Hendrycks and Gimpel (2016), as GPT-2 has it.
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + libm::tanhf(SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

/// GELU by the error function.
pub(crate) fn gelu_erf(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2))
}
