//! What was measured, as tables for a terminal.

use super::{Bench, Run};
use crate::table::{grouped, table};

const GIGA: f64 = 1e9;

impl Bench {
    /// Tables for a terminal.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{}: {} bytes of weights a token; a cycle is one of {:.2} GHz (a chain of dependent additions)\n\n",
            self.model,
            grouped(self.weight_bytes),
            self.cycles_per_second / GIGA
        );
        let head = ["threads", "memory, GB/s", "model's bytes, GB/s"];
        let readings = self.memory.iter().map(|reading| {
            let giga = |bytes: f64| format!("{:.2}", bytes / GIGA);
            let speeds = [giga(reading.bytes_per_second), giga(reading.model_bytes_per_second)];
            [reading.threads.to_string()].into_iter().chain(speeds).collect()
        });
        out += "What a plain loop reads:\n";
        out += &table(&head, &readings.collect::<Vec<_>>(), &[0, 1, 2]);
        let head = [
            "kernels",
            "threads",
            "work",
            "tokens/s",
            "least",
            "most",
            "GB/s",
            "of memory",
            "products/cycle",
        ];
        let rows: Vec<_> = self.runs.iter().map(row).collect();
        out += "\nThe model:\n";
        out += &table(&head, &rows, &[1, 3, 4, 5, 6, 7, 8]);
        out += "\nMicroseconds a token, by stage:\n";
        out + &self.stages()
    }

    fn stages(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for stage in self.runs.iter().flat_map(|run| &run.stages) {
            if !names.contains(&stage.stage) {
                names.push(stage.stage);
            }
        }
        let head = ["kernels", "threads", "work"].into_iter().chain(names.iter().copied());
        let rows = self.runs.iter().map(|run| {
            let found = names.iter().map(|name| {
                let stage = run.stages.iter().find(|stage| stage.stage == *name);
                stage.map_or(String::new(), |s| format!("{:.1} ({:.0} %)", s.microseconds, s.percent))
            });
            label(run).into_iter().chain(found).collect()
        });
        let numbers: Vec<_> = (3..3 + names.len()).chain([1]).collect();
        table(&head.collect::<Vec<_>>(), &rows.collect::<Vec<_>>(), &numbers)
    }
}

fn label(run: &Run) -> [String; 3] {
    [run.kernels.to_owned(), run.threads.to_string(), format!("{} {}", run.phase, run.tokens)]
}

fn row(run: &Run) -> Vec<String> {
    let speed = run.tokens_per_second;
    let numbers = [
        format!("{:.1}", speed.median),
        format!("{:.1}", speed.least),
        format!("{:.1}", speed.most),
        format!("{:.2}", run.bytes_per_second / GIGA),
        format!("{:.0} %", 100.0 * run.share_of_memory),
        format!("{:.1}", run.products_per_cycle),
    ];
    label(run).into_iter().chain(numbers).collect()
}
