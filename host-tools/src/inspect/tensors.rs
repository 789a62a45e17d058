//! The tensors of a model in tables: what each kind takes of the file, and what the numbers of each are like.

use std::collections::BTreeMap;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;

use super::reader::Reader;
use super::statistics::Statistics;
use super::{Inspection, TensorRow};
use crate::table::{grouped, table};

/// What all tensors of a role take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoleSum {
    /// The role, or the part of the file that is no tensor.
    pub role: String,
    /// Tensors.
    pub tensors: usize,
    /// Numbers in them.
    pub parameters: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Share of the file, 0 to 1; of all tensors for a checkpoint.
    pub share: f64,
}

/// By what a listing of tensors is sorted, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Not at all: as in the file.
    #[default]
    File,
    /// By bytes.
    Bytes,
    /// By the greatest magnitude.
    Largest,
    /// By the root of the mean square.
    Rms,
    /// By the share of numbers beyond six standard deviations.
    Outliers,
    /// By the largest channel against the median channel.
    Channel,
}

/// Sums over roles, the largest first, then what is no tensor.
pub(super) fn role_sums(tensors: &[TensorRow], tokenizer_bytes: u64, file_bytes: u64) -> Vec<RoleSum> {
    let mut sums: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
    for row in tensors {
        let sum = sums.entry(row.role).or_default();
        *sum = (sum.0 + 1, sum.1 + row.rows * row.cols, sum.2 + row.bytes);
    }
    let in_tensors: u64 = sums.values().map(|sum| sum.2).sum();
    let share = |bytes: u64| bytes as f64 / file_bytes.max(1) as f64;
    let sum = |(role, (tensors, parameters, bytes)): (&str, (usize, u64, u64))| RoleSum {
        role: role.to_owned(),
        tensors,
        parameters,
        bytes,
        share: share(bytes),
    };
    let mut sums: Vec<_> = sums.into_iter().map(sum).collect();
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.bytes));
    let rest = file_bytes.saturating_sub(in_tensors);
    let tokenizer = tokenizer_bytes.min(rest);
    let others = [("(tokenizer)", tokenizer), ("(tables, padding)", rest - tokenizer)];
    let others = others.into_iter().filter(|(_, bytes)| *bytes > 0);
    sums.extend(others.map(|(role, bytes)| sum((role, (0, 0, bytes)))));
    sums
}

/// Reads every tensor once and notes what its numbers are like.
///
/// # Errors
/// A number that is infinite or not a number.
pub fn add_statistics(
    inspection: &mut Inspection,
    reader: &Reader<'_>,
    progress: &ProgressBar,
) -> Result<()> {
    progress.set_length(inspection.tensors.iter().map(|row| row.rows * row.cols).sum());
    for (row, (role, layer)) in inspection.tensors.iter_mut().zip(reader.keys()) {
        progress.set_message(row.title());
        row.statistics = Statistics::of(&reader.read(role, layer)?, row.cols as usize);
        progress.inc(row.rows * row.cols);
    }
    Ok(())
}

impl Inspection {
    /// Sorts the tensors; those without statistics stand last where these decide.
    pub fn sort(&mut self, order: Order) {
        let key = |row: &TensorRow| -> f64 {
            let of = |get: &dyn Fn(&Statistics) -> f64| row.statistics.as_ref().map_or(-1.0, get);
            match order {
                Order::File => 0.0,
                Order::Bytes => row.bytes as f64,
                Order::Largest => of(&|found| f64::from(found.largest())),
                Order::Rms => of(&|found| found.rms),
                Order::Outliers => of(&|found| found.outliers),
                Order::Channel => of(&|found| found.largest_channel.map_or(0.0, |channel| channel.ratio)),
            }
        };
        self.tensors.sort_by(|a, b| key(b).total_cmp(&key(a)));
    }

    pub(super) fn role_table(&self) -> String {
        let cells = |sum: &RoleSum| {
            let count = |count: u64| if count == 0 { String::new() } else { grouped(count) };
            vec![
                sum.role.clone(),
                count(sum.tensors as u64),
                count(sum.parameters),
                grouped(sum.bytes),
                format!("{:.1} %", 100.0 * sum.share),
            ]
        };
        let rows: Vec<_> = self.roles.iter().map(cells).collect();
        let whole = if self.sections.is_empty() { "of all tensors" } else { "of the file" };
        table(&["tensors", "count", "numbers", "bytes", whole], &rows, &[1, 2, 3, 4])
    }

    pub(super) fn tensor_table(&self) -> String {
        let cells = |row: &TensorRow| {
            let mut cells = vec![
                row.layer.map_or_else(String::new, |layer| layer.to_string()),
                row.role.to_owned(),
                format!("{} x {}", row.rows, row.cols),
                row.element.clone(),
                grouped(row.bytes),
            ];
            cells.extend(row.statistics.as_ref().map_or_else(|| vec![String::new(); 6], statistics_cells));
            cells.push(row.name.clone());
            cells
        };
        let rows: Vec<_> = self.tensors.iter().map(cells).collect();
        let name = if self.sections.is_empty() { "name" } else { "" };
        let head = [
            "layer",
            "tensor",
            "shape",
            "type",
            "bytes",
            "min",
            "max",
            "RMS",
            "> 6 sigma",
            "channel",
            "x median",
            name,
        ];
        table(&head, &rows, &[0, 4, 5, 6, 7, 8, 9, 10])
    }
}

fn statistics_cells(found: &Statistics) -> Vec<String> {
    let (channel, ratio) = found.largest_channel.map_or_else(Default::default, |channel| {
        (channel.column.to_string(), format!("{:.2}", channel.ratio))
    });
    let share = if found.outliers == 0.0 { "0".into() } else { format!("{:.4} %", 100.0 * found.outliers) };
    vec![
        format!("{:.4}", found.min),
        format!("{:.4}", found.max),
        format!("{:.4}", found.rms),
        share,
        channel,
        ratio,
    ]
}
