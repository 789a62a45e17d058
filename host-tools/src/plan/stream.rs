//! The plan of a model that is streamed: what of it is in RAM, and how long a token waits for its source.

use std::fmt;

use anyhow::{Context as _, Result};
use serde::Serialize;
use sprat::stream::StreamPlan;

use super::text::{duration, rate, verdict};
use super::{Report, Time};
use crate::model::Model;
use crate::table::{bytes, grouped};

/// A model that comes through a window from a source of so many bytes a second.
#[derive(Clone, Debug, Serialize)]
pub struct Streamed {
    /// What is always in RAM: the head of the file with the tokenizer, and the vectors.
    pub resident: u64,
    /// The window, both halves.
    pub window: u64,
    /// The smallest window for this model.
    pub least_window: u64,
    /// What the arena's memory has to hold with both.
    pub needed: u64,
    /// What that memory has.
    pub available: u64,
    /// What is missing; 0 when it fits.
    pub missing: u64,
    /// Bytes that a written token reads.
    pub token_bytes: u64,
    /// Bytes a second that the source brings: said, not known.
    pub bytes_per_second: f64,
    /// Seconds that a written token waits for them, while it is computed.
    pub reading_seconds: f64,
    /// Seconds for a token written at the start of the context: the larger of that and what the core takes.
    pub first_seconds: f64,
    /// The same at its end.
    pub last_seconds: f64,
}

/// Plans a packed file that is streamed on the board of a plan.
///
/// # Errors
/// A window that is too small for it.
pub fn streamed(model: &Model, report: &Report, window: usize, bytes_per_second: f64) -> Result<Streamed> {
    let plan = StreamPlan::new(model.image()?.file(), window).context("cannot stream the model")?;
    let Report { ram, time, .. } = report;
    let Time { first, last, .. } = time;
    let reading_seconds = plan.token_bytes as f64 / bytes_per_second;
    let needed = ram.needed + plan.resident_bytes + window as u64;
    Ok(Streamed {
        resident: plan.resident_bytes,
        window: window as u64,
        least_window: plan.least_window_bytes as u64,
        needed,
        available: ram.available,
        missing: needed.saturating_sub(ram.available),
        token_bytes: plan.token_bytes,
        bytes_per_second,
        reading_seconds,
        first_seconds: reading_seconds.max(first.core_seconds),
        last_seconds: reading_seconds.max(last.core_seconds),
    })
}

impl fmt::Display for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nstreamed: the matrices come through a window while they are multiplied")?;
        writeln!(f, "  always in RAM       {}", bytes(self.resident))?;
        writeln!(f, "  window              {}, at least {}", bytes(self.window), grouped(self.least_window))?;
        let fits = verdict(self.missing);
        writeln!(f, "  needed              {} of {}: {fits}", bytes(self.needed), grouped(self.available))?;
        writeln!(f, "  a written token     {} read", bytes(self.token_bytes))?;
        writeln!(
            f,
            "  predicted           {} to read it at {:.1} MB/s; a token {} at first, {} at last ({})",
            duration(self.reading_seconds),
            self.bytes_per_second / 1e6,
            duration(self.first_seconds),
            duration(self.last_seconds),
            rate(1.0 / self.last_seconds),
        )
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressBar;

    use super::*;
    use crate::boards::Boards;
    use crate::import::OpenOptions;
    use crate::plan::{Subject, plan};

    #[test]
    fn a_token_waits_for_the_source_or_for_the_core() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assistant/assistant-q8.sprat");
        let model = Model::open(path.as_ref(), &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
        let boards = Boards::load(None).unwrap();
        let subject = Subject::of(&model).unwrap();
        let board = boards.by_name("stm32h743").unwrap();
        let report = plan(&subject, model.image().unwrap().limits(), board).unwrap();
        let slow = streamed(&model, &report, 32 << 10, 1e6).unwrap();
        // All but the head of the file and what one token needs of the embeddings.
        assert!((800_000..900_000).contains(&slow.token_bytes), "{slow:?}");
        assert_eq!(slow.first_seconds, slow.token_bytes as f64 / 1e6);
        assert_eq!(slow.needed, report.ram.needed + slow.resident + (32 << 10));
        assert!(slow.missing == 0 && slow.least_window <= slow.window, "{slow:?}");
        let fast = streamed(&model, &report, 32 << 10, 1e12).unwrap();
        assert_eq!(fast.first_seconds, report.time.first.core_seconds);
        let error = format!("{:#}", streamed(&model, &report, 100, 1e6).unwrap_err());
        assert!(error.contains("the window has 100 bytes, at least"), "{error}");
    }
}
