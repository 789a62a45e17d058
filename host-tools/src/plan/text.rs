//! A plan as a person reads it: one board in full, or many in a table.

use std::fmt;

use super::{Pass, Report, Time};
use crate::table::{bytes, grouped, table};

pub(super) fn verdict(missing: u64) -> String {
    match missing {
        0 => "fits".to_owned(),
        missing => format!("{} missing", grouped(missing)),
    }
}

/// Seconds with a unit and three digits.
pub(super) fn duration(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$} {unit}")
}

/// A rate with three digits.
pub(super) fn rate(a_second: f64) -> String {
    let digits = if a_second < 10.0 { 2 } else { usize::from(a_second < 100.0) };
    format!("{a_second:.digits$}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash, ram, time, .. } = self;
        writeln!(
            f,
            "{} ({}, {}), context {}, kv {}",
            self.board, self.title, self.core, self.context, self.kv
        )?;
        if !self.note.is_empty() {
            writeln!(f, "note: {}", self.note)?;
        }
        writeln!(f, "\nweights lie in {} ({})", flash.memory, flash.kind)?;
        writeln!(f, "  model               {}", bytes(flash.model))?;
        writeln!(f, "    of it, tokenizer  {}", bytes(flash.tokenizer))?;
        writeln!(f, "  kept for firmware   {}", bytes(flash.firmware))?;
        let fits = verdict(flash.missing);
        writeln!(f, "  needed              {} of {}: {fits}", bytes(flash.needed), grouped(flash.available))?;
        writeln!(f, "\nRAM: the arena lies in {}", ram.memory)?;
        writeln!(f, "  keys and values     {}", bytes(ram.kv))?;
        let at_once = match self.logits_rows {
            0 => String::new(),
            rows => format!(", in blocks of {}", grouped(rows.into())),
        };
        writeln!(f, "  logits              {}{at_once}", bytes(ram.logits))?;
        writeln!(f, "  prompt tokens       {}", bytes(ram.tokens))?;
        writeln!(f, "  scratch             {}", bytes(ram.scratch))?;
        writeln!(f, "  arena, all of these {}", bytes(ram.arena))?;
        let elsewhere = match ram.stack_memory == ram.memory {
            true => String::new(),
            false => format!(", in {}", ram.stack_memory),
        };
        writeln!(f, "  stack               {}{elsewhere}", bytes(ram.stack))?;
        writeln!(f, "  firmware variables  {}{elsewhere}", bytes(ram.statics))?;
        let fits = verdict(ram.missing);
        writeln!(f, "  needed              {} of {}: {fits}", bytes(ram.needed), grouped(ram.available))?;
        writeln!(f, "\nlargest context that fits: {}\n", self.largest_context)?;
        write!(f, "{time}")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "time a token, predicted")?;
        let line = |f: &mut fmt::Formatter<'_>, what: &str, pass: &Pass| {
            let Pass { seconds, bound, .. } = pass;
            writeln!(
                f,
                "  {what}  {:>9}, {:>6} a second, bound by {bound}",
                duration(*seconds),
                rate(1.0 / seconds)
            )
        };
        line(f, "written at the start of the context", &self.first)?;
        line(f, "written at its end                 ", &self.last)?;
        line(f, "read with a prompt                 ", &self.read)?;
        let (each, last) = (&self.instructions_each, &self.last);
        writeln!(f, "at its end it is the larger of")?;
        write!(
            f,
            "  core    {} = ({} q8 products x {:.2} + ",
            duration(last.core_seconds),
            grouped(self.q8_products),
            each.q8_product
        )?;
        if self.float_products > 0 {
            write!(f, "{} float products x {:.2} + ", grouped(self.float_products), each.float_product)?;
        }
        writeln!(
            f,
            "{} attention products x {:.2} + {} activations x {:.1} instructions)\n          x {} cycles / {} MHz / \
             {} core{}",
            grouped(last.attention_products),
            each.attention_product,
            grouped(self.activations),
            each.activation,
            self.cycles_per_instruction,
            self.clock_hz / 1e6,
            self.cores,
            if self.cores == 1 { "" } else { "s" }
        )?;
        let rate = |bytes_per_second: Option<f64>| {
            bytes_per_second
                .map_or("as fast as the core".to_owned(), |rate| format!("{:.1} MB/s", rate / 1e6))
        };
        writeln!(
            f,
            "  memory  {} = {} bytes of weights at {} + {} of keys and values at {}",
            duration(last.memory_seconds),
            grouped(self.weight_bytes),
            rate(self.weight_bytes_per_second),
            grouped(self.kv_bytes),
            rate(self.kv_bytes_per_second)
        )?;
        writeln!(
            f,
            "instructions: counted on an emulated {} (tests/instruction-counts.md)",
            self.counted_on
        )?;
        writeln!(f, "cycles for an instruction, and the share of a memory's peak: assumed; {}", self.why)
    }
}

/// Many boards, one line each.
pub fn table_of_boards(reports: &[Report]) -> String {
    let head = [
        "board",
        "core",
        "MHz",
        "fits",
        "weights in",
        "arena in",
        "largest context",
        "a token, first",
        "last",
        "tokens/s",
        "bound by",
    ];
    let row = |report: &Report| {
        let Report { flash, ram, time, .. } = report;
        let fits = match (flash.missing, ram.missing) {
            (0, 0) => "yes".to_owned(),
            (0, ram) => format!("no: RAM lacks {}", grouped(ram)),
            (flash, 0) => format!("no: flash lacks {}", grouped(flash)),
            (flash, ram) => format!("no: flash lacks {}, RAM {}", grouped(flash), grouped(ram)),
        };
        vec![
            report.board.clone(),
            report.core.clone(),
            format!("{}", time.clock_hz / 1e6),
            fits,
            flash.memory.clone(),
            ram.memory.clone(),
            grouped(report.largest_context.into()),
            duration(time.first.seconds),
            duration(time.last.seconds),
            rate(1.0 / time.last.seconds),
            time.last.bound.to_string(),
        ]
    };
    let rows: Vec<_> = reports.iter().map(row).collect();
    table(&head, &rows, &[2, 6, 7, 8, 9])
        + "\ntimes are predicted; `--board NAME` prints the formula of one\n"
}
