//! x86-64: AVX2, AVX-VNNI and AVX-512 VNNI.
#![allow(unsafe_code)]
use super::Kernels;
pub(super) fn avx512vnni() -> Option<&'static Kernels> {
    None
}
pub(super) fn avxvnni() -> Option<&'static Kernels> {
    None
}
pub(super) fn avx2() -> Option<&'static Kernels> {
    None
}
