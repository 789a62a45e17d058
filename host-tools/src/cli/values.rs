//! Values of arguments that are neither numbers nor text: types, layouts, exceptions, amounts of bytes.

use clap::ValueEnum;
use sprat_format::{KvType, Layout, Role};

use crate::pack::WeightType;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Weights {
    Q8,
    F16,
    F32,
}

impl From<Weights> for WeightType {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::Q8 => Self::Q8,
            Weights::F16 => Self::F16,
            Weights::F32 => Self::F32,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum MatrixLayout {
    /// Rows one after the other
    Rows,
    /// Four rows interleaved by words, the fastest for Helium (Cortex-M55)
    Interleaved,
    /// The same with biased even columns, for DSP cores (Cortex-M4, M7, M33)
    Biased,
}

impl From<MatrixLayout> for Layout {
    fn from(layout: MatrixLayout) -> Self {
        match layout {
            MatrixLayout::Rows => Self::Rows,
            MatrixLayout::Interleaved => Self::Interleaved,
            MatrixLayout::Biased => Self::InterleavedBiased,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kv {
    Q8,
    F16,
    F32,
}

impl From<Kv> for KvType {
    fn from(kv: Kv) -> Self {
        match kv {
            Kv::Q8 => Self::Q8,
            Kv::F16 => Self::F16,
            Kv::F32 => Self::F32,
        }
    }
}

/// `TENSOR=TYPE`.
pub(super) fn exception(text: &str) -> Result<(Role, WeightType), String> {
    let (name, weights) = text.split_once('=').ok_or("expected TENSOR=TYPE")?;
    let role =
        Role::ALL.into_iter().find(|role| role.is_matrix() && role.name() == name).ok_or_else(|| {
            let all: Vec<_> =
                Role::ALL.iter().filter(|role| role.is_matrix()).map(|role| role.name()).collect();
            format!("there is no matrix {name:?}; matrices are {}", all.join(", "))
        })?;
    Ok((role, Weights::from_str(weights, false)?.into()))
}

/// A number of bytes with an optional unit.
pub(super) fn byte_count(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|&number| number > 0).ok_or_else(|| "expected a number such as 65536, 64K or 1M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_have_units() {
        assert_eq!(byte_count("64K"), Ok(65536));
        assert_eq!(byte_count("1m"), Ok(1 << 20));
        assert_eq!(byte_count("77"), Ok(77));
        assert!(byte_count("0").is_err() && byte_count("K").is_err() && byte_count("-1").is_err());
    }

    #[test]
    fn exceptions_name_a_matrix_and_a_type() {
        assert_eq!(exception("head=f16"), Ok((Role::Head, WeightType::F16)));
        assert!(exception("haed=f16").unwrap_err().contains("matrices are token_embedding"));
        assert!(exception("head=f8").is_err() && exception("final_norm=f16").is_err());
    }
}
