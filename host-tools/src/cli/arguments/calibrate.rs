//! Options of calibration.

use std::path::PathBuf;

use clap::Args;

use crate::calibrate::Goals;
use crate::cli::values::byte_count;

/// How the quantization is made to suit a text.
#[derive(Debug, Args)]
pub(in crate::cli) struct CalibrateArguments {
    /// Quantize so that the model's answers on this text change least: a few thousand words of what the model will be
    /// used for
    #[arg(long, value_name = "TEXT")]
    pub calibrate: Option<PathBuf>,
    /// Bytes that the packed file may have (K and M mean 1024 and 1024 x 1024): as many matrices as fit stay in half
    /// precision, those first that suffer most as bytes
    #[arg(long, value_name = "BYTES", requires = "calibrate", value_parser = byte_count)]
    budget: Option<usize>,
    /// Divergence from the checkpoint that is allowed on the text, in nats a token: as many matrices as necessary stay in
    /// half precision
    #[arg(long, value_name = "NATS", requires = "calibrate", value_parser = positive)]
    max_kl: Option<f64>,
}

impl CalibrateArguments {
    pub fn goals(&self) -> Goals {
        Goals { budget: self.budget.map(|bytes| bytes as u64), max_kl: self.max_kl }
    }
}

/// A number above 0.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0, such as 0.01".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_is_above_0() {
        assert_eq!(positive("0.01"), Ok(0.01));
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("nan").is_err());
    }
}
