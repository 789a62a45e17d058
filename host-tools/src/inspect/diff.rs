//! What two models differ in: settings, tensors that only one has, and how far the numbers of the others are apart.
//!
//! Either may be a checkpoint or a packed file, so the same view says what fine-tuning changed, what quantizing cost
//! tensor by tensor, and what was packed with other options. One tensor of each is in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;
use sprat_format::Role;

use super::reader::Reader;
use super::{Inspection, TensorRow};
use crate::table::{grouped, table};

/// Numbers that a core takes at once.
const BAND: usize = 1 << 16;

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingDifference {
    /// Its name, with the parts that it lies in: `config.layers`.
    pub setting: String,
    /// The first model's; `null` if it has none.
    pub first: Value,
    /// The second model's.
    pub second: Value,
}

/// A tensor that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorDifference {
    /// What it is for, with the layer.
    pub tensor: String,
    /// The first model's element type.
    pub first: String,
    /// The second model's.
    pub second: String,
    /// How far the numbers are apart; `None` when the shapes differ.
    pub distance: Option<Distance>,
    /// Shapes, rows and columns, of both.
    pub shapes: [[u64; 2]; 2],
}

/// How far two tensors are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// Root of the summed squares of the differences over that of the first tensor; of the second if the first is zero.
    pub relative: f64,
    /// Largest difference.
    pub largest: f64,
    /// Numbers that differ.
    pub changed: u64,
    /// Numbers.
    pub count: u64,
}

/// All differences.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Settings that differ.
    pub settings: Vec<SettingDifference>,
    /// Tensors that only the first has.
    pub only_first: Vec<String>,
    /// Tensors that only the second has.
    pub only_second: Vec<String>,
    /// Tensors that both have, equal ones too.
    pub tensors: Vec<TensorDifference>,
}

/// Compares two models.
///
/// # Errors
/// A tensor cannot be read.
pub fn diff(first: &Reader<'_>, second: &Reader<'_>, progress: &ProgressBar) -> Result<Difference> {
    let inspections = [first.inspection(), second.inspection()];
    let rows = |reader: &Reader<'_>, inspection: &Inspection| -> BTreeMap<(Option<u16>, Role), TensorRow> {
        let keys = reader.keys().into_iter().map(|(role, layer)| (layer, role));
        keys.zip(inspection.tensors.iter().cloned()).collect()
    };
    let (of_first, of_second) = (rows(first, &inspections[0]), rows(second, &inspections[1]));
    let only = |these: &BTreeMap<_, TensorRow>, others: &BTreeMap<_, TensorRow>| {
        these.iter().filter(|&(key, _)| !others.contains_key(key)).map(|(_, row)| row.title()).collect()
    };
    let both = || of_first.iter().filter_map(|(key, row)| Some((key, row, of_second.get(key)?)));
    progress.set_length(both().map(|(_, row, _)| row.rows * row.cols).sum());
    let mut tensors = Vec::new();
    for (&(layer, role), a, b) in both() {
        progress.set_message(a.title());
        let shapes = [[a.rows, a.cols], [b.rows, b.cols]];
        let distance = match shapes[0] == shapes[1] {
            true => Some(Distance::of(&first.read(role, layer)?, &second.read(role, layer)?)),
            false => None,
        };
        let (first, second) = (a.element.clone(), b.element.clone());
        tensors.push(TensorDifference { tensor: a.title(), first, second, distance, shapes });
        progress.inc(a.rows * a.cols);
    }
    Ok(Difference {
        settings: settings(&inspections)?,
        only_first: only(&of_first, &of_second),
        only_second: only(&of_second, &of_first),
        tensors,
    })
}

impl Distance {
    fn of(first: &[f32], second: &[f32]) -> Self {
        let band = |(first, second): (&[f32], &[f32])| {
            let mut sums = (0.0f64, 0.0f64, 0.0f64, 0.0f64, 0u64);
            for (&a, &b) in first.iter().zip(second) {
                let difference = f64::from(a) - f64::from(b);
                sums.0 += difference * difference;
                sums.1 += f64::from(a) * f64::from(a);
                sums.2 += f64::from(b) * f64::from(b);
                sums.3 = sums.3.max(difference.abs());
                sums.4 += u64::from(difference != 0.0);
            }
            sums
        };
        // Bands are summed in their order, so that the result does not depend on the number of cores.
        let bands: Vec<_> = first.par_chunks(BAND).zip(second.par_chunks(BAND)).map(band).collect();
        let sums = bands.into_iter().fold((0.0, 0.0, 0.0, 0.0f64, 0), |a, b| {
            (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3.max(b.3), a.4 + b.4)
        });
        let whole = if sums.1 > 0.0 { sums.1 } else { sums.2 };
        let relative = if sums.0 > 0.0 { (sums.0 / whole).sqrt() } else { 0.0 };
        Self { relative, largest: sums.3, changed: sums.4, count: first.len() as u64 }
    }
}

/// What is compared as settings: everything that an inspection says, but for tensors and where things lie.
fn settings(inspections: &[Inspection; 2]) -> Result<Vec<SettingDifference>> {
    let leaves = |inspection: &Inspection| -> Result<BTreeMap<String, Value>> {
        let mut leaves = BTreeMap::new();
        if let Value::Object(fields) = inspection.to_json()? {
            let apart = ["tensors", "sections", "roles", "notes"];
            for (name, value) in fields.into_iter().filter(|(name, _)| !apart.contains(&name.as_str())) {
                flatten(name, value, &mut leaves);
            }
        }
        Ok(leaves)
    };
    let (mut first, mut second) = (leaves(&inspections[0])?, leaves(&inspections[1])?);
    let names: BTreeSet<_> = first.keys().chain(second.keys()).cloned().collect();
    let pair = |setting: String| {
        let (first, second) = (first.remove(&setting), second.remove(&setting));
        let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
        (first != second).then_some(SettingDifference { setting, first, second })
    };
    Ok(names.into_iter().filter_map(pair).collect())
}

fn flatten(name: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            fields.into_iter().for_each(|(field, value)| flatten(format!("{name}.{field}"), value, leaves));
        }
        value => _ = leaves.insert(name, value),
    }
}

impl TensorDifference {
    fn differs(&self) -> bool {
        self.distance.is_none_or(|distance| distance.changed > 0)
    }
}

impl Difference {
    /// Sorts the tensors by their relative error, the largest first; those of other shapes before all.
    pub fn sort(&mut self) {
        let key = |one: &TensorDifference| one.distance.map_or(f64::INFINITY, |distance| distance.relative);
        self.tensors.sort_by(|a, b| key(b).total_cmp(&key(a)));
    }

    /// As text: tensors that are equal are only counted.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        if !self.settings.is_empty() {
            let rows: Vec<_> = self.settings.iter().map(SettingDifference::cells).collect();
            out += &(table(&["setting", "first", "second"], &rows, &[]) + "\n");
        }
        for (which, only) in [("first", &self.only_first), ("second", &self.only_second)] {
            if !only.is_empty() {
                out += &format!("only in the {which}: {}\n\n", only.join(", "));
            }
        }
        let rows: Vec<_> = self.tensors.iter().filter(|one| one.differs()).map(cells).collect();
        if !rows.is_empty() {
            let head = ["tensor", "first", "second", "relative", "largest", "changed"];
            out += &(table(&head, &rows, &[3, 4, 5]) + "\n");
        }
        out += &match self.settings.len() {
            0 => "no setting differs".to_owned(),
            count => format!("{count} settings differ"),
        };
        out + &format!("; of {} tensors that both have, {} differ\n", self.tensors.len(), rows.len())
    }
}

impl SettingDifference {
    fn cells(&self) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Null => "-".to_owned(),
            Value::String(text) if text.chars().count() > 40 || text.contains('\n') => {
                format!("text of {} bytes", text.len())
            }
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        vec![self.setting.clone(), text(&self.first), text(&self.second)]
    }
}

fn cells(one: &TensorDifference) -> Vec<String> {
    let mut cells = vec![one.tensor.clone(), one.first.clone(), one.second.clone()];
    match one.distance {
        Some(distance) => cells.extend([
            format!("{:.4} %", 100.0 * distance.relative),
            format!("{:.2e}", distance.largest),
            format!("{} of {}", grouped(distance.changed), grouped(distance.count)),
        ]),
        None => {
            let shapes = one.shapes.map(|[rows, cols]| format!("{rows} x {cols}"));
            cells.extend([format!("shape {}", shapes.join(" / ")), String::new(), String::new()]);
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_that_of_the_definition() {
        let found = Distance::of(&[3.0, 0.0, 4.0], &[3.0, 0.5, 4.0]);
        assert_eq!(found, Distance { relative: 0.1, largest: 0.5, changed: 1, count: 3 });
        assert_eq!(Distance::of(&[0.0], &[2.0]).relative, 1.0);
        assert_eq!(Distance::of(&[0.0, -0.0], &[0.0, 0.0]).changed, 0);
        let long: Vec<f32> = (0..200_000).map(|n| n as f32).collect();
        let mut other = long.clone();
        other[150_000] += 1.0;
        assert_eq!(Distance::of(&long, &other).changed, 1);
    }
}
