//! The laptop side of Sprat as a library: import, quantize, pack, plan, run, measure.

pub mod import;
