//! What a board measured, for a person to read.
//!
//! Boards with a clock count its ticks, so that time and rates follow; emulated ones count instructions, and everything is
//! said of those.

use serde::Serialize;
use sprat_board_support::console::message::Bench;

use crate::table::{grouped, table};

/// What a part of a token's work takes, in counts of the board's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageCount {
    /// The part.
    pub stage: String,
    /// In a token read.
    pub reading: u64,
    /// In a token written.
    pub writing: u64,
}

/// What a token takes, in time or, where instructions are counted, in those.
pub fn each(count: u64, tokens: u32, counts_per_second: u64) -> String {
    let each = count / u64::from(tokens.max(1));
    match counts_per_second {
        0 => format!("{} instructions", grouped(each)),
        per_second => format!("{:.2} ms", each as f64 / per_second as f64 * 1e3),
    }
}

/// Everything about a measurement: the whole of it, and a table by stage where the board told of stages.
pub fn text(bench: &Bench, stages: &[StageCount]) -> String {
    let whole = |what: &str, tokens: u32, count: u64, products: u64, bytes: u64| {
        let a_count = |number: u64| number as f64 / count.max(1) as f64;
        let rates = match bench.counts_per_second {
            0 => format!(
                "{:.2} products and {:.2} bytes of weights an instruction",
                a_count(products),
                a_count(bytes)
            ),
            per_second => format!(
                "{:.1} tokens/s, weights at {:.1} MB/s, {:.2} products a tick of {:.0} MHz",
                a_count(tokens.into()) * per_second as f64,
                a_count(bytes) * per_second as f64 / 1e6,
                a_count(products),
                per_second as f64 / 1e6,
            ),
        };
        format!("{what} {tokens} tokens: {} each, {rates}", each(count, tokens, bench.counts_per_second))
    };
    let Bench { read_tokens, reading, read_products, read_bytes, .. } = *bench;
    let Bench { written_tokens, writing, written_products, written_bytes, .. } = *bench;
    let read = whole("reading", read_tokens, reading, read_products, read_bytes);
    let written = whole("writing", written_tokens, writing, written_products, written_bytes);
    let lines = format!("{read}\n{written}");
    match stages {
        [] => lines,
        stages => format!("{lines}\n{}", by_stage(stages, bench.counts_per_second)),
    }
}

fn by_stage(stages: &[StageCount], counts_per_second: u64) -> String {
    let shares = |count: fn(&StageCount) -> u64| {
        let all = stages.iter().map(count).sum::<u64>().max(1);
        move |stage: &StageCount| {
            let cell = match counts_per_second {
                0 => grouped(count(stage)),
                per_second => format!("{:.1}", count(stage) as f64 / per_second as f64 * 1e6),
            };
            [cell, format!("{:.1}", count(stage) as f64 / all as f64 * 100.0)]
        }
    };
    let (reading, writing) = (shares(|stage| stage.reading), shares(|stage| stage.writing));
    let row = |stage: &StageCount| {
        [stage.stage.clone()].into_iter().chain(reading(stage)).chain(writing(stage)).collect()
    };
    let rows: Vec<Vec<String>> = stages.iter().map(row).collect();
    let unit = if counts_per_second == 0 { "instructions" } else { "us" };
    let head = ["stage", &format!("{unit} a token read"), "%", &format!("{unit} a token written"), "%"];
    table(&head, &rows, &[1, 2, 3, 4]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BENCH: Bench = Bench {
        read_tokens: 2,
        reading: 4_000_000,
        read_products: 5_000_000,
        written_tokens: 2,
        writing: 8_000_000,
        written_products: 6_000_000,
        counts_per_second: 0,
        read_bytes: 1_000_000,
        written_bytes: 2_000_000,
    };

    fn stages() -> [StageCount; 2] {
        let stage = |stage: &str, reading, writing| StageCount { stage: stage.to_owned(), reading, writing };
        [stage("qkv", 500_000, 1_000_000), stage("feed-forward", 1_500_000, 3_000_000)]
    }

    #[test]
    fn instructions_are_said_where_they_are_counted() {
        let expected = "\
reading 2 tokens: 2,000,000 instructions each, 1.25 products and 0.25 bytes of weights an instruction
writing 2 tokens: 4,000,000 instructions each, 0.75 products and 0.25 bytes of weights an instruction
stage         instructions a token read     %  instructions a token written     %
qkv                             500,000  25.0                     1,000,000  25.0
feed-forward                  1,500,000  75.0                     3,000,000  75.0";
        assert_eq!(text(&BENCH, &stages()), expected);
    }

    #[test]
    fn times_and_rates_are_said_where_there_is_a_clock() {
        let expected = "\
reading 2 tokens: 20.00 ms each, 50.0 tokens/s, weights at 25.0 MB/s, 1.25 products a tick of 100 MHz
writing 2 tokens: 40.00 ms each, 25.0 tokens/s, weights at 25.0 MB/s, 0.75 products a tick of 100 MHz
stage         us a token read     %  us a token written     %
qkv                    5000.0  25.0             10000.0  25.0
feed-forward          15000.0  75.0             30000.0  75.0";
        assert_eq!(text(&Bench { counts_per_second: 100_000_000, ..BENCH }, &stages()), expected);
        assert_eq!(text(&BENCH, &[]).lines().count(), 2);
    }
}
