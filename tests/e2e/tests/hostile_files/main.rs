//! Files that lie: no parser panics, and none allocates more than a file's size justifies.
//!
//! Each file of `tests/fuzz/corpus` is changed in a few thousand ways, the same ones in every run, and given to its
//! parser: a part of what `tests/fuzz` does without end, for every test run and every toolchain.

mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use peak_alloc::PeakAlloc;
use sprat_e2e::parsers::{PARSERS, Parser};
use sprat_e2e::repository;

use mutate::Mutations;

#[global_allocator]
static ALLOCATIONS: PeakAlloc = PeakAlloc;

/// Mutations of each file of the corpus.
const MUTATIONS: usize = 2000;
/// Bytes in memory for each byte of a file: the file itself, what JSON becomes, tables that double as they grow.
const BYTES_A_BYTE: usize = 64;
/// Bytes in memory for any file: tables of Unicode's classes, and names for the thousand layers that a configuration of
/// a few bytes may claim before the weights are found missing.
const BYTES_ALWAYS: usize = 8 << 20;

fn seeds(parser: &Parser) -> Vec<Vec<u8>> {
    let folder = repository().join("tests/fuzz/corpus").join(parser.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Gives bytes to a parser; whether it accepted them, and the bytes that it had allocated at most.
fn measured(parser: &Parser, bytes: &[u8]) -> (bool, usize) {
    let before = ALLOCATIONS.current_usage();
    ALLOCATIONS.reset_peak_usage();
    let accepted = catch_unwind(AssertUnwindSafe(|| (parser.parse)(bytes)));
    let peak = ALLOCATIONS.peak_usage().saturating_sub(before);
    let accepted = accepted.unwrap_or_else(|_| {
        let path = std::env::temp_dir().join(format!("sprat-{}-panic", parser.name));
        fs::write(&path, bytes).unwrap();
        panic!("{} panics on {}", parser.name, path.display());
    });
    let most = BYTES_ALWAYS + BYTES_A_BYTE * bytes.len();
    if peak > most {
        let path = std::env::temp_dir().join(format!("sprat-{}-memory", parser.name));
        fs::write(&path, bytes).unwrap();
        panic!("{} allocates {peak} bytes for {}, at most {most} are justified", parser.name, path.display());
    }
    (accepted, peak)
}

/// One test, as it measures the allocations of its whole process.
#[test]
fn no_file_makes_a_parser_panic_or_allocate_without_measure() {
    for parser in &PARSERS {
        let seeds = seeds(parser);
        assert!(!seeds.is_empty(), "{} has no corpus", parser.name);
        for seed in &seeds {
            assert!(seed.len() <= 4096);
            let (accepted, _) = measured(parser, seed);
            assert!(
                accepted,
                "{} refuses its own corpus: if a format changed, run cargo run -p sprat-e2e --bin fuzz-corpus",
                parser.name
            );
        }
        let (mut accepted, mut worst, mut count) = (0, 0, 0);
        for (index, seed) in seeds.iter().enumerate() {
            let mut mutations = Mutations::new(index as u64, seed, &seeds);
            for _ in 0..MUTATIONS {
                let mutated = mutations.next();
                let (was_accepted, peak) = measured(parser, &mutated);
                accepted += usize::from(was_accepted);
                worst = worst.max(peak);
                count += 1;
            }
        }
        println!("{}: {count} files, {accepted} accepted, at most {worst} bytes allocated", parser.name);
        assert!(accepted < count, "{} accepts everything", parser.name);
    }
}
