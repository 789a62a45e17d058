//! A firmware's `defmt` logs, decoded with the strings that stayed in its ELF.

use std::io::Read;

use anyhow::{Context as _, Result};
use defmt_decoder::{DecodeError, Table};

use crate::boot::Log;

/// The table of log strings in an ELF; `None` for a firmware that does not log.
pub(crate) fn table(elf: &[u8]) -> Result<Option<Table>> {
    Table::parse(elf).context("cannot read the log strings of the firmware")
}

/// Decodes `stream` to its end. Without a table, what comes is text and each line is a log.
pub(crate) fn decode(mut stream: impl Read, table: Option<&Table>, mut log: impl FnMut(Log)) -> Result<()> {
    let Some(table) = table else {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        text.lines().for_each(|line| log(Log { level: String::new(), message: line.to_string() }));
        return Ok(());
    };
    let mut decoder = table.new_stream_decoder();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        decoder.received(&buffer[..length]);
        loop {
            match decoder.decode() {
                Ok(frame) => log(Log {
                    level: frame.level().map_or(String::new(), |level| level.as_str().to_uppercase()),
                    message: frame.display_message().to_string(),
                }),
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => {
                    log(Log { level: "WARN".into(), message: "a log frame cannot be decoded".into() });
                    if !table.encoding().can_recover() {
                        return Ok(());
                    }
                }
            }
        }
    }
}
