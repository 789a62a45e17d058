//! Cortex-M cores with Helium (MVE): M55, M85.
//!
//! Products of quantized and of half-precision matrices, as blocks of assembly that hold a whole row of blocks or
//! of columns, because stable Rust has neither the intrinsics nor vector operands. Everything else is the portable
//! kernel, which the compiler vectorizes.
//!
//! Helium flushes subnormal floats to zero, which the portable kernels do not. In q8 products none occur: a scale of
//! inputs is at least 2^-74 (see `LEAST_AMPLITUDE`), a weight's at least 2^-24, and sums of their products are
//! multiples of ordinary numbers. Of a half-precision weight and an input the product is subnormal only for an
//! input below 2^-102, and seen only in a sum of nothing but such products.
#![allow(unsafe_code)]

use super::{Kernels, portable};

mod half_floats;
mod products;

pub(super) static KERNELS: Kernels = Kernels {
    name: "mve",
    matmul_q8: products::matmul_q8,
    matmul_f16: half_floats::matmul_f16,
    ..portable::KERNELS
};
