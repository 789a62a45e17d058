//! The packed file while it is being written: tensors pass through in bands of rows.
//!
//! A band is read, quantized and arranged by one thread, so that all cores work, and a few bands for each thread are all
//! that is in memory at once, however large a tensor is. The bytes do not depend on the number of threads: bands are
//! written in their order, and a band is whole blocks of whatever layout.

use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use sprat_format::{BLOCK_ROWS, Sink, TensorSpec, WriteError, Writer};

use crate::quantize::{self, Encoded};

/// Numbers of a band, about: as many as stay in a core's own cache.
const BAND: usize = 1 << 16;
/// Bands in memory for each thread.
const BANDS_A_THREAD: usize = 8;

/// Where a packed file goes: anything that can be written to and sought in.
pub(super) struct SeekSink<W> {
    out: W,
    at: u64,
}

impl<W: Write + Seek> SeekSink<W> {
    pub fn new(out: W) -> Self {
        Self { out, at: 0 }
    }

    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write + Seek> Sink for SeekSink<W> {
    type Error = std::io::Error;

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        if offset != self.at {
            self.out.seek(SeekFrom::Start(offset))?;
        }
        self.out.write_all(bytes)?;
        self.at = offset + bytes.len() as u64;
        Ok(())
    }
}

/// What takes the tensors in the order of their specifications.
pub(crate) struct Tensors<'w, 's, W: Write + Seek> {
    pub(super) writer: &'w mut Writer<'s, SeekSink<W>>,
}

impl<W: Write + Seek> Tensors<'_, '_, W> {
    /// Quantizes and writes the next tensor, whose rows `read` gives, to several threads at once. `name` is for
    /// messages, and `done` hears how many numbers were written.
    ///
    /// # Errors
    /// What `read` says; a weight that cannot be stored, by tensor and place; a failed write.
    pub fn rows(
        &mut self,
        spec: &TensorSpec,
        name: &str,
        read: impl Fn(Range<usize>) -> Result<Vec<f32>> + Sync,
        done: impl Fn(u64),
    ) -> Result<()> {
        let (rows, cols) = (spec.rows as usize, spec.cols as usize);
        let band = (BAND / cols).next_multiple_of(BLOCK_ROWS).max(BLOCK_ROWS);
        let bands: Vec<_> = (0..rows).step_by(band).map(|from| from..rows.min(from + band)).collect();
        let encode = |band: &Range<usize>| {
            let weights = read(band.clone())?;
            let encoded = quantize::encode(spec.element, cols, &weights)
                .map_err(|error| error.shifted(band.start * cols))
                .with_context(|| format!("tensor {name}"))?;
            Ok(quantize::arrange(&TensorSpec { rows: band.len() as u32, ..*spec }, encoded))
        };
        let mut scales = Vec::with_capacity(spec.scale_bytes() as usize);
        for bands in bands.chunks(BANDS_A_THREAD * rayon::current_num_threads()) {
            let encoded: Vec<Encoded> = bands.par_iter().map(encode).collect::<Result<_>>()?;
            for (band, encoded) in bands.iter().zip(encoded) {
                self.writer.values(&encoded.values).map_err(failed)?;
                scales.extend(encoded.scales);
                done((band.len() * cols) as u64);
            }
        }
        self.writer.scales(&scales).map_err(failed)
    }
}

impl<W: Write + Seek> Tensors<'_, '_, W> {
    /// Writes the next tensor, quantized already, row by row.
    ///
    /// # Errors
    /// A failed write.
    pub fn encoded(&mut self, spec: &TensorSpec, encoded: Encoded) -> Result<()> {
        let encoded = quantize::arrange(spec, encoded);
        self.writer.tensor(&encoded.values, &encoded.scales).map_err(failed)
    }
}

/// The format's error with what the system said as its own cause.
pub(super) fn failed(error: WriteError<std::io::Error>) -> anyhow::Error {
    match error {
        WriteError::Sink(error) => anyhow::Error::new(error).context("cannot write the packed file"),
        other => anyhow!("cannot write the packed file: {other}"),
    }
}
